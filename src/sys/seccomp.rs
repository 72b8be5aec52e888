//! A filter of system calls: its instructions (`man 2 seccomp`), and how it is put on.

use super::errno::{Errno, cerr};

pub type Instruction = libc::sock_filter;

/// `offsetof(struct seccomp_data, …)`.
pub const NUMBER_OFFSET: u32 = 0;
pub const ARCHITECTURE_OFFSET: u32 = 4;
pub const AUDIT_ARCH_X86_64: u32 = 0xC000_003E;
/// System calls of the x32 ABI have this bit (`__X32_SYSCALL_BIT`).
pub const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// Where the lower half of an argument lies: the kernel takes these arguments as ints.
pub const fn argument_offset(index: u32) -> u32 {
    16 + 8 * index
}

/// Loads a word of what is to be judged.
pub const fn load(offset: u32) -> Instruction {
    Instruction { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// Keeps these bits of it.
pub const fn mask(bits: u32) -> Instruction {
    Instruction { code: (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, jt: 0, jf: 0, k: bits }
}

/// Goes on `yes` or `no` instructions further, by whether it is `value`.
pub const fn jump_if_equal(value: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: yes, jf: no, k: value }
}

/// The same, by whether it is at least `value`.
pub const fn jump_if_at_least(value: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code: (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16, jt: yes, jf: no, k: value }
}

/// Goes on that many instructions further.
pub const fn jump(count: u32) -> Instruction {
    Instruction { code: (libc::BPF_JMP | libc::BPF_JA) as u16, jt: 0, jf: 0, k: count }
}

/// Lets the call happen.
pub const ALLOW: Instruction =
    Instruction { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };

/// Answers in the kernel's place.
pub const fn return_errno(errno: i32) -> Instruction {
    let code = (libc::BPF_RET | libc::BPF_K) as u16;
    Instruction { code, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | errno as u32 }
}

/// Whether the kernel takes filters that refuse. Errors: ENOSYS or EINVAL where it does not, or another filter hides
/// it.
pub fn check_available() -> Result<(), Errno> {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    let operation = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: the kernel reads one word.
    cerr(unsafe { libc::syscall(libc::SYS_seccomp, operation, 0, &raw const action) }).map(drop)
}

/// Puts a filter on this thread for ever. One system call, for the child between clone and exec; needs no_new_privs.
pub fn install(filter: &[Instruction]) -> Result<(), Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // Before Linux 5.16 a filter without this flag slows every memory access of COMMAND (spec_store_bypass).
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the kernel reads the program, which outlives the call.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    cerr(answer).map(drop)
}

/// An option of prctl that no kernel has, and what a filter of ours answers to it: the kernel itself says EINVAL.
pub const SELF_TEST_OPTION: libc::c_int = 0x7461_6b75;
pub const SELF_TEST_ERRNO: libc::c_int = libc::ENOTNAM;

/// Whether a filter of ours is on: it alone answers so.
pub fn is_active() -> bool {
    // SAFETY: takes numbers only.
    cerr(unsafe { libc::syscall(libc::SYS_prctl, SELF_TEST_OPTION, 0, 0, 0, 0) }) == Err(Errno(SELF_TEST_ERRNO))
}
