//! The system calls that std does not have.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io::{self, Read, Write};
use std::mem::zeroed;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Child;

/// What a program used until it ended, itself and the children that it reaped.
pub struct Usage {
    pub status: i32,
    pub cpu_us: f64,
    pub faults: f64,
}

/// CLOCK_MONOTONIC in nanoseconds, as `stamp` writes it: std's `Instant` does not show its value.
pub fn now() -> u64 {
    // SAFETY: the struct is plain data and outlives the call; the call touches nothing else and is async-signal-safe.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
        time
    };
    nanoseconds(time.tv_sec, time.tv_nsec)
}

/// What this process has used of processors, in microseconds.
pub fn processor_time() -> f64 {
    // SAFETY: the struct is plain data and outlives the call; the call touches nothing else.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time);
        time
    };
    nanoseconds(time.tv_sec, time.tv_nsec) as f64 / 1e3
}

/// Puts a filter on that allows every call. An engine's own lets these through as quickly, and with it the kernel looks for filters at
/// every call anyway.
pub fn filter_as_an_engine_does() -> io::Result<()> {
    let mut allow =
        libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let program = libc::sock_fprog { len: 1, filter: &mut allow };
    // SAFETY: the program and its one instruction outlive the call, which copies both; nothing is allocated.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the child call this between fork and exec.
pub fn before_exec(command: &mut std::process::Command, does: fn() -> io::Result<()>) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: what is called there is this file's own and makes one system call.
    unsafe { command.pre_exec(does) };
}

/// The moments that `stamp` or `app` wrote, in nanoseconds.
pub fn stamps(bytes: &[u8]) -> Vec<u64> {
    let word = |b: &[u8]| i64::from_ne_bytes(b.try_into().unwrap());
    bytes.chunks_exact(16).map(|s| nanoseconds(word(&s[..8]), word(&s[8..]))).collect()
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    seconds as u64 * 1_000_000_000 + nanoseconds as u64
}

/// Waits for the end of `child` and says what it used.
pub fn wait(child: &Child) -> Usage {
    let mut status = 0;
    // SAFETY: both structs are plain data and outlive the call; the child is ours and nobody else waits for it.
    let usage = unsafe {
        let mut usage: libc::rusage = zeroed();
        libc::wait4(child.id() as i32, &mut status, 0, &mut usage);
        usage
    };
    let us = |t: libc::timeval| t.tv_sec as f64 * 1e6 + t.tv_usec as f64;
    Usage { status, cpu_us: us(usage.ru_utime) + us(usage.ru_stime), faults: usage.ru_minflt as f64 }
}

/// Sends a signal to a process that this program started.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: no memory is involved; the pid is that of a process not yet waited for, so it cannot be another's.
    unsafe { libc::kill(pid as i32, signal) };
}

/// COMMAND of the `signal` topic: its SIGTERM handler writes the time; ends with its stdin.
pub fn app() {
    extern "C" fn on_term(_: i32) {
        let now = now();
        let stamp = [(now / 1_000_000_000) as i64, (now % 1_000_000_000) as i64];
        // SAFETY: write(2) is async-signal-safe and reads 16 bytes of a live array.
        unsafe { libc::write(1, stamp.as_ptr().cast(), 16) };
    }
    // SAFETY: the handler calls async-signal-safe functions only; with SA_RESTART the read below goes on by itself.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = on_term as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGTERM, &action, std::ptr::null_mut());
    }
    say_ready();
    let _ = io::stdin().read(&mut [0]);
}

/// COMMAND of the `orphans` topic: at a byte from stdin leaves `count` dead orphans one by one, says so, ends with its stdin.
pub fn orphans(count: u32) {
    say_ready();
    let _ = io::stdin().read(&mut [0]);
    for _ in 0..count {
        // SAFETY: this program has one thread; the children call nothing but fork and _exit.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::fork();
                libc::_exit(0);
            }
            assert!(child > 0, "fork: {}", io::Error::last_os_error());
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
    say_ready();
    let _ = io::stdin().read(&mut [0]);
}

/// The least that a walk can do, with nothing around it: every entry below `top` becomes `owner`'s, all of them unseen or, with
/// `looks`, those that a look shows to be somebody else's. What it leaves out (mounts, links, devices) costs it nothing.
pub fn bare_walk(top: &Path, owner: u32, looks: bool) {
    let name = CString::new(top.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is NUL-terminated.
    let top = unsafe { libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
    bare_walk_below(top, owner, looks);
}

fn bare_walk_below(directory: i32, owner: u32, looks: bool) {
    // SAFETY: a stream owns its descriptor, an entry lives until the next is read and its name is NUL-terminated; the stat is
    // plain data.
    unsafe {
        let stream = libc::fdopendir(directory);
        assert!(!stream.is_null(), "{}", io::Error::last_os_error());
        while let Some(entry) = libc::readdir(stream).as_ref() {
            let name = entry.d_name.as_ptr();
            if matches!(CStr::from_ptr(name).to_bytes(), b"." | b"..") {
                continue;
            }
            if entry.d_type == libc::DT_DIR {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
                bare_walk_below(libc::openat(directory, name, flags), owner, looks);
                continue;
            }
            let mut stat: libc::stat = zeroed();
            let is_right = looks && {
                assert_eq!(libc::fstatat(directory, name, &mut stat, libc::AT_SYMLINK_NOFOLLOW), 0);
                (stat.st_uid, stat.st_gid) == (owner, owner)
            };
            assert!(is_right || libc::fchownat(directory, name, owner, owner, libc::AT_SYMLINK_NOFOLLOW) == 0);
        }
        let mut stat: libc::stat = zeroed();
        assert_eq!(libc::fstat(directory, &mut stat), 0);
        let is_right = looks && (stat.st_uid, stat.st_gid) == (owner, owner);
        assert!(is_right || libc::fchown(directory, owner, owner) == 0);
        libc::closedir(stream);
    }
}

fn say_ready() {
    io::stdout().write_all(b"r").unwrap();
    io::stdout().flush().unwrap();
}
