//! Starts the program under test in a fresh pid and mount namespace, exactly as the [`Spec`] on descriptor 0 says, and
//! reports its pid and raw wait status there. When the other end of descriptor 0 is closed, everything is killed.
//!
//! A program of its own, because a test harness with threads may not run code of its own between fork and exec.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::CString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use takumi_test::spec::{LaunchEvent, PidPosition, Spec, Terminal};

/// Above every descriptor number that a test asks for.
const OUT_OF_THE_WAY: i32 = 900;

fn main() {
    // SAFETY: descriptor 0 is the harness's socket, and nothing else in this program uses it.
    let control = unsafe { UnixStream::from_raw_fd(0) };
    let mut line = String::new();
    BufReader::new(&control).read_line(&mut line).expect("read the spec");
    let spec: Spec = serde_json::from_str(&line).expect("parse the spec");

    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    // SAFETY: no memory is involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) }, "unshare");
    let first = fork(|| {
        inhabit(&spec);
        match spec.place {
            PidPosition::First => exec(&spec, theirs),
            PidPosition::Third => reap_as_first(&spec, &control, theirs),
        }
    });
    close_handed_over(&spec, |_| true);
    // The program waits until its pid is known: it may be gone, and its parent too, a moment after its exec.
    let mut answer = String::new();
    await_readable(ours.as_raw_fd(), &control, first);
    (&ours).read_exact(&mut [0]).expect("a program that is about to start");
    let pid = if spec.place == PidPosition::First { first } else { only_child(only_child(first)) };
    (&ours).write_all(b"!").expect("let the program start");
    await_readable(ours.as_raw_fd(), &control, first);
    (&ours).read_to_string(&mut answer).expect("read the exec result");
    let failed = answer.parse().ok();
    send_event(&control, &failed.map_or(LaunchEvent::Started(pid), LaunchEvent::NotStarted));
    await_end(first, &control, spec.place == PidPosition::First);
}

/// Waits for the namespace to end.
fn await_end(first: i32, control: &UnixStream, report: bool) {
    // SAFETY: a plain system call; the result is checked.
    let pidfd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, first, 0) } as i32, "pidfd_open");
    await_readable(pidfd, control, first);
    let (_, status) = wait(first).expect("wait for the namespace");
    if report {
        send_event(control, &LaunchEvent::Ended(status));
    }
}

/// Waits for the descriptor; when the harness goes away first, ends the namespace and this program.
fn await_readable(descriptor: i32, control: &UnixStream, first: i32) {
    let watch = |fd, events| libc::pollfd { fd, events, revents: 0 };
    let mut watched = [watch(descriptor, libc::POLLIN), watch(control.as_raw_fd(), libc::POLLRDHUP)];
    // SAFETY: the array outlives the call and its length is right.
    check(unsafe { libc::poll(watched.as_mut_ptr(), 2, -1) }, "poll");
    if watched[0].revents == 0 {
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(first, libc::SIGKILL) };
        wait(first);
        std::process::exit(0)
    }
}

/// Process 1 of [`Place::Third`]: reaps, and reports each orphan, among them the program once its parent was killed.
fn reap_as_first(spec: &Spec, control: &UnixStream, launcher: UnixStream) -> ! {
    let parent = fork(|| wait_as_parent(spec, control, launcher));
    close_handed_over(spec, |_| true);
    while let Some((pid, status)) = wait(-1) {
        match pid {
            3 => send_event(control, &LaunchEvent::Ended(status)),
            _ if pid != parent => send_event(control, &LaunchEvent::Orphan(pid)),
            _ => {}
        }
    }
    std::process::exit(0)
}

/// Process 2 of [`Place::Third`]: what a shell is to a program that it starts.
fn wait_as_parent(spec: &Spec, control: &UnixStream, launcher: UnixStream) -> ! {
    let terminal = spec.descriptors.iter().find(|(_, to)| *to == 0).map(|(from, _)| *from);
    // SAFETY: plain system calls on our own session; SIGTTOU would stop this process when it hands the terminal over.
    unsafe {
        check(libc::setsid(), "setsid");
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        if spec.terminal.is_some() {
            check(libc::ioctl(terminal.expect("a terminal on 0"), libc::TIOCSCTTY, 0), "TIOCSCTTY");
        }
    }
    let child = fork(|| {
        // SAFETY: as above.
        unsafe {
            check(libc::setpgid(0, 0), "setpgid");
            if spec.terminal == Some(Terminal::Foreground) {
                check(libc::tcsetpgrp(terminal.expect("a terminal on 0"), libc::getpid()), "tcsetpgrp");
            }
        }
        exec(spec, launcher)
    });
    // A shell keeps its terminal.
    close_handed_over(spec, |number| number != 0 || spec.terminal.is_none());
    let (_, status) = wait(child).expect("wait for the program");
    send_event(control, &LaunchEvent::Ended(status));
    std::process::exit(0)
}

/// The harness handed these over for the program alone: a copy kept here would hide an end of file.
fn close_handed_over(spec: &Spec, which: impl Fn(i32) -> bool) {
    for (from, _) in spec.descriptors.iter().filter(|(_, to)| which(*to)) {
        // SAFETY: nothing in this process uses them.
        unsafe { libc::close(*from) };
    }
}

/// Gives the new pid namespace mounts of its own: /proc, an empty /run, and the binds of the spec.
fn inhabit(spec: &Spec) {
    // SAFETY: no memory is involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }, "unshare");
    mount(b"none", b"/", "", libc::MS_REC | libc::MS_PRIVATE);
    for (number, (source, _)) in spec.binds.iter().enumerate() {
        // The source may lie where a user without privilege, or the new /run, does not let one in: hold it by descriptor.
        let source = CString::new(source.clone()).expect("path");
        // SAFETY: a terminated string; the descriptor is left open until exec closes it.
        let held =
            check(unsafe { libc::open(source.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) }, "open a bind's source");
        let slot = OUT_OF_THE_WAY + 50 + number as i32;
        // SAFETY: the slot is above all other descriptors.
        check(unsafe { libc::dup3(held, slot, libc::O_CLOEXEC) }, "dup3");
    }
    mount(b"run", b"/run", "tmpfs", libc::MS_NOSUID | libc::MS_NODEV);
    chmod(b"/run", 0o755);
    for (number, (source, target)) in spec.binds.iter().enumerate() {
        make_place_for(source, target);
        let held = format!("/proc/self/fd/{}", OUT_OF_THE_WAY + 50 + number as i32);
        mount(held.as_bytes(), target, "", libc::MS_BIND | libc::MS_REC);
    }
    let (name, kind): (&[u8], _) = if spec.proc { (b"proc", "proc") } else { (b"none", "tmpfs") };
    mount(name, b"/proc", kind, libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC);
}

fn make_place_for(source: &[u8], target: &[u8]) {
    use std::os::unix::ffi::OsStrExt;
    let path = |bytes: &[u8]| std::path::PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    let (source, target) = (path(source), path(target));
    if target.exists() {
        return;
    }
    std::fs::create_dir_all(target.parent().expect("a parent")).expect("create a bind's parent");
    if source.is_dir() {
        std::fs::create_dir(&target).expect("create a bind's directory");
    } else {
        std::fs::write(&target, b"").expect("create a bind's file");
    }
}

/// Becomes the program, once the launcher lets it. A failure is told through `launcher`, which exec itself closes.
fn exec(spec: &Spec, mut launcher: UnixStream) -> ! {
    launcher.write_all(b"?").and_then(|()| launcher.read_exact(&mut [0])).expect("ask the launcher");
    // SAFETY: plain system calls of a single-threaded process about to exec; every pointer is to a live value.
    unsafe {
        let launcher = check(libc::fcntl(launcher.as_raw_fd(), libc::F_DUPFD_CLOEXEC, OUT_OF_THE_WAY), "dup");
        if spec.place == PidPosition::First {
            check(libc::setsid(), "setsid");
        }
        place_descriptors(spec);
        if spec.place == PidPosition::First && spec.terminal.is_some() {
            assert!(spec.terminal == Some(Terminal::Foreground), "PID 1 leads its session");
            check(libc::ioctl(0, libc::TIOCSCTTY, 0), "TIOCSCTTY");
        }
        for (resource, soft, hard) in &spec.limits {
            let limit = libc::rlimit { rlim_cur: *soft, rlim_max: *hard };
            check(libc::setrlimit(*resource, &limit), "setrlimit");
        }
        libc::umask(spec.umask);
        check(libc::setpriority(libc::PRIO_PROCESS, 0, spec.nice), "setpriority");
        check(libc::chdir(c_string(&spec.directory).as_ptr()), "chdir");
        if let Some(root) = &spec.root {
            check(libc::chroot(c_string(root).as_ptr()), "chroot");
        }
        for capability in &spec.without_capabilities {
            check(libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0), "PR_CAPBSET_DROP");
        }
        if let Some((uid, gid)) = spec.user {
            check(libc::setgroups(0, std::ptr::null()), "setgroups");
            check(libc::setresgid(gid, gid, gid), "setresgid");
            check(libc::setresuid(uid, uid, uid), "setresuid");
        }
        for signal in 1..=64 {
            let disposition = if spec.ignored.contains(&signal) { libc::SIG_IGN } else { libc::SIG_DFL };
            libc::signal(signal, disposition);
        }
        let mut mask: libc::sigset_t = std::mem::zeroed();
        for signal in &spec.blocked {
            libc::sigaddset(&mut mask, *signal);
        }
        check(libc::sigprocmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()), "sigprocmask");

        let (arguments, environment) = (strings(&spec.arguments), strings(&spec.environment));
        libc::execve(c_string(&spec.file).as_ptr(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr());
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0).to_string();
        libc::write(launcher, errno.as_ptr().cast(), errno.len());
        libc::_exit(0)
    }
}

/// Moves every wanted descriptor out of the way, closes what is below, and puts each at its number.
unsafe fn place_descriptors(spec: &Spec) {
    // SAFETY: plain system calls on numbers that this process owns.
    unsafe {
        let moved: Vec<(i32, i32)> = spec
            .descriptors
            .iter()
            .map(|(from, to)| (check(libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, OUT_OF_THE_WAY), "dup"), *to))
            .collect();
        check(libc::syscall(libc::SYS_close_range, 0, OUT_OF_THE_WAY - 1, 0) as i32, "close_range");
        for (from, to) in moved {
            check(libc::dup2(from, to), "dup2");
        }
    }
}

fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: this process has one thread.
    let pid = check(unsafe { libc::fork() }, "fork");
    if pid == 0 {
        child();
        std::process::exit(0);
    }
    pid
}

/// The next child that ended, or nothing when there is none.
fn wait(pid: i32) -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let ended = unsafe { libc::waitpid(pid, &mut status, 0) };
    (ended > 0).then_some((ended, status))
}

/// /proc here is still the harness's, so that its numbers are.
fn only_child(pid: i32) -> i32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
    children.split_whitespace().next().expect("a child").parse().expect("pid")
}

fn send_event(mut control: &UnixStream, news: &LaunchEvent) {
    let line = serde_json::to_string(news).expect("serialize") + "\n";
    // The harness may be gone already, and with it the need to tell.
    let _ = control.write_all(line.as_bytes());
}

fn mount(source: &[u8], target: &[u8], kind: &str, flags: libc::c_ulong) {
    let (source, target, kind) = (c_string(source), c_string(target), c_string(kind.as_bytes()));
    // SAFETY: terminated strings and no data.
    check(
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) },
        &format!("mount on {}", target.to_string_lossy()),
    );
}

fn chmod(path: &[u8], mode: u32) {
    // SAFETY: a terminated string.
    check(unsafe { libc::chmod(c_string(path).as_ptr(), mode) }, "chmod");
}

fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("no NUL")
}

fn strings(list: &[Vec<u8>]) -> Vec<CString> {
    list.iter().map(|bytes| c_string(bytes)).collect()
}

fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

fn check(result: i32, what: &str) -> i32 {
    assert!(result >= 0, "launch: {what}: {}", std::io::Error::last_os_error());
    result
}
