//! The filter of system calls, for x86-64: what ComfyUI and its nodes never need, refused whatever the engine's own
//! filter says.
//!
//! The kernel tries a filter once for every call that exists and remembers which are always allowed (Linux 5.11), so
//! most calls cost nothing; those are found by halving, because trying a long list for each of a thousand calls would
//! cost a start more than all the rest of the sandbox.

use crate::sys::ProcessId;
use crate::sys::seccomp::{
    self, Instruction, argument_offset, jump, jump_if_at_least, jump_if_equal, load, mask, return_errno,
};
use Condition::{Always, Any, Creates, Namespaces, Only, TargetsInit};
use libc::{EPERM, c_long};

/// When a call is refused.
#[derive(Clone, Copy, Debug)]
enum Condition {
    Always,
    /// Always, as if the kernel did not have it.
    NotImplemented,
    /// One of these bits is set in that argument.
    Any(u32, u32),
    /// That argument is this, and the next one that.
    Only(u32, u32, u32),
    /// One of the bits that make a namespace.
    Namespaces,
    /// That argument says to create, and the next one, the mode, has the setuid bit.
    Creates(u32),
    /// That argument names `init`.
    TargetsInit(u32),
    /// setpriority(2), ioprio_set(2): the first argument says that the second is a process (this number), or a user
    /// (that).
    TargetsInitByKind(u32, u32),
    /// Every socket but those of [`ALLOWED_SOCKETS`].
    Socket,
    /// What nobody asks: it is answered, so that it can be seen that this filter is on.
    SelfTest,
}

const MSG_FASTOPEN: u32 = 0x2000_0000;
const TCP_FASTOPEN_CONNECT: u32 = 30;
/// Without its other half, O_DIRECTORY, which asks for nothing new.
const TMPFILE_BIT: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// The table: a call, when it is refused, and why.
#[rustfmt::skip]
const RULES: &[(c_long, Condition, &str)] = &[
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
    (libc::SYS_clone3, Condition::NotImplemented, "a filter cannot see its flags; pthread_create takes clone(2) then"),
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
    (libc::SYS_socket, Condition::Socket, "raw and packet sockets, and kinds that go round Landlock's rules for TCP: MPTCP, SMC, SCTP, VSOCK"),
    (libc::SYS_sendto, Any(3, MSG_FASTOPEN), "connects while it sends, past Landlock's rule"),
    (libc::SYS_sendmsg, Any(2, MSG_FASTOPEN), "the same"),
    (libc::SYS_sendmmsg, Any(3, MSG_FASTOPEN), "the same"),
    (libc::SYS_setsockopt, Only(1, libc::IPPROTO_TCP as u32, TCP_FASTOPEN_CONNECT), "connects while it sends"),
    (libc::SYS_chmod, Any(1, libc::S_ISUID), "a setuid file in a volume: on the host, whoever runs it becomes the app's user"),
    (libc::SYS_fchmod, Any(1, libc::S_ISUID), "the same"),
    (libc::SYS_fchmodat, Any(2, libc::S_ISUID), "the same"),
    (SYS_FCHMODAT2, Any(2, libc::S_ISUID), "the same"),
    (libc::SYS_open, Creates(1), "the same"),
    (libc::SYS_openat, Creates(2), "the same"),
    (libc::SYS_creat, Any(1, libc::S_ISUID), "the same"),
    (libc::SYS_mknod, Any(1, libc::S_ISUID), "the same"),
    (libc::SYS_mknodat, Any(2, libc::S_ISUID), "the same"),
    (libc::SYS_openat2, Condition::NotImplemented, "a filter cannot see its mode; libraries take openat(2) then"),
    (libc::SYS_kill, TargetsInit(0), "Landlock holds signals in from Linux 6.12 on"),
    (libc::SYS_tkill, TargetsInit(0), "the same"),
    (libc::SYS_tgkill, TargetsInit(0), "the same"),
    (libc::SYS_rt_sigqueueinfo, TargetsInit(0), "the same"),
    (libc::SYS_rt_tgsigqueueinfo, TargetsInit(0), "the same"),
    (libc::SYS_pidfd_open, TargetsInit(0), "the same"),
    (libc::SYS_prlimit64, TargetsInit(0), "init has COMMAND's user, who may set its limits: one of processor time ends it"),
    (libc::SYS_sched_setaffinity, TargetsInit(0), "the same: where it runs"),
    (libc::SYS_sched_setscheduler, TargetsInit(0), "the same: whether it runs"),
    (libc::SYS_sched_setparam, TargetsInit(0), "the same"),
    (libc::SYS_sched_setattr, TargetsInit(0), "the same"),
    (libc::SYS_setpriority, Condition::TargetsInitByKind(libc::PRIO_PROCESS, libc::PRIO_USER), "the same"),
    (libc::SYS_ioprio_set, Condition::TargetsInitByKind(1, 3), "the same"),
    (libc::SYS_prctl, Condition::SelfTest, "init asks whether this filter is on"),
];

/// Linux 6.6.
const SYS_FCHMODAT2: c_long = 452;
/// Linux 6.15.
const SYS_OPEN_TREE_ATTR: c_long = 467;

/// Families with every kind of socket: local ones, and what the kernel says of addresses and routes.
const ALLOWED_FAMILIES: [i32; 2] = [libc::AF_UNIX, libc::AF_NETLINK];
/// Of the internet's two families: type and protocol. ICMP of this type is ping's.
const ALLOWED_SOCKETS: [(i32, i32); 5] = [
    (libc::SOCK_STREAM, 0),
    (libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::SOCK_DGRAM, 0),
    (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    (libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
];
/// Type, without SOCK_CLOEXEC and SOCK_NONBLOCK (`SOCK_TYPE_MASK`).
const TYPE_MASK: u32 = 0xf;

/// The filter; `init` is the process that COMMAND must leave alone.
pub fn build_filter(init: ProcessId) -> Vec<Instruction> {
    let mut calls: Vec<(u32, Vec<Instruction>)> =
        RULES.iter().map(|(call, when, _)| (*call as u32, rule_body(*when, init.0.unsigned_abs()))).collect();
    calls.sort_unstable_by_key(|(call, _)| *call);
    let mut filter = vec![
        load(seccomp::ARCHITECTURE_OFFSET),
        jump_if_equal(seccomp::AUDIT_ARCH_X86_64, 1, 0),
        // The i386 calls have other numbers: as a kernel without them.
        return_errno(libc::ENOSYS),
        load(seccomp::NUMBER_OFFSET),
        jump_if_at_least(seccomp::X32_SYSCALL_BIT, 0, 1),
        return_errno(libc::ENOSYS),
    ];
    filter.extend(binary_search(&calls));
    filter
}

/// Finds the call's block in few steps.
fn binary_search(calls: &[(u32, Vec<Instruction>)]) -> Vec<Instruction> {
    if calls.len() <= 3 {
        let each = calls.iter().flat_map(|(call, block)| {
            // A block is a screen at most, far below what a jump can pass over.
            std::iter::once(jump_if_equal(*call, 0, u8::try_from(block.len()).unwrap_or(u8::MAX)))
                .chain(block.iter().copied())
        });
        return each.chain([seccomp::ALLOW]).collect();
    }
    let (lower, upper) = calls.split_at(calls.len() / 2);
    let below = binary_search(lower);
    let mut tree = vec![jump_if_at_least(upper[0].0, 0, 1), jump(below.len() as u32)];
    tree.extend(below);
    tree.extend(binary_search(upper));
    tree
}

/// What is done with a call once its number is known; every way through it ends in an answer.
fn rule_body(when: Condition, init: u32) -> Vec<Instruction> {
    let deny = return_errno(EPERM);
    let allow = seccomp::ALLOW;
    match when {
        Always => vec![deny],
        Condition::NotImplemented => vec![return_errno(libc::ENOSYS)],
        Any(index, bits) => vec![load(argument_offset(index)), mask(bits), jump_if_equal(0, 1, 0), deny, allow],
        Creates(index) => vec![
            load(argument_offset(index)),
            mask((libc::O_CREAT | TMPFILE_BIT) as u32),
            jump_if_equal(0, 4, 0),
            load(argument_offset(index + 1)),
            mask(libc::S_ISUID),
            jump_if_equal(0, 1, 0),
            deny,
            allow,
        ],
        Namespaces => rule_body(Any(0, NAMESPACE_FLAGS as u32), init),
        TargetsInit(index) => vec![load(argument_offset(index)), jump_if_equal(init, 0, 1), deny, allow],
        Only(index, value, next) => {
            vec![
                load(argument_offset(index)),
                jump_if_equal(value, 0, 3),
                load(argument_offset(index + 1)),
                jump_if_equal(next, 0, 1),
                deny,
                allow,
            ]
        }
        Condition::TargetsInitByKind(process, user) => vec![
            load(argument_offset(0)),
            jump_if_equal(user, 3, 0),
            jump_if_equal(process, 0, 3),
            load(argument_offset(1)),
            jump_if_equal(init, 0, 1),
            deny,
            allow,
        ],
        Condition::SelfTest => vec![
            load(argument_offset(0)),
            jump_if_equal(seccomp::SELF_TEST_OPTION as u32, 0, 1),
            return_errno(seccomp::SELF_TEST_ERRNO),
            allow,
        ],
        Condition::Socket => socket_rule(),
    }
}

const NAMESPACE_FLAGS: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

fn socket_rule() -> Vec<Instruction> {
    let (deny, allow) = (return_errno(EPERM), seccomp::ALLOW);
    let mut block = vec![load(argument_offset(0))];
    for family in ALLOWED_FAMILIES {
        block.extend([jump_if_equal(family as u32, 0, 1), allow]);
    }
    block.extend([jump_if_equal(libc::AF_INET as u32, 2, 0), jump_if_equal(libc::AF_INET6 as u32, 1, 0), deny]);
    for (kind, protocol) in ALLOWED_SOCKETS {
        block.extend([load(argument_offset(1)), mask(TYPE_MASK), jump_if_equal(kind as u32, 0, 3)]);
        block.extend([load(argument_offset(2)), jump_if_equal(protocol as u32, 0, 1), allow]);
    }
    // ICMPv6's ping.
    block.extend([load(argument_offset(1)), mask(TYPE_MASK), jump_if_equal(libc::SOCK_DGRAM as u32, 0, 3)]);
    block.extend([load(argument_offset(2)), jump_if_equal(libc::IPPROTO_ICMPV6 as u32, 0, 1), allow, deny]);
    block
}

#[cfg(test)]
mod tests;
