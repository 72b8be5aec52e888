//! The second lock: how much of it the kernel gives, and what it leaves open.

use super::finding::Finding;
use super::ports;
use crate::machine::Machine;
use crate::machine::sandbox::SandboxSupport;
use crate::settings::checks::Check;
use crate::settings::{Confine, Settings};
use crate::sys::Errno;
use crate::text::List;

const ID: Check = Check::Confined;

/// Judges it. Off is how most images have it; who requires the lock must not get a start without it.
pub fn judge(settings: &Settings, machine: &Machine) -> Finding {
    let Some(kernel) = &machine.sandbox else {
        let off = "no second lock around COMMAND: TAKUMI_CONFINE is off";
        return match settings.require.contains(&ID) {
            true => Finding::missing(ID, off, "set TAKUMI_CONFINE=auto, or take confined out of TAKUMI_REQUIRE"),
            false => Finding::skipped(ID, off),
        };
    };
    let strict = settings.confine == Confine::Strict;
    let detail = format!("{}; not covered: {}", given(settings, kernel), List(&open(kernel, strict)));
    if kernel.landlock.is_err() || kernel.filters.is_err() {
        return Finding::missing(ID, detail, lacking(kernel));
    }
    if strict && !kernel.is_full() {
        let fix = "run Linux 6.12 or newer, or set TAKUMI_CONFINE=auto, which takes what the kernel gives";
        return Finding::missing(ID, format!("TAKUMI_CONFINE=strict asks for everything: {detail}"), fix);
    }
    Finding::held(ID, detail)
}

fn given(settings: &Settings, kernel: &SandboxSupport) -> String {
    let landlock = match kernel.landlock {
        Ok(level) => {
            format!("Landlock level {level}: COMMAND writes volumes, tmpfs, TAKUMI_WRITABLE and devices alone")
        }
        Err(Errno(libc::EOPNOTSUPP)) => "no Landlock: it is turned off".to_string(),
        Err(errno) => format!("no Landlock: {errno}"),
    };
    let ports = match ports::of(settings, kernel).as_deref() {
        Some([]) => ", connects to no TCP port".to_string(),
        Some(ports) => format!(", connects to TCP ports {} alone", List(ports)),
        None => String::new(),
    };
    let filter = match kernel.filters {
        Ok(()) => "calls it never needs are refused".to_string(),
        Err(errno) => format!("no filter of system calls: {errno}"),
    };
    format!("{landlock}{ports}; {filter}")
}

/// What is left open, in the words of docs/shields.md.
fn open(kernel: &SandboxSupport, strict: bool) -> Vec<&'static str> {
    let level = kernel.landlock_abi();
    let below = |since: u32| level > 0 && level < since;
    let all: [(bool, &'static str); 10] = [
        (true, "reading"),
        (level > 0, "modes, times and owners of its own files"),
        (level > 0 && (!strict || level < 3), "emptying its own files elsewhere (truncate)"),
        (true, "UDP"),
        (kernel.proxies.is_none(), "TCP connections (no proxy is set)"),
        (kernel.proxies.is_some() && level < 4, "TCP connections (Linux 6.7)"),
        (kernel.can_restrict_ports(), "those ports of other addresses"),
        (below(2), "(renames between directories fail before Linux 5.19)"),
        (level < 6, "abstract sockets and other signals (Linux 6.12)"),
        (level == 0, "files"),
    ];
    all.into_iter().filter_map(|(open, words)| open.then_some(words)).collect()
}

fn lacking(kernel: &SandboxSupport) -> &'static str {
    match (kernel.landlock, kernel.filters) {
        (Err(Errno(libc::EOPNOTSUPP)), _) => "add landlock to lsm= on the host's kernel command line",
        (Err(_), _) => {
            "run Linux 5.13 or newer with Landlock, and an engine whose seccomp profile allows it (Docker 23, Podman 4)"
        }
        (Ok(_), _) => "run a kernel with CONFIG_SECCOMP_FILTER, and an engine whose seccomp profile allows seccomp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::engines::hardened;
    use crate::posture::finding::Status;

    fn judged(confine: Confine, require: bool, lock: Option<SandboxSupport>) -> Finding {
        let mut settings = Settings { confine, ..Settings::default() };
        if require {
            settings.require.push(ID);
        }
        judge(&settings, &Machine { sandbox: lock, ..hardened() })
    }

    fn lock(level: u32, ports: Option<&[u16]>) -> Option<SandboxSupport> {
        Some(SandboxSupport { landlock: Ok(level), filters: Ok(()), proxies: ports.map(<[u16]>::to_vec) })
    }

    #[test]
    fn off_is_said_and_no_answer_to_who_requires_it() {
        assert_eq!(judged(Confine::Off, false, None).status, Status::Skipped);
        let required = judged(Confine::Off, true, None);
        assert!(required.status == Status::Missing && required.fix.unwrap().contains("TAKUMI_CONFINE=auto"));
    }

    #[test]
    fn each_level_is_named_with_what_it_leaves_open() {
        for level in 1..=7 {
            let auto = judged(Confine::Auto, false, lock(level, Some(&[8188, 8888])));
            assert_eq!(auto.status, Status::Held, "{level}");
            assert!(auto.detail.contains(&format!("Landlock level {level}:")), "{}", auto.detail);
            assert_eq!(auto.detail.contains("TCP ports 8188, 8888 alone"), level >= 4, "{}", auto.detail);
            assert_eq!(auto.detail.contains("Linux 6.12"), level < 6, "{}", auto.detail);
            let strict = judged(Confine::Strict, false, lock(level, None));
            assert_eq!(strict.status == Status::Held, level >= 6, "{level}");
            assert_eq!(strict.detail.contains("truncate"), level < 3, "{}", strict.detail);
            assert!(strict.detail.contains("no proxy is set"));
        }
    }

    #[test]
    fn half_a_lock_is_missing() {
        for errno in [libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM] {
            let halves = [
                SandboxSupport { landlock: Err(Errno(errno)), filters: Ok(()), proxies: None },
                SandboxSupport { landlock: Ok(7), filters: Err(Errno(errno)), proxies: None },
            ];
            for half in halves {
                let finding = judged(Confine::Auto, false, Some(half));
                assert!(finding.status == Status::Missing && finding.fix.is_some(), "{finding:?}");
            }
        }
    }
}
