//! The sandbox: how much of it the kernel gives, and what it leaves open.

use super::finding::Finding;
use super::ports;
use crate::machine::Machine;
use crate::machine::sandbox::SandboxSupport;
use crate::settings::checks::Check;
use crate::settings::{ConfineMode, Settings};
use crate::sys::Errno;
use crate::text::List;

const ID: Check = Check::Confined;

/// Judges it. Off is how most images have it; who requires the lock must not get a start without it.
pub fn evaluate(settings: &Settings, machine: &Machine) -> Finding {
    let Some(kernel) = &machine.sandbox else {
        let off = "no sandbox around COMMAND (TAKUMI_CONFINE=off)";
        return match settings.require.contains(&ID) {
            true => Finding::fail(ID, off, "set TAKUMI_CONFINE=auto, or remove confined from TAKUMI_REQUIRE"),
            false => Finding::skipped(ID, off),
        };
    };
    let strict = settings.confine == ConfineMode::Strict;
    let detail =
        format!("{}; not restricted: {}", describe_enforced(settings, kernel), List(&uncovered(kernel, strict)));
    if kernel.landlock.is_err() || kernel.filters.is_err() {
        return Finding::fail(ID, detail, remedy(kernel));
    }
    if strict && !kernel.is_full() {
        let fix = "run Linux 6.12 or newer, or set TAKUMI_CONFINE=auto, which uses what the kernel offers";
        return Finding::fail(ID, format!("TAKUMI_CONFINE=strict needs more than this kernel offers: {detail}"), fix);
    }
    Finding::pass(ID, detail)
}

fn describe_enforced(settings: &Settings, kernel: &SandboxSupport) -> String {
    let landlock = match kernel.landlock {
        Ok(level) => {
            format!("Landlock ABI {level}: writes only to volumes, tmpfs, TAKUMI_WRITABLE and devices")
        }
        Err(Errno(libc::EOPNOTSUPP)) => "no Landlock: turned off in this kernel".to_string(),
        Err(errno) => format!("no Landlock: {errno}"),
    };
    let ports = match ports::allowed_ports(settings, kernel).as_deref() {
        Some([]) => ", no TCP connections".to_string(),
        Some(ports) => format!(", TCP connections only to ports {}", List(ports)),
        None => String::new(),
    };
    let filter = match kernel.filters {
        Ok(()) => "seccomp refuses calls that apps never need".to_string(),
        Err(errno) => format!("no seccomp filter: {errno}"),
    };
    format!("{landlock}{ports}; {filter}")
}

/// What is left open, in the words of docs/shields.md.
fn uncovered(kernel: &SandboxSupport, strict: bool) -> Vec<&'static str> {
    let level = kernel.landlock_abi();
    let below = |since: u32| level > 0 && level < since;
    let all: [(bool, &'static str); 10] = [
        (true, "reading"),
        (level > 0, "chmod, chown and times of its own files"),
        (level > 0 && (!strict || level < 3), "truncate of its own files elsewhere"),
        (true, "UDP"),
        (kernel.proxies.is_none(), "TCP connections (no proxy is set)"),
        (kernel.proxies.is_some() && level < 4, "TCP connections (Linux 6.7)"),
        (kernel.can_restrict_ports(), "these ports on other addresses"),
        (below(2), "(renames between directories fail before Linux 5.19)"),
        (level < 6, "abstract sockets and other signals (Linux 6.12)"),
        (level == 0, "files"),
    ];
    all.into_iter().filter_map(|(open, words)| open.then_some(words)).collect()
}

fn remedy(kernel: &SandboxSupport) -> &'static str {
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
    use crate::posture::finding::CheckStatus;

    fn finding(confine: ConfineMode, require: bool, lock: Option<SandboxSupport>) -> Finding {
        let mut settings = Settings { confine, ..Settings::default() };
        if require {
            settings.require.push(ID);
        }
        evaluate(&settings, &Machine { sandbox: lock, ..hardened() })
    }

    fn sandbox_support(level: u32, ports: Option<&[u16]>) -> Option<SandboxSupport> {
        Some(SandboxSupport { landlock: Ok(level), filters: Ok(()), proxies: ports.map(<[u16]>::to_vec) })
    }

    #[test]
    fn off_is_said_and_no_answer_to_who_requires_it() {
        assert_eq!(finding(ConfineMode::Off, false, None).status, CheckStatus::Skipped);
        let required = finding(ConfineMode::Off, true, None);
        assert!(required.status == CheckStatus::Fail && required.fix.unwrap().contains("TAKUMI_CONFINE=auto"));
    }

    #[test]
    fn each_level_is_named_with_what_it_leaves_open() {
        for level in 1..=7 {
            let auto = finding(ConfineMode::Auto, false, sandbox_support(level, Some(&[8188, 8888])));
            assert_eq!(auto.status, CheckStatus::Pass, "{level}");
            assert!(auto.detail.contains(&format!("Landlock ABI {level}:")), "{}", auto.detail);
            assert_eq!(auto.detail.contains("TCP connections only to ports 8188, 8888"), level >= 4, "{}", auto.detail);
            assert_eq!(auto.detail.contains("Linux 6.12"), level < 6, "{}", auto.detail);
            let strict = finding(ConfineMode::Strict, false, sandbox_support(level, None));
            assert_eq!(strict.status == CheckStatus::Pass, level >= 6, "{level}");
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
                let finding = finding(ConfineMode::Auto, false, Some(half));
                assert!(finding.status == CheckStatus::Fail && finding.fix.is_some(), "{finding:?}");
            }
        }
    }
}
