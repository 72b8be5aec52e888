//! The filter, run instruction by instruction.

use super::*;

const INIT: u32 = 1;

/// What the kernel would do, instruction by instruction. Panics where it leaves the filter.
fn run(filter: &[Instruction], arch: u32, call: u32, arguments: [u32; 6]) -> u32 {
    let (mut at, mut word) = (0, 0_u32);
    loop {
        let Instruction { code, jt, jf, k } = filter[at];
        at += 1;
        let jump = |taken: bool| usize::from(if taken { jt } else { jf });
        match u32::from(code) {
            0x20 => {
                word = match k {
                    0 => call,
                    4 => arch,
                    _ => arguments[(k as usize - 16) / 8],
                }
            }
            0x54 => word &= k,
            0x15 => at += jump(word == k),
            0x35 => at += jump(word >= k),
            0x05 => at += k as usize,
            0x06 => return k,
            other => panic!("{other:#x} is no instruction of ours"),
        }
    }
}

fn answer(call: c_long, arguments: [u32; 6]) -> i32 {
    let filter = build_filter(ProcessId(INIT as i32));
    match run(&filter, seccomp::AUDIT_ARCH_X86_64, call as u32, arguments) {
        libc::SECCOMP_RET_ALLOW => 0,
        refused => (refused & 0xffff) as i32,
    }
}

#[test]
fn each_call_is_refused_as_the_table_says_and_no_other() {
    for call in 0..1024 {
        let refused = RULES.iter().find(|(each, ..)| *each == call);
        let expected = match refused {
            Some((_, Always, _)) => EPERM,
            Some((_, Condition::NotImplemented, _)) => libc::ENOSYS,
            // Family 0 is none.
            Some((_, Condition::Socket, _)) => EPERM,
            _ => 0,
        };
        assert_eq!(answer(call, [0; 6]), expected, "call {call}");
    }
    let calls: std::collections::BTreeSet<_> = RULES.iter().map(|(call, ..)| call).collect();
    assert_eq!(calls.len(), RULES.len(), "a call stands twice");
    assert!(RULES.iter().all(|(_, _, why)| !why.is_empty()));
}

/// A second list, by the calls' numbers: a row that is lost from the first is missed. Many of these calls the kernel
/// refuses to COMMAND all the same, so that no container can tell.
#[test]
fn no_row_is_lost() {
    const WHOLLY: [u32; 44] = [
        101, 103, 155, 161, 163, 165, 166, 167, 168, 169, 172, 173, 175, 176, 179, 227, 246, 248, 249, 250, 272, 298,
        304, 308, 310, 311, 312, 313, 320, 321, 323, 164, 425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 467,
    ];
    const ABSENT: [u32; 2] = [435, 437];
    const OF_INIT: [u32; 11] = [62, 200, 234, 129, 297, 434, 302, 203, 144, 142, 314];
    const BY_ARGUMENT: [u32; 18] = [56, 41, 44, 46, 307, 54, 90, 91, 268, 452, 2, 257, 85, 133, 259, 141, 251, 157];
    let is = |call: u32, wanted: fn(&Condition) -> bool| {
        RULES.iter().any(|(each, when, _)| *each == i64::from(call) && wanted(when))
    };
    assert!(WHOLLY.iter().all(|&call| is(call, |when| matches!(when, Always))));
    assert!(ABSENT.iter().all(|&call| is(call, |when| matches!(when, Condition::NotImplemented))));
    assert!(OF_INIT.iter().all(|&call| is(call, |when| matches!(when, TargetsInit(0)))));
    assert!(
        BY_ARGUMENT
            .iter()
            .all(|&call| is(call, |when| !matches!(when, Always | Condition::NotImplemented | TargetsInit(_))))
    );
    assert_eq!(RULES.len(), WHOLLY.len() + ABSENT.len() + OF_INIT.len() + BY_ARGUMENT.len());
}

#[test]
fn other_instruction_sets_have_no_calls() {
    const I386: u32 = 0x4000_0003;
    let filter = build_filter(ProcessId(1));
    let nothing = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    for call in [0, 1, 20, 102, 425] {
        assert_eq!(run(&filter, I386, call, [0; 6]), nothing);
        assert_eq!(run(&filter, seccomp::AUDIT_ARCH_X86_64, seccomp::X32_SYSCALL_BIT | call, [0; 6]), nothing);
    }
    assert_eq!(run(&filter, seccomp::AUDIT_ARCH_X86_64, u32::MAX, [0; 6]), nothing);
}

#[test]
fn sockets_are_those_of_the_table() {
    use libc::*;
    let socket = |family: i32, kind: i32, protocol: i32| {
        answer(SYS_socket, [family as u32, kind as u32, protocol as u32, 0, 0, 0]) == 0
    };
    for family in [AF_INET, AF_INET6] {
        for flags in [0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK] {
            for (kind, protocol) in ALLOWED_SOCKETS {
                assert!(socket(family, kind | flags, protocol), "{family} {kind} {protocol}");
            }
            for (kind, protocol) in
                [(SOCK_STREAM, 262), (SOCK_STREAM, 256), (SOCK_STREAM, 132), (SOCK_RAW, 6), (SOCK_RAW, 255)]
            {
                assert!(!socket(family, kind | flags, protocol), "{family} {kind} {protocol}");
            }
            // 10: packets, the old way.
            for kind in [SOCK_SEQPACKET, SOCK_DCCP, 10, SOCK_RDM, 0] {
                assert!(!socket(family, kind | flags, 0), "{family} {kind}");
            }
        }
    }
    assert!(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6) && !socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
    assert!(socket(AF_UNIX, SOCK_SEQPACKET, 0) && socket(AF_NETLINK, SOCK_RAW, 0));
    for family in (0..64).filter(|family| ![AF_UNIX, AF_INET, AF_INET6, AF_NETLINK].contains(family)) {
        assert!(!socket(family, SOCK_STREAM, 0) && !socket(family, SOCK_DGRAM, 0), "family {family}");
    }
}

#[test]
fn arguments_decide_where_the_table_says() {
    use libc::*;
    let namespaces =
        [CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWUTS];
    for flag in namespaces {
        assert_eq!(answer(SYS_clone, [(flag | SIGCHLD) as u32, 0, 0, 0, 0, 0]), EPERM);
    }
    let thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS | CLONE_SYSVSEM;
    assert_eq!(answer(SYS_clone, [thread as u32, 0, 0, 0, 0, 0]), 0);

    let fast = super::MSG_FASTOPEN | MSG_NOSIGNAL as u32;
    assert_eq!(answer(SYS_sendto, [3, 0, 0, fast, 0, 0]), EPERM);
    assert_eq!(answer(SYS_sendto, [3, 0, fast, MSG_NOSIGNAL as u32, fast, 0]), 0);
    assert_eq!(answer(SYS_sendmsg, [3, 0, fast, 0, 0, 0]), EPERM);
    assert_eq!(answer(SYS_sendmsg, [3, fast, 0, fast, 0, 0]), 0);
    assert_eq!(answer(SYS_sendmmsg, [3, 0, 1, fast, 0, 0]), EPERM);
    assert_eq!(answer(SYS_sendmmsg, [3, 0, fast, 0, 0, 0]), 0);
    assert_eq!(answer(SYS_setsockopt, [3, 6, 30, 0, 0, 0]), EPERM);
    assert_eq!((answer(SYS_setsockopt, [3, 6, 1, 0, 0, 0]), answer(SYS_setsockopt, [3, 1, 30, 0, 0, 0])), (0, 0));

    let of_init = RULES.iter().filter(|(_, when, _)| matches!(when, TargetsInit(_)));
    for &(call, ..) in of_init {
        assert_eq!(answer(call, [INIT, 0, 0, 0, 0, 0]), EPERM);
        assert_eq!((answer(call, [0; 6]), answer(call, [7, INIT, 0, 0, 0, 0])), (0, 0));
    }
    for (call, process, group, user) in [(SYS_setpriority, 0, 1, 2), (SYS_ioprio_set, 1, 2, 3)] {
        assert_eq!(answer(call, [process, INIT, 0, 0, 0, 0]), EPERM);
        assert_eq!(answer(call, [user, 0, 0, 0, 0, 0]), EPERM);
        assert_eq!(answer(call, [process, 7, 0, 0, 0, 0]), 0);
        assert_eq!(answer(call, [group, INIT, 0, 0, 0, 0]), 0);
    }
    for (call, mode) in
        [(SYS_chmod, 1), (SYS_fchmod, 1), (SYS_creat, 1), (SYS_mknod, 1), (SYS_fchmodat, 2), (452, 2), (SYS_mknodat, 2)]
    {
        for (bits, expected) in [(0o4755, EPERM), (0o104_000, EPERM), (0o2775, 0), (0o1777, 0), (0o755, 0)] {
            let mut arguments = [0o4000; 6];
            arguments[mode] = bits;
            assert_eq!(answer(call, arguments), expected, "call {call}, {bits:o}");
        }
    }
    for (call, flags) in [(SYS_open, 1), (SYS_openat, 2)] {
        for (bits, mode, expected) in [
            (O_CREAT | O_WRONLY, 0o4755, EPERM),
            (O_TMPFILE | O_RDWR, 0o4600, EPERM),
            (O_CREAT | O_WRONLY, 0o2755, 0),
            // The kernel takes no notice of the mode then, and whoever calls may leave anything there.
            (O_RDONLY, 0o4755, 0),
            (O_DIRECTORY | O_CLOEXEC, u32::MAX, 0),
        ] {
            let mut arguments = [0; 6];
            (arguments[flags], arguments[flags + 1]) = (bits as u32, mode);
            assert_eq!(answer(call, arguments), expected, "call {call}, {bits:o}, {mode:o}");
        }
    }
    assert_eq!(answer(SYS_prctl, [seccomp::SELF_TEST_OPTION as u32, 0, 0, 0, 0, 0]), seccomp::SELF_TEST_ERRNO);
    assert_eq!(answer(SYS_prctl, [PR_SET_NAME as u32, 0, 0, 0, 0, 0]), 0);
}
