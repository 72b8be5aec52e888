//! Descriptors that `init` was started with. All but the declared ones are closed at once: one that an engine left open
//! can lead out of the container (CVE-2024-21626).

use super::refusal::Refusal;
use crate::settings::{KeepDescriptors, value_of};
use crate::sys::{ProcessId, io};
use std::ffi::CStr;
use std::os::fd::RawFd;

/// What stays open for COMMAND.
#[derive(PartialEq, Eq, Debug)]
pub struct Inherited {
    /// Numbers from 3 on, ascending.
    pub kept: Vec<RawFd>,
    /// LISTEN_PID names `init` (`man 3 sd_listen_fds`): it must name COMMAND.
    pub is_listen_pid: bool,
}

/// Closes what is not kept.
pub fn close_undeclared(
    keep: &KeepDescriptors,
    environment: &[&CStr],
    self_pid: ProcessId,
) -> Result<Inherited, Refusal> {
    let (passed, listens) = listen_fds(environment, self_pid);
    let kept = match keep {
        KeepDescriptors::All => {
            let open = io::list_open_descriptors().or_else(|_| io::open_descriptors_within(io::FIRST_NON_STDIO, 1024));
            open.map_err(|errno| Refusal::system("list the inherited descriptors", errno))?
        }
        KeepDescriptors::Listed(numbers) => {
            let mut kept: Vec<RawFd> = numbers.iter().map(|&number| number as RawFd).chain(passed).collect();
            kept.sort_unstable();
            kept.dedup();
            close_others(&kept)?;
            kept
        }
    };
    Ok(Inherited { kept, is_listen_pid: listens })
}

fn listen_fds(environment: &[&CStr], self_pid: ProcessId) -> (std::ops::Range<RawFd>, bool) {
    let number = |name| std::str::from_utf8(value_of(environment, name)?).ok()?.parse::<i32>().ok();
    let listens = number(b"LISTEN_PID") == Some(self_pid.0);
    let count = if listens { number(b"LISTEN_FDS").unwrap_or(0).clamp(0, 65_536) } else { 0 };
    (io::FIRST_NON_STDIO..io::FIRST_NON_STDIO + count, listens)
}

fn close_others(kept: &[RawFd]) -> Result<(), Refusal> {
    let mut first = io::FIRST_NON_STDIO as u32;
    for number in kept.iter().map(|&number| number as u32) {
        if number > first {
            close(first, number - 1)?;
        }
        first = number + 1;
    }
    close(first, u32::MAX)
}

fn close(first: u32, last: u32) -> Result<(), Refusal> {
    io::close_range(first, last).map_err(|errno| Refusal::system("close inherited descriptors", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listen_pid_that_names_init_counts() {
        let self_pid = ProcessId(7);
        assert_eq!(listen_fds(&[c"LISTEN_PID=7", c"LISTEN_FDS=2"], self_pid), (3..5, true));
        assert_eq!(listen_fds(&[c"LISTEN_PID=8", c"LISTEN_FDS=2"], self_pid), (3..3, false));
        assert_eq!(listen_fds(&[c"LISTEN_PID=7"], self_pid), (3..3, true));
        assert_eq!(listen_fds(&[c"LISTEN_PID=7", c"LISTEN_FDS=-2"], self_pid), (3..3, true));
    }
}
