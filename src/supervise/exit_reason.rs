//! Why COMMAND died of a signal, in one line, as far as it can be known, and what to change.

use crate::machine::limits::OomCounters;
use crate::sys::{ProcessId, Signal, UserId};
use crate::text::Escaped;
use std::fmt;

/// Who is behind the last signal that `init` handed to COMMAND.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Which signal COMMAND got: after TAKUMI_SIGNALS and the ladder.
    pub signal: Signal,
    /// 0: outside this pid namespace.
    pub id: ProcessId,
    /// Its user, as this user namespace counts.
    pub user: UserId,
    /// Whether the kernel made it: a key of the terminal, a hang-up.
    pub is_kernel: bool,
    /// What the sender called itself, where it could still be asked.
    pub name: [u8; 16],
    /// How much of `name` is filled.
    pub name_length: usize,
}

/// What is known of a death.
#[derive(Clone, Copy, Debug)]
pub struct ExitReason {
    /// What COMMAND died of.
    pub signal: Signal,
    /// Whether a core was dumped.
    pub is_core_dumped: bool,
    /// Who had `init` send its last signal, if anybody did.
    pub sender: Option<Sender>,
    /// Whether TAKUMI_STOP's ladder came to SIGKILL.
    pub is_escalated: bool,
    /// Out-of-memory counters when COMMAND had begun and now, where both are known.
    pub memory: Option<(OomCounters, OomCounters)>,
    /// /dev/shm: blocks in use and in all.
    pub shared_memory: Option<(u64, u64)>,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "COMMAND died of {} ({}): ", self.signal, self.signal.number())?;
        self.write_cause(f)?;
        if self.is_core_dumped { f.write_str("; a core was dumped") } else { Ok(()) }
    }
}

impl ExitReason {
    fn write_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.signal == Signal::KILL && self.is_escalated {
            return f.write_str(
                "it had not stopped when TAKUMI_STOP's last step ended (give the steps more time, or find out what it waits for)",
            );
        }
        if let (Signal::KILL, Some((before, now))) = (self.signal, self.memory)
            && now.oom_kills > before.oom_kills
        {
            return write_out_of_memory(f, before, now);
        }
        if let Some(sender) = self.sender.filter(|sender| sender.signal == self.signal) {
            return write!(f, "sent through init by {sender}");
        }
        match self.signal {
            Signal::KILL => f.write_str(
                "no limit of this container was reached, so it was sent from elsewhere: by a process of the same user, the engine, or the host when its own memory ran out",
            ),
            Signal::SEGV => f.write_str("it crashed: an invalid memory access, mostly in native code of a library or a driver (check what was loaded last)"),
            Signal::BUS => match self.shared_memory {
                // 1 of 16 left is less than what a torch data loader asks for at once.
                Some((used, all)) if all > 0 && all - used <= all / 16 => {
                    f.write_str("/dev/shm is full or almost full (raise --shm-size, or use fewer workers)")
                }
                _ => f.write_str("it used mapped memory that has no storage: a truncated file, a full disk or tmpfs, or failing hardware"),
            },
            Signal::ILL => f.write_str("this CPU lacks an instruction that it uses (install a build for older CPUs)"),
            Signal::ABRT => f.write_str("it aborted: abort(), an uncaught C++ exception or a failed assertion (its own last lines say why)"),
            Signal::FPE => f.write_str("an arithmetic fault such as an integer division by zero"),
            Signal::SYS => f.write_str("a seccomp filter refused one of its system calls (see the engine's seccomp profile)"),
            Signal::XCPU => f.write_str("CPU time limit exceeded (raise --ulimit cpu)"),
            Signal::XFSZ => f.write_str("file size limit exceeded (raise --ulimit fsize)"),
            _ => f.write_str("it was sent to COMMAND directly, not through init"),
        }
    }
}

fn write_out_of_memory(f: &mut fmt::Formatter<'_>, before: OomCounters, now: OomCounters) -> fmt::Result {
    let reached_limit = match (before.limit_hits, now.limit_hits) {
        (Some(before), Some(now)) => now > before,
        // v1 does not count that: a limit that is set is the likely one.
        _ => now.limit.is_some(),
    };
    match (reached_limit, now.limit) {
        (true, Some(limit)) => write!(
            f,
            "out of memory: the container's limit of {} MiB was reached (raise --memory, or use less)",
            limit >> 20
        ),
        (true, None) => {
            f.write_str("out of memory: a memory limit above the container's was reached (raise it, or use less)")
        }
        (false, _) => f.write_str(
            "out of memory on the host, not at this container's limit (free memory on the host, or add some)",
        ),
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_kernel {
            return f.write_str("the terminal");
        }
        if self.id.0 == 0 {
            return f.write_str("a process outside the container (the engine, or a person on the host)");
        }
        write!(f, "process {}", self.id)?;
        if self.name_length > 0 {
            write!(f, " ({})", Escaped(&self.name[..self.name_length.min(16)]))?;
        }
        write!(f, " of uid {}", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(signal: Signal) -> ExitReason {
        ExitReason {
            signal,
            is_core_dumped: false,
            sender: None,
            is_escalated: false,
            memory: None,
            shared_memory: None,
        }
    }

    fn sender(signal: Signal, id: i32) -> Sender {
        let mut name = [0; 16];
        name[..4].copy_from_slice(b"kill");
        Sender { signal, id: ProcessId(id), user: UserId(5), is_kernel: false, name, name_length: 4 }
    }

    fn memory(kills: u64, at_limit: Option<u64>, limit: Option<u64>) -> OomCounters {
        OomCounters { oom_kills: kills, limit_hits: at_limit, limit }
    }

    #[test]
    fn out_of_memory_names_the_limit_that_was_met() {
        for (before, now, said) in [
            (memory(0, Some(0), None), memory(1, Some(1), Some(512 << 20)), "limit of 512 MiB"),
            (memory(2, None, None), memory(3, None, Some(64 << 20)), "limit of 64 MiB"),
            (memory(0, Some(3), None), memory(1, Some(3), Some(64 << 20)), "out of memory on the host"),
            (memory(0, Some(0), None), memory(1, Some(1), None), "above the container's was reached"),
            (memory(4, Some(0), None), memory(4, Some(9), Some(1 << 20)), "so it was sent from elsewhere"),
        ] {
            let line = ExitReason { memory: Some((before, now)), ..death(Signal::KILL) }.to_string();
            assert!(line.starts_with("COMMAND died of SIGKILL (9): ") && line.contains(said), "{line}");
        }
    }

    #[test]
    fn the_sender_is_told_where_it_is_known() {
        let by = |sender| ExitReason { sender: Some(sender), ..death(Signal::TERM) }.to_string();
        assert!(by(sender(Signal::TERM, 7)).contains("process 7 (kill) of uid 5"));
        assert!(by(sender(Signal::TERM, 0)).contains("outside the container"));
        assert!(by(Sender { is_kernel: true, ..sender(Signal::TERM, 0) }).contains("the terminal"));
        assert!(by(sender(Signal::INT, 7)).contains("directly"), "another signal's sender is not this one's");
    }

    #[test]
    fn a_full_dev_shm_is_told_from_other_bus_errors() {
        let with = |used, all| ExitReason { shared_memory: Some((used, all)), ..death(Signal::BUS) }.to_string();
        assert!(with(16_000, 16_384).contains("--shm-size"));
        assert!(!with(100, 16_384).contains("--shm-size") && !with(0, 0).contains("--shm-size"));
    }

    #[test]
    fn the_ladders_own_kill_is_owned_up_to() {
        let line = ExitReason { is_escalated: true, is_core_dumped: true, ..death(Signal::KILL) }.to_string();
        assert!(line.contains("TAKUMI_STOP") && line.ends_with("a core was dumped"));
    }
}
