//! Who is `init`, who is COMMAND, and whether anybody there is at work: /proc alone, of which anybody may read this
//! much.

use super::verdict::{ActivitySample, ProcessState, Processes};
use crate::machine::processes::{self, ProcessStat, with_proc_path};
use crate::sys::{ProcessId, UserId, fs, io, process};
use std::os::fd::AsFd;

/// How many processes a look at the descendants takes in.
const MAX_PROCESSES: usize = 4096;

/// Finds both. `init`: which the start said it is, where that is trusted.
pub fn find_init_and_command(init: Option<ProcessId>) -> Processes {
    let Some(init) = init.or_else(find_init) else { return Processes::NoInit };
    let mut name = [0; 16];
    let command = parse_command_pid(processes::read_comm(init, &mut name));
    let init_now = process_state(init, processes::read_stat(init));
    let Some(command) = command else { return Processes::NoCommand(init_now) };
    // An id that came to somebody else, or that counts in another pid namespace, is not COMMAND's.
    let process = processes::read_stat(command).filter(|process| process.parent == init);
    Processes::Both(init_now, process_state(command, process))
}

fn process_state(id: ProcessId, process: Option<ProcessStat>) -> ProcessState {
    ProcessState { id, state: process.map(|process| process.state) }
}

/// COMMAND's id, as `init` shows it in its own name.
fn parse_command_pid(name: &[u8]) -> Option<ProcessId> {
    let id = name.strip_prefix(b"init:")?;
    std::str::from_utf8(id).ok()?.parse().ok().map(ProcessId)
}

fn is_init(name: &[u8]) -> bool {
    name == b"init" || parse_command_pid(name).is_some()
}

fn find_init() -> Option<ProcessId> {
    let first = ProcessId(1);
    let mut name = [0; 16];
    if is_init(processes::read_comm(first, &mut name)) {
        return Some(first);
    }
    let own = process::self_pid();
    let mut candidates = Vec::new();
    let listed = processes::for_each_process(|ProcessStat { id, start_ticks: start, .. }| {
        if id != own && candidates.len() < MAX_PROCESSES && is_init(processes::read_comm(id, &mut name)) {
            candidates.push(Candidate { id, start, is_closed: owner(id) == Some(UserId(0)) });
        }
    });
    listed.ok()?;
    choose_init(&candidates)
}

/// A process that calls itself `init`: anybody can.
#[derive(Clone, Copy)]
struct Candidate {
    id: ProcessId,
    start: u64,
    /// /proc shows root as the owner of what may not be looked into (`man 5 proc`, dumpable), as `init` is after its
    /// drop.
    is_closed: bool,
}

/// `init` is closed, and older than everything that it started.
fn choose_init(candidates: &[Candidate]) -> Option<ProcessId> {
    let oldest = candidates.iter().min_by_key(|candidate| (!candidate.is_closed, candidate.start));
    oldest.map(|candidate| candidate.id)
}

fn owner(id: ProcessId) -> Option<UserId> {
    let directory = with_proc_path(id, "", io::open_path)?.ok()?;
    fs::stat(directory.as_fd(), fs::Freshness::Cached).ok().map(|stat| stat.uid)
}

/// One look at COMMAND and all its descendants.
pub fn sample_activity(command: ProcessId) -> Vec<ActivitySample> {
    let mut everybody: Vec<ProcessStat> = Vec::new();
    let _ = processes::for_each_process(|process| {
        if everybody.len() < MAX_PROCESSES {
            everybody.push(process);
        }
    });
    let mut found = Vec::new();
    let mut next = vec![command];
    while let Some(parent) = next.pop() {
        // Taken out when it is found, so that a picture with a ring in it (ids that came again meanwhile) ends too.
        let index = everybody.iter().position(|process| process.id == parent);
        let Some(ProcessStat { id, start_ticks: start, state, cpu_ticks: processor, .. }) =
            index.map(|index| everybody.swap_remove(index))
        else {
            continue;
        };
        found.push(ActivitySample { id, start, state, processor, io: io_bytes(id) });
        next.extend(everybody.iter().filter(|process| process.parent == id).map(|process| process.id));
    }
    found
}

/// What a process read and wrote, through the page cache or not (`man 5 proc_pid_io`).
fn io_bytes(id: ProcessId) -> Option<u64> {
    let mut buffer = [0; 512];
    let text = with_proc_path(id, "io", |path| io::read_into(path, &mut buffer).map(<[u8]>::len))?.ok()?;
    sum_io_bytes(buffer.get(..text)?)
}

fn sum_io_bytes(text: &[u8]) -> Option<u64> {
    let mut sum = None;
    for line in std::str::from_utf8(text).ok()?.lines() {
        if let Some((name, value)) = line.split_once(": ")
            && matches!(name, "rchar" | "wchar" | "read_bytes" | "write_bytes")
        {
            sum = Some(value.parse::<u64>().ok()?.saturating_add(sum.unwrap_or(0)));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_of_ours_names_command() {
        for (name, command) in [
            (&b"init:7"[..], Some(7)),
            (b"init:4194304", Some(4_194_304)),
            (b"init", None),
            (b"init:", None),
            (b"init:x", None),
            (b"init: 7", None),
            (b"xinit:7", None),
            (b"", None),
        ] {
            assert_eq!(parse_command_pid(name), command.map(ProcessId), "{}", name.escape_ascii());
        }
        assert!(is_init(b"init") && is_init(b"init:7"));
        assert!(!is_init(b"init:x") && !is_init(b"docker-init") && !is_init(b""));
    }

    #[test]
    fn who_only_calls_itself_init_is_younger_or_open() {
        let candidate = |id, start, is_closed| Candidate { id: ProcessId(id), start, is_closed };
        let chosen = |candidates: &[Candidate]| choose_init(candidates).map(|id| id.0);
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[candidate(9, 5, true), candidate(6, 3, true), candidate(8, 4, true)]), Some(6));
        assert_eq!(chosen(&[candidate(2, 1, false), candidate(6, 3, true)]), Some(6), "a forger of another container");
        assert_eq!(chosen(&[candidate(9, 5, false), candidate(8, 4, false)]), Some(8));
    }

    #[test]
    fn all_ways_of_reading_and_writing_count() {
        let text =
            b"rchar: 1\nwchar: 20\nsyscr: 7\nsyscw: 7\nread_bytes: 300\nwrite_bytes: 4000\ncancelled_write_bytes: 9\n";
        assert_eq!(sum_io_bytes(text), Some(4321));
        assert_eq!(sum_io_bytes(b""), None);
    }

    #[test]
    fn a_look_sees_this_process_at_work() {
        let own = process::self_pid();
        let sample = sample_activity(own).into_iter().find(|sample| sample.id == own).unwrap();
        assert!(sample.io.is_some_and(|bytes| bytes > 0) && sample.start > 0, "{sample:?}");
    }
}
