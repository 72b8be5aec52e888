//! Who else is there: /proc, read without allocation, since PID 1 asks when COMMAND has ended.

use crate::sys::{Errno, ProcessId, io};
use std::ffi::CStr;

/// A process as /proc/PID/stat shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessStat {
    pub id: ProcessId,
    /// `R`, `S`, `D`, `T`, `Z` … (`man 5 proc_pid_stat`).
    pub state: u8,
    /// Its parent; 0 outside this pid namespace.
    pub parent: ProcessId,
    /// Processor time of all its threads, in user mode and in the kernel, in clock ticks.
    pub cpu_ticks: u64,
    /// When it began: clock ticks since the boot.
    pub start_ticks: u64,
}

impl ProcessStat {
    fn parse(id: ProcessId, text: &[u8]) -> Option<Self> {
        // `PID (NAME) STATE PARENT …`; NAME may hold anything, also `)`.
        let after_name = &text[text.iter().rposition(|&byte| byte == b')')? + 1..];
        let mut fields = std::str::from_utf8(after_name).ok()?.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = ProcessId(fields.next()?.parse().ok()?);
        let mut number = |passed| fields.nth(passed)?.parse::<u64>().ok();
        // Fields 14, 15 and 22; the parent is the fourth.
        Some(ProcessStat { id, state, parent, cpu_ticks: number(9)? + number(0)?, start_ticks: number(6)? })
    }

    /// Dead, and not yet waited for.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Calls `each` with every process of this pid namespace. Errors: the kernel's; ENOENT where /proc is not mounted.
pub fn for_each_process(mut each: impl FnMut(ProcessStat)) -> Result<(), Errno> {
    io::for_each_name(c"/proc", |name| {
        let id = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        if let Some(process) = id.and_then(|id| read_stat(ProcessId(id))) {
            each(process);
        }
    })
    .map(drop)
}

/// One process; `None` where it is gone or not to be seen.
pub fn read_stat(id: ProcessId) -> Option<ProcessStat> {
    let mut buffer = [0; 512];
    ProcessStat::parse(id, read_proc_file(id, "stat", &mut buffer)?)
}

/// The name that a process shows (`man 5 proc_pid_comm`), at most 15 bytes; empty where it is gone.
pub fn read_comm(id: ProcessId, buffer: &mut [u8; 16]) -> &[u8] {
    read_proc_file(id, "comm", buffer).map_or(b"", |text| text.trim_ascii_end())
}

/// Whether `process` has `ancestor` above it. Bounded: a chain that changes while it is read ends.
pub fn descends_from(process: ProcessStat, ancestor: ProcessId) -> bool {
    let mut parent = process.parent;
    for _ in 0..256 {
        if parent == ancestor {
            return true;
        }
        match read_stat(parent) {
            Some(above) if parent.0 > 1 => parent = above.parent,
            _ => return false,
        }
    }
    false
}

fn read_proc_file<'buffer>(id: ProcessId, file: &str, buffer: &'buffer mut [u8]) -> Option<&'buffer [u8]> {
    with_proc_path(id, file, |path| io::read_into(path, buffer))?.ok()
}

/// Calls `act` with the path of a process's `file` in /proc.
pub fn with_proc_path<Answer>(id: ProcessId, file: &str, act: impl FnOnce(&CStr) -> Answer) -> Option<Answer> {
    use std::io::Write;
    let mut path = [0_u8; 40];
    write!(&mut path[..], "/proc/{id}/{file}\0").ok()?;
    CStr::from_bytes_until_nul(&path).ok().map(act)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    #[test]
    fn the_kernels_line_is_read_whatever_the_name_is() {
        let line = b"7 (a) S 9 (b)) D 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 4711 1 1 1";
        let id = ProcessId(7);
        let expected = ProcessStat { id, state: b'D', parent: ProcessId(1), cpu_ticks: 42, start_ticks: 4711 };
        assert_eq!(ProcessStat::parse(id, line), Some(expected));
        assert_eq!(ProcessStat::parse(id, b"7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_seen_with_its_parent() {
        let self_pid = process::self_pid();
        let mut found = None;
        for_each_process(|seen| found = found.or((seen.id == self_pid).then_some(seen))).unwrap();
        let found = found.unwrap();
        assert_eq!((found.id, found.parent, found.is_zombie()), (self_pid, process::parent_pid(), false));
        assert!(descends_from(found, process::parent_pid()));
        assert!(!descends_from(found, self_pid));
    }
}
