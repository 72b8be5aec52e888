//! The limits of this container, and how often the kernel killed for memory: cgroup v2's memory.events, v1's
//! memory.oom_control. Those are read after COMMAND runs and when it died, so nothing there allocates.

use crate::sys::{Errno, io, process};
use std::ffi::CStr;

/// What bounds this container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContainerLimits {
    /// Of memory, in bytes.
    pub memory: Limit,
    /// Of processes and threads.
    pub processes: Limit,
    /// Of a core file, in bytes: what a crash writes of COMMAND's memory.
    pub core: Limit,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    Limited(u64),
    Unlimited,
    /// Nothing shows whether there is one: no controller, or it is not mounted.
    Unknown,
}

impl ContainerLimits {
    /// Nothing is known of them.
    pub const UNKNOWN: ContainerLimits =
        ContainerLimits { memory: Limit::Unknown, processes: Limit::Unknown, core: Limit::Unknown };
}

pub fn observe() -> ContainerLimits {
    let mut buffer = [0; 4096];
    let cgroups = io::read_into(c"/proc/self/cgroup", &mut buffer).unwrap_or_default();
    let core = match process::core_limit() {
        Ok(Some(bytes)) => Limit::Limited(bytes),
        Ok(None) => Limit::Unlimited,
        Err(_) => Limit::Unknown,
    };
    let memory = read_limit(cgroups, "memory", c"/sys/fs/cgroup/memory", "memory.max", "memory.limit_in_bytes");
    ContainerLimits {
        memory,
        processes: read_limit(cgroups, "pids", c"/sys/fs/cgroup/pids", "pids.max", "pids.max"),
        core,
    }
}

fn read_limit(cgroups: &[u8], controller: &str, top_of_1: &CStr, file_of_2: &str, file_of_1: &str) -> Limit {
    let mut buffer = [0; 32];
    let of_1 =
        cgroup_path(cgroups, |names| names.split(|&byte| byte == b',').any(|name| name == controller.as_bytes()));
    // A hierarchy of version 1 has the controller, or version 2 has: never both.
    let text = match (of_1, cgroup_path(cgroups, <[u8]>::is_empty)) {
        (Some(path), _) => read_at(top_of_1, path, file_of_1, &mut buffer),
        (None, Some(path)) => read_at(c"/sys/fs/cgroup", path, file_of_2, &mut buffer),
        (None, None) => None,
    };
    Limit::parse(text.map(|(_, text)| text))
}

impl Limit {
    /// Reads the text of a limit's file; `None`: there is no such file.
    pub fn parse(text: Option<&[u8]>) -> Self {
        match text {
            None => Limit::Unknown,
            Some(text) => match parse_number(text).filter(|&limit| limit < NO_LIMIT) {
                Some(limit) => Limit::Limited(limit),
                None => Limit::Unlimited,
            },
        }
    }
}

/// Counters of one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OomCounters {
    /// Processes killed for want of memory, whoever's want it was.
    pub oom_kills: u64,
    /// How often this cgroup met its own limit; `None` where the kernel does not count that (v1).
    pub limit_hits: Option<u64>,
    /// The limit in bytes; `None` where there is none or it cannot be seen.
    pub limit: Option<u64>,
}

/// From this on v1 means "no limit" (the largest page-aligned signed number, 0x7ffffffffffff000).
const NO_LIMIT: u64 = 0x7fff_ffff_ffff_f000;

/// Reads the counters; `None` where no memory controller can be seen.
pub fn read_oom_counters() -> Option<OomCounters> {
    let mut buffer = [0; 4096];
    let cgroups = io::read_into(c"/proc/self/cgroup", &mut buffer).unwrap_or_default();
    cgroup_v2_counters(cgroups).or_else(|| cgroup_v1_counters(cgroups))
}

fn cgroup_v2_counters(cgroups: &[u8]) -> Option<OomCounters> {
    let path = cgroup_path(cgroups, |controllers| controllers.is_empty())?;
    let mut buffer = [0; 512];
    let (below, events) = read_at(c"/sys/fs/cgroup", path, "memory.events", &mut buffer)?;
    let (kills, at_limit) = (parse_counter(events, "oom_kill")?, parse_counter(events, "oom"));
    let mut buffer = [0; 32];
    let limit = read_file(c"/sys/fs/cgroup", below, "memory.max", &mut buffer).ok().and_then(parse_number);
    Some(OomCounters { oom_kills: kills, limit_hits: at_limit, limit })
}

fn cgroup_v1_counters(cgroups: &[u8]) -> Option<OomCounters> {
    let memory = |controllers: &[u8]| controllers.split(|&byte| byte == b',').any(|name| name == b"memory");
    let path = cgroup_path(cgroups, memory)?;
    let mut buffer = [0; 512];
    let (below, control) = read_at(c"/sys/fs/cgroup/memory", path, "memory.oom_control", &mut buffer)?;
    let kills = parse_counter(control, "oom_kill")?;
    let mut buffer = [0; 32];
    let limit =
        read_file(c"/sys/fs/cgroup/memory", below, "memory.limit_in_bytes", &mut buffer).ok().and_then(parse_number);
    Some(OomCounters { oom_kills: kills, limit_hits: None, limit: limit.filter(|&limit| limit < NO_LIMIT) })
}

/// The path of this process in /proc/self/cgroup (`ID:CONTROLLERS:PATH`).
fn cgroup_path(cgroups: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
    cgroups.split(|&byte| byte == b'\n').find_map(|line| {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        wanted(controllers).then_some(path)
    })
}

/// The file below the cgroup's own path, where that path is seen; else at the top, which is where a container without a
/// cgroup namespace has its own cgroup mounted.
fn read_at<'path, 'buffer>(
    top: &CStr,
    path: &'path [u8],
    file: &str,
    buffer: &'buffer mut [u8],
) -> Option<(&'path [u8], &'buffer [u8])> {
    let below = if read_file(top, path, file, &mut *buffer).is_ok() { path } else { b"" };
    read_file(top, below, file, buffer).ok().map(|text| (below, text))
}

fn read_file<'buffer>(top: &CStr, below: &[u8], file: &str, buffer: &'buffer mut [u8]) -> Result<&'buffer [u8], Errno> {
    let mut path = [0_u8; 1024];
    let mut filled = 0;
    for part in [top.to_bytes(), below, b"/", file.as_bytes()] {
        path.get_mut(filled..filled + part.len()).ok_or(Errno(libc::ENAMETOOLONG))?.copy_from_slice(part);
        filled += part.len();
    }
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno(libc::ENAMETOOLONG))?;
    io::read_into(path, buffer)
}

fn parse_counter(text: &[u8], name: &str) -> Option<u64> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let (key, value) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        if key == name { value.trim().parse().ok() } else { None }
    })
}

fn parse_number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_counters_are_read() {
        let events = b"low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!((parse_counter(events, "oom_kill"), parse_counter(events, "oom")), (Some(1), Some(2)));
        assert_eq!(parse_counter(b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), Some(3));
        assert_eq!(parse_counter(b"oom_kill_disable 0\n", "oom_kill"), None);
    }

    #[test]
    fn the_own_cgroup_is_found() {
        let mixed = b"12:cpu,cpuacct:/a\n4:memory:/docker/x\n0::/unified\n";
        assert_eq!(cgroup_path(mixed, |controllers| controllers.is_empty()), Some(&b"/unified"[..]));
        assert_eq!(cgroup_path(mixed, |controllers| controllers == b"memory"), Some(&b"/docker/x"[..]));
        assert_eq!(cgroup_path(b"", |_| true), None);
    }

    #[test]
    fn max_is_no_limit() {
        assert_eq!((parse_number(b"max\n"), parse_number(b"536870912\n")), (None, Some(536_870_912)));
    }
}
