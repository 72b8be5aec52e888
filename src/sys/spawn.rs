//! COMMAND's spawn: clone(CLONE_VM | CLONE_VFORK), as posix_spawn does it. The child runs on this process's memory
//! while this process sleeps, so no page table is copied, no page is copied on write and the child reports its failure
//! without a pipe.
//!
//! What the child may do is little: system calls, no allocation, no lock, nothing that stays behind in memory but its
//! report. Every signal is blocked until just before exec, and this program installs no handler, so nothing interrupts
//! it there.

use super::errno::{Errno, cerr};
use super::ids::ProcessId;
use super::landlock::Ruleset;
use super::seccomp::{self, Instruction};
use super::signal::{self, Signal, SignalSet};
use super::{credentials, process, terminal};
use nix::fcntl::OFlag;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::RawFd;

/// Everything that the child needs, made before it is born.
pub struct SpawnPlan<'a> {
    /// Paths to try, in the order of PATH.
    pub candidates: &'a [CString],
    /// COMMAND's arguments, its own name first.
    pub arguments: &'a [&'a CStr],
    pub environment: &'a [&'a CStr],
    /// What was blocked when `init` started.
    pub mask: SignalSet,
    /// SIGCHLD was ignored when `init` started.
    pub sigchld_ignored: bool,
    /// Where COMMAND becomes the foreground job.
    pub terminal: Option<RawFd>,
    /// Its umask, where it is to change.
    pub umask: Option<u32>,
    /// The environment has a LISTEN_PID that must name the child.
    pub listen_pid: bool,
    /// What COMMAND is to be shut in with.
    pub sandbox: Option<&'a Sandbox>,
}

/// Landlock and seccomp, ready to be enforced: by the child, so that `init` itself stays outside and out of its reach.
#[derive(Debug, Default)]
pub struct Sandbox {
    pub ruleset: Option<Ruleset>,
    /// Whether they hold signals in.
    pub is_scoped: bool,
    /// A device that can be opened for writing now, and under the rules cannot.
    pub canary: Option<CString>,
    /// The filter of system calls; none where it is empty.
    pub filter: Vec<Instruction>,
}

/// Why there is no COMMAND.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpawnError {
    /// No process could be made.
    Fork(Errno),
    /// The child could not be prepared: what was tried, and the kernel's word.
    Prepare(&'static str, Errno),
    /// No candidate could be executed: the first that exists, or the last tried, and the kernel's word.
    Exec(usize, Errno),
}

/// Starts COMMAND. Returns once it has been executed, or why it has not.
pub fn spawn(plan: &SpawnPlan) -> Result<ProcessId, SpawnError> {
    let mut listen_pid = *b"LISTEN_PID=\0\0\0\0\0\0\0\0\0\0\0\0";
    let arguments = pointer_array(plan.arguments, None);
    let mut environment = pointer_array(plan.environment, None);
    if plan.listen_pid {
        let end = environment.len() - 1;
        environment.insert(end, listen_pid.as_ptr().cast());
    }
    // For a text without `#!`: /bin/sh PATH ARGUMENTS, PATH being filled in by the child (`man 3 execvp`).
    let shell_arguments =
        pointer_array(plan.arguments.get(1..).unwrap_or(&[]), Some([c"sh".as_ptr(), std::ptr::null()]));
    let mut child_arguments = ChildArguments {
        plan,
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        shell_arguments: shell_arguments.as_ptr().cast_mut(),
        listen_pid: &mut listen_pid,
        parent: process::self_pid(),
        failure: None,
    };
    // SAFETY: the stack is used by one child at a time (this program has one thread, and CLONE_VFORK lets it sleep
    // meanwhile), is large enough for what `child` does and 16-byte aligned at its top. CLONE_VFORK keeps this frame
    // alive and still until the child has executed or ended; `child_arguments` is read again only after that.
    let child = unsafe {
        let top = STACK.0.get().cast::<u8>().add(STACK_BYTES).cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        cerr(libc::clone(child_main, top, flags, (&raw mut child_arguments).cast())).map_err(SpawnError::Fork)?
    };
    // SAFETY: `failure` was written by the child, behind the compiler's back.
    match unsafe { (&raw const child_arguments.failure).read_volatile() } {
        // A clone that answers 0 to the parent lied: there is no child.
        None if child <= 0 => Err(SpawnError::Fork(Errno(libc::EIO))),
        None => Ok(ProcessId(child)),
        Some(failure) => {
            let _ = super::wait::wait_for_exit(ProcessId(child));
            Err(failure)
        }
    }
}

const STACK_BYTES: usize = 16 * 1024;

/// In .bss: pages that the child does not touch are never there, and those that it did are given back.
#[repr(align(4096))]
struct Stack(std::cell::UnsafeCell<[u8; STACK_BYTES]>);
// SAFETY: see its one use in `spawn`.
unsafe impl Sync for Stack {}
static STACK: Stack = Stack(std::cell::UnsafeCell::new([0; STACK_BYTES]));

/// Gives the child's stack back to the kernel.
pub(super) fn release_child_stack() {
    // SAFETY: the pages are this program's own and hold nothing once `spawn` has returned; they read as zeroes from
    // then on.
    unsafe { libc::madvise(STACK.0.get().cast(), STACK_BYTES, libc::MADV_DONTNEED) };
}

struct ChildArguments<'a> {
    plan: &'a SpawnPlan<'a>,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    shell_arguments: *mut *const c_char,
    listen_pid: &'a mut [u8; 23],
    parent: ProcessId,
    failure: Option<SpawnError>,
}

fn pointer_array(strings: &[&CStr], first: Option<[*const c_char; 2]>) -> Vec<*const c_char> {
    let mut array = Vec::with_capacity(strings.len() + 4);
    array.extend(first.into_iter().flatten());
    array.extend(strings.iter().map(|string| string.as_ptr()));
    array.push(std::ptr::null());
    array
}

extern "C" fn child_main(child_arguments: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent's ChildArguments; the parent sleeps.
    let child_arguments = unsafe { &mut *child_arguments.cast::<ChildArguments>() };
    let failure = match prepare_child(child_arguments) {
        Err((what, errno)) => SpawnError::Prepare(what, errno),
        Ok(()) => exec_first(child_arguments),
    };
    // SAFETY: as above; volatile, since the parent reads it behind the compiler's back.
    unsafe { (&raw mut child_arguments.failure).write_volatile(Some(failure)) };
    // Seen only where a clone that made nobody answered 0, and this is still PID 1.
    process::exit(125)
}

/// What was tried, and the kernel's word.
pub type FailedStep = (&'static str, Errno);

fn prepare_child(child_arguments: &mut ChildArguments) -> Result<(), FailedStep> {
    let plan = child_arguments.plan;
    let self_pid = process::self_pid();
    // COMMAND must not outlive `init` and run on without anybody who reaps, forwards or stops it.
    credentials::die_with_parent(child_arguments.parent).map_err(|errno| ("ask for SIGKILL at init's death", errno))?;
    // A group of its own, so that a key of the terminal or a signal to the group reaches COMMAND once.
    process::become_group_leader().map_err(|errno| ("make a process group", errno))?;
    if let Some(terminal) = plan.terminal {
        // By the child, before exec: it would be stopped at its first read otherwise. SIGTTOU is blocked.
        let _ = terminal::set_foreground(terminal, self_pid);
    }
    if let Some(mask) = plan.umask {
        process::set_umask(mask);
        if process::set_umask(mask) != mask {
            return Err(("set the umask", Errno(libc::EIO)));
        }
    }
    if plan.listen_pid {
        write_number(&mut child_arguments.listen_pid["LISTEN_PID=".len()..], self_pid.0.unsigned_abs());
    }
    if plan.sigchld_ignored {
        signal::ignore_sigchld().map_err(|errno| ("ignore SIGCHLD again", errno))?;
    }
    if let Some(sandbox) = plan.sandbox {
        enforce(sandbox, child_arguments.parent)?;
    }
    signal::set_mask(plan.mask).map_err(|errno| ("restore the signal mask", errno))?;
    match signal::blocked() {
        Ok(mask) if mask == plan.mask => Ok(()),
        Ok(_) => Err(("restore the signal mask", Errno(libc::EIO))),
        Err(errno) => Err(("restore the signal mask", errno)),
    }
}

/// Confines this process, and tests it: a call that said 0 proves nothing. `parent` must be reachable by a signal
/// where the sandbox has no other test.
pub fn enforce(sandbox: &Sandbox, parent: ProcessId) -> Result<(), FailedStep> {
    const LANDLOCK: &str = "enforce the sandbox (Landlock)";
    const SECCOMP: &str = "enforce the sandbox (seccomp)";
    if let Some(ruleset) = &sandbox.ruleset {
        // Both were open a moment ago: the device to the parent, which has the same user, the parent to this process.
        let could_signal = sandbox.is_scoped && signal::check_kill(parent.0) == Ok(());
        ruleset.restrict_self().map_err(|errno| (LANDLOCK, errno))?;
        let is_denied = |answer: Result<(), Errno>, word: i32| answer == Err(Errno(word));
        let write = |path| super::io::open_with(path, OFlag::O_WRONLY | OFlag::O_NONBLOCK).map(drop);
        if sandbox.canary.as_deref().is_some_and(|path| !is_denied(write(path), libc::EACCES))
            || could_signal && !is_denied(signal::check_kill(parent.0), libc::EPERM)
            || sandbox.canary.is_none() && !could_signal
        {
            return Err((LANDLOCK, Errno(libc::EIO)));
        }
    }
    if !sandbox.filter.is_empty() {
        seccomp::install(&sandbox.filter).map_err(|errno| (SECCOMP, errno))?;
        if !seccomp::is_active() {
            return Err((SECCOMP, Errno(libc::EIO)));
        }
    }
    Ok(())
}

fn exec_first(child_arguments: &ChildArguments) -> SpawnError {
    // As execvp: a name that is not there is looked for further on, and one that is closed to us is remembered (126). A
    // whole directory that is closed (root's own, on a PATH that came from root) hides nothing that was meant.
    let candidates = child_arguments.plan.candidates;
    let mut answer = SpawnError::Exec(0, Errno(libc::ENOENT));
    for (index, path) in candidates.iter().enumerate() {
        let errno = try_exec(child_arguments, path);
        match errno.0 {
            libc::EACCES if candidates.len() > 1 && !super::io::exists(path) => {}
            libc::EACCES => answer = SpawnError::Exec(index, errno),
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT | libc::ENAMETOOLONG
                if candidates.len() > 1 => {}
            _ => return SpawnError::Exec(index, errno),
        }
    }
    answer
}

fn try_exec(child_arguments: &ChildArguments, path: &CStr) -> Errno {
    // SAFETY: NUL-terminated strings and NULL-terminated arrays, made by `spawn`; slot 1 of the shell's arguments is
    // its.
    unsafe {
        libc::execve(path.as_ptr(), child_arguments.arguments, child_arguments.environment);
        let errno = Errno::last();
        if errno.0 != libc::ENOEXEC || !is_text(path) {
            return errno;
        }
        *child_arguments.shell_arguments.add(1) = path.as_ptr();
        libc::execve(c"/bin/sh".as_ptr(), child_arguments.shell_arguments, child_arguments.environment);
        errno
    }
}

/// A shell must not be given a program for another machine or a damaged one: like bash, a NUL byte in the first line
/// says binary.
fn is_text(path: &CStr) -> bool {
    let mut beginning = [0_u8; 128];
    let Ok(beginning) = super::io::read_into(path, &mut beginning) else { return false };
    let line = beginning.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    !beginning.starts_with(b"\x7fELF") && !line.contains(&0)
}

fn write_number(place: &mut [u8], mut number: u32) {
    let mut digits = [0_u8; 10];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = &digits[first..];
    place[..digits.len()].copy_from_slice(digits);
    place[digits.len()..].fill(0);
}

/// Stops this process as a shell's job control expects it; returns when somebody continues it.
pub fn stop_self() -> Result<(), Errno> {
    signal::kill(process::self_pid().0, Signal::STOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_is_written_in_decimal() {
        let mut place = *b"xxxxxxxxxxxx";
        write_number(&mut place, 4_194_304);
        assert_eq!(&place, b"4194304\0\0\0\0\0");
        write_number(&mut place, 0);
        assert_eq!(&place[..2], b"0\0");
    }
}
