//! The filter of system calls, for x86-64: what ComfyUI and its nodes never need, refused whatever the engine's own filter says.
//!
//! The kernel tries a filter once for every call that exists and remembers which are always allowed (Linux 5.11), so most calls
//! cost nothing; those are found by halving, because trying a long list for each of a thousand calls would cost a start more than
//! all the rest of the lock.

use crate::sys::ProcessId;
use crate::sys::seccomp::{self, Instruction, argument, at_least, equals, load, mask, refuse, skip};
use When::{Always, Any, Namespaces, OfInit, Only};
use libc::{EPERM, c_long};

/// When a call is refused.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// Always, as if the kernel did not have it.
    Absent,
    /// One of these bits is set in that argument.
    Any(u32, u32),
    /// That argument is this, and the next one that.
    Only(u32, u32, u32),
    /// One of the bits that make a namespace.
    Namespaces,
    /// That argument names `init`.
    OfInit(u32),
    /// setpriority(2), ioprio_set(2): the first argument says that the second is a process (this number), or a user (that).
    OfInitByKind(u32, u32),
    /// Every socket but those of [`SOCKETS`].
    Socket,
    /// What nobody asks: it is answered, so that it can be seen that this filter is on.
    Question,
}

const MSG_FASTOPEN: u32 = 0x2000_0000;
const TCP_FASTOPEN_CONNECT: u32 = 30;

/// The table: a call, when it is refused, and why.
#[rustfmt::skip]
const TABLE: &[(c_long, When, &str)] = &[
    (libc::SYS_ptrace, Always, "reads and steers other programs"),
    (libc::SYS_process_vm_readv, Always, "reads another process's memory"),
    (libc::SYS_process_vm_writev, Always, "writes another process's memory"),
    (libc::SYS_kcmp, Always, "tells what another process has open"),
    (libc::SYS_pidfd_getfd, Always, "takes another process's descriptors"),
    (libc::SYS_bpf, Always, "programs in the kernel: its most attacked door"),
    (libc::SYS_userfaultfd, Always, "holds the kernel still in the middle of a copy: a tool of exploits"),
    (libc::SYS_io_uring_setup, Always, "makes calls that no filter sees"),
    (libc::SYS_io_uring_enter, Always, "the same"),
    (libc::SYS_io_uring_register, Always, "the same"),
    (libc::SYS_add_key, Always, "keys are not kept apart by namespaces"),
    (libc::SYS_request_key, Always, "the same"),
    (libc::SYS_keyctl, Always, "the same"),
    (libc::SYS_mount, Always, "changes what paths mean"),
    (libc::SYS_umount2, Always, "uncovers what is hidden"),
    (libc::SYS_pivot_root, Always, "changes what paths mean"),
    (libc::SYS_chroot, Always, "the same"),
    (libc::SYS_move_mount, Always, "the same"),
    (libc::SYS_open_tree, Always, "the same"),
    (libc::SYS_fsopen, Always, "the same"),
    (libc::SYS_fsconfig, Always, "the same"),
    (libc::SYS_fsmount, Always, "the same"),
    (libc::SYS_fspick, Always, "the same"),
    (libc::SYS_mount_setattr, Always, "the same"),
    (SYS_OPEN_TREE_ATTR, Always, "the same"),
    (libc::SYS_unshare, Always, "a user namespace has every capability in it, and the kernel's rarest code behind them"),
    (libc::SYS_setns, Always, "the same"),
    (libc::SYS_clone, Namespaces, "the same"),
    (libc::SYS_clone3, When::Absent, "a filter cannot see its flags; pthread_create takes clone(2) then"),
    (libc::SYS_kexec_load, Always, "another kernel"),
    (libc::SYS_kexec_file_load, Always, "the same"),
    (libc::SYS_init_module, Always, "code in the kernel"),
    (libc::SYS_finit_module, Always, "the same"),
    (libc::SYS_delete_module, Always, "the same"),
    (libc::SYS_perf_event_open, Always, "measures other programs; many kernel holes"),
    (libc::SYS_open_by_handle_at, Always, "opens files by number, past every directory"),
    (libc::SYS_syslog, Always, "the kernel's log holds addresses and other containers' words"),
    (libc::SYS_reboot, Always, "the machine's"),
    (libc::SYS_swapon, Always, "the machine's"),
    (libc::SYS_swapoff, Always, "the machine's"),
    (libc::SYS_acct, Always, "the machine's"),
    (libc::SYS_quotactl, Always, "the machine's"),
    (libc::SYS_settimeofday, Always, "the machine's"),
    (libc::SYS_clock_settime, Always, "the machine's"),
    (libc::SYS_iopl, Always, "the machine's ports"),
    (libc::SYS_ioperm, Always, "the same"),
    (libc::SYS_socket, When::Socket, "raw and packet sockets, and kinds that go round Landlock's rules for TCP: MPTCP, SMC, SCTP, VSOCK"),
    (libc::SYS_sendto, Any(3, MSG_FASTOPEN), "connects while it sends, past Landlock's rule"),
    (libc::SYS_sendmsg, Any(2, MSG_FASTOPEN), "the same"),
    (libc::SYS_sendmmsg, Any(3, MSG_FASTOPEN), "the same"),
    (libc::SYS_setsockopt, Only(1, libc::IPPROTO_TCP as u32, TCP_FASTOPEN_CONNECT), "connects while it sends"),
    (libc::SYS_kill, OfInit(0), "Landlock holds signals in from Linux 6.12 on"),
    (libc::SYS_tkill, OfInit(0), "the same"),
    (libc::SYS_tgkill, OfInit(0), "the same"),
    (libc::SYS_rt_sigqueueinfo, OfInit(0), "the same"),
    (libc::SYS_rt_tgsigqueueinfo, OfInit(0), "the same"),
    (libc::SYS_pidfd_open, OfInit(0), "the same"),
    (libc::SYS_prlimit64, OfInit(0), "init has COMMAND's user, who may set its limits: one of processor time ends it"),
    (libc::SYS_sched_setaffinity, OfInit(0), "the same: where it runs"),
    (libc::SYS_sched_setscheduler, OfInit(0), "the same: whether it runs"),
    (libc::SYS_sched_setparam, OfInit(0), "the same"),
    (libc::SYS_sched_setattr, OfInit(0), "the same"),
    (libc::SYS_setpriority, When::OfInitByKind(libc::PRIO_PROCESS, libc::PRIO_USER), "the same"),
    (libc::SYS_ioprio_set, When::OfInitByKind(1, 3), "the same"),
    (libc::SYS_prctl, When::Question, "init asks whether this filter is on"),
];

/// Linux 6.15.
const SYS_OPEN_TREE_ATTR: c_long = 467;

/// Families with every kind of socket: local ones, and what the kernel says of addresses and routes.
const WHOLE_FAMILIES: [i32; 2] = [libc::AF_UNIX, libc::AF_NETLINK];
/// Of the internet's two families: type and protocol. ICMP of this type is ping's.
const SOCKETS: [(i32, i32); 5] = [
    (libc::SOCK_STREAM, 0),
    (libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::SOCK_DGRAM, 0),
    (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    (libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
];
/// Type, without SOCK_CLOEXEC and SOCK_NONBLOCK (`SOCK_TYPE_MASK`).
const TYPE: u32 = 0xf;

/// How many calls are refused, wholly or by what they ask for.
pub const COUNT: usize = TABLE.len() - 1;

/// The filter; `init` is the process that COMMAND must leave alone.
pub fn filter(init: ProcessId) -> Vec<Instruction> {
    let mut calls: Vec<(u32, Vec<Instruction>)> =
        TABLE.iter().map(|(call, when, _)| (*call as u32, block(*when, init.0.unsigned_abs()))).collect();
    calls.sort_unstable_by_key(|(call, _)| *call);
    let mut filter = vec![
        load(seccomp::ARCHITECTURE),
        equals(seccomp::X86_64, 1, 0),
        // The i386 calls have other numbers: as a kernel without them.
        refuse(libc::ENOSYS),
        load(seccomp::NUMBER),
        at_least(seccomp::X32, 0, 1),
        refuse(libc::ENOSYS),
    ];
    filter.extend(halved(&calls));
    filter
}

/// Finds the call's block in few steps.
fn halved(calls: &[(u32, Vec<Instruction>)]) -> Vec<Instruction> {
    if calls.len() <= 3 {
        let each = calls.iter().flat_map(|(call, block)| {
            // A block is a screen at most, far below what a jump can pass over.
            std::iter::once(equals(*call, 0, u8::try_from(block.len()).unwrap_or(u8::MAX))).chain(block.iter().copied())
        });
        return each.chain([seccomp::ALLOW]).collect();
    }
    let (lower, upper) = calls.split_at(calls.len() / 2);
    let below = halved(lower);
    let mut tree = vec![at_least(upper[0].0, 0, 1), skip(below.len() as u32)];
    tree.extend(below);
    tree.extend(halved(upper));
    tree
}

/// What is done with a call once its number is known; every way through it ends in an answer.
fn block(when: When, init: u32) -> Vec<Instruction> {
    let no = refuse(EPERM);
    let yes = seccomp::ALLOW;
    match when {
        Always => vec![no],
        When::Absent => vec![refuse(libc::ENOSYS)],
        Any(index, bits) => vec![load(argument(index)), mask(bits), equals(0, 1, 0), no, yes],
        Namespaces => block(Any(0, NAMESPACES as u32), init),
        OfInit(index) => vec![load(argument(index)), equals(init, 0, 1), no, yes],
        Only(index, value, next) => {
            vec![load(argument(index)), equals(value, 0, 3), load(argument(index + 1)), equals(next, 0, 1), no, yes]
        }
        When::OfInitByKind(process, user) => vec![
            load(argument(0)),
            equals(user, 3, 0),
            equals(process, 0, 3),
            load(argument(1)),
            equals(init, 0, 1),
            no,
            yes,
        ],
        When::Question => vec![load(argument(0)), equals(seccomp::QUESTION as u32, 0, 1), refuse(seccomp::ANSWER), yes],
        When::Socket => socket(),
    }
}

const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

fn socket() -> Vec<Instruction> {
    let (no, yes) = (refuse(EPERM), seccomp::ALLOW);
    let mut block = vec![load(argument(0))];
    for family in WHOLE_FAMILIES {
        block.extend([equals(family as u32, 0, 1), yes]);
    }
    block.extend([equals(libc::AF_INET as u32, 2, 0), equals(libc::AF_INET6 as u32, 1, 0), no]);
    for (kind, protocol) in SOCKETS {
        block.extend([load(argument(1)), mask(TYPE), equals(kind as u32, 0, 3)]);
        block.extend([load(argument(2)), equals(protocol as u32, 0, 1), yes]);
    }
    // ICMPv6's ping.
    block.extend([load(argument(1)), mask(TYPE), equals(libc::SOCK_DGRAM as u32, 0, 3)]);
    block.extend([load(argument(2)), equals(libc::IPPROTO_ICMPV6 as u32, 0, 1), yes, no]);
    block
}

#[cfg(test)]
mod tests {
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
        let filter = filter(ProcessId(INIT as i32));
        match run(&filter, seccomp::X86_64, call as u32, arguments) {
            libc::SECCOMP_RET_ALLOW => 0,
            refused => (refused & 0xffff) as i32,
        }
    }

    #[test]
    fn each_call_is_refused_as_the_table_says_and_no_other() {
        for call in 0..1024 {
            let refused = TABLE.iter().find(|(each, ..)| *each == call);
            let expected = match refused {
                Some((_, Always, _)) => EPERM,
                Some((_, When::Absent, _)) => libc::ENOSYS,
                // Family 0 is none.
                Some((_, When::Socket, _)) => EPERM,
                _ => 0,
            };
            assert_eq!(answer(call, [0; 6]), expected, "call {call}");
        }
        let calls: std::collections::BTreeSet<_> = TABLE.iter().map(|(call, ..)| call).collect();
        assert_eq!(calls.len(), TABLE.len(), "a call stands twice");
        assert!(TABLE.iter().all(|(_, _, why)| !why.is_empty()));
    }

    #[test]
    fn other_instruction_sets_have_no_calls() {
        const I386: u32 = 0x4000_0003;
        let filter = filter(ProcessId(1));
        let nothing = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        for call in [0, 1, 20, 102, 425] {
            assert_eq!(run(&filter, I386, call, [0; 6]), nothing);
            assert_eq!(run(&filter, seccomp::X86_64, seccomp::X32 | call, [0; 6]), nothing);
        }
        assert_eq!(run(&filter, seccomp::X86_64, u32::MAX, [0; 6]), nothing);
    }

    #[test]
    fn sockets_are_those_of_the_table() {
        use libc::*;
        let socket = |family: i32, kind: i32, protocol: i32| {
            answer(SYS_socket, [family as u32, kind as u32, protocol as u32, 0, 0, 0]) == 0
        };
        for family in [AF_INET, AF_INET6] {
            for flags in [0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK] {
                for (kind, protocol) in SOCKETS {
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

        for call in [SYS_kill, SYS_tgkill, SYS_prlimit64, SYS_sched_setaffinity, SYS_pidfd_open] {
            assert_eq!(answer(call, [INIT, 0, 0, 0, 0, 0]), EPERM);
            assert_eq!((answer(call, [0; 6]), answer(call, [7, INIT, 0, 0, 0, 0])), (0, 0));
        }
        for (call, process, group, user) in [(SYS_setpriority, 0, 1, 2), (SYS_ioprio_set, 1, 2, 3)] {
            assert_eq!(answer(call, [process, INIT, 0, 0, 0, 0]), EPERM);
            assert_eq!(answer(call, [user, 0, 0, 0, 0, 0]), EPERM);
            assert_eq!(answer(call, [process, 7, 0, 0, 0, 0]), 0);
            assert_eq!(answer(call, [group, INIT, 0, 0, 0, 0]), 0);
        }
        assert_eq!(answer(SYS_prctl, [seccomp::QUESTION as u32, 0, 0, 0, 0, 0]), seccomp::ANSWER);
        assert_eq!(answer(SYS_prctl, [PR_SET_NAME as u32, 0, 0, 0, 0, 0]), 0);
    }
}
