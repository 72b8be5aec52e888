//! COMMAND of the privilege tests: writes down what it is, what it holds and what it can get back.
//!
//! `state_probe report FILE [burn NUMBER COUNT]` writes `key=value` lines, the last of them `end=1`, and exits with 42.
//! `state_probe launch [pidns] [burn NUMBER COUNT] -- PROGRAM [ARG]...` becomes PROGRAM, as PID 1 of a fresh namespace if asked.
//! `state_probe deny ERRNO NUMBER... -- PROGRAM [ARG]...` becomes PROGRAM under a seccomp filter that answers these system
//! calls with ERRNO; with 0 they succeed and do nothing.
//!
//! `burn` makes COUNT calls of one system call with arguments that change nothing. strace counts a call per process and
//! from the first one: calls burnt before `init` starts leave an injection to its children alone, and calls burnt here
//! leave the injection behind before anything is looked at. That is why this program has no Rust runtime of its own:
//! its start shares no call with what a child does between fork and exec.
#![no_main]
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::{CString, c_char, c_int, c_long, c_ulong};
use std::fmt::{Display, Write as _};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

const EXIT_CODE: c_int = 42;
/// CAP_CHECKPOINT_RESTORE, the newest.
const LAST_CAPABILITY: c_ulong = 40;
const NOBODY_ASKED: c_int = 99;

/// The C entry point: a `main` of Rust's would begin with calls of its own.
#[unsafe(no_mangle)]
pub extern "C" fn main(_count: c_int, _words: *const *const c_char) -> c_int {
    let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    let text: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or("?")).collect();
    match text.as_slice() {
        ["report", file, rest @ ..] => {
            burn(rest);
            fs::write(file, report()).map_or(NOBODY_ASKED, |()| EXIT_CODE)
        }
        [verb, rest @ ..] => {
            let dashes = rest.iter().position(|word| *word == "--").expect("needs --");
            let program = &words[words.len() - (rest.len() - dashes - 1)..];
            match (*verb, &rest[..dashes]) {
                ("launch", ["pidns", burnt @ ..]) => launch(true, burnt, program),
                ("launch", burnt) => launch(false, burnt, program),
                ("deny", [errno, calls @ ..]) => deny(errno, calls, program),
                _ => NOBODY_ASKED,
            }
        }
        [] => NOBODY_ASKED,
    }
}

fn burn(words: &[&str]) {
    let ["burn", number, count] = words else { return };
    let (number, count): (c_long, u32) = (number.parse().expect("number"), count.parse().expect("count"));
    // -1 is no descriptor, no address, no flag and "unchanged" for ids; of all calls only umask would take it.
    let word: c_long = if number == libc::SYS_umask { 0o022 } else { -1 };
    for _ in 0..count {
        // SAFETY: every argument is invalid for every call that takes a pointer, so the kernel refuses it.
        unsafe { libc::syscall(number, word, word, word, word, word, word) };
    }
}

fn launch(fresh: bool, burnt: &[&str], program: &[std::ffi::OsString]) -> c_int {
    if fresh {
        // SAFETY: plain system calls of a process with one thread; the child goes on to exec below.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS), 0, "unshare");
            // Not the library's fork: that is a clone, and the first clone of this process may be the one to inject.
            let child = libc::syscall(libc::SYS_fork) as libc::pid_t;
            if child != 0 {
                let mut status = 0;
                while libc::waitpid(child, &raw mut status, 0) != child {}
                return if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
            }
            let proc = c"proc".as_ptr();
            libc::mount(proc, c"/proc".as_ptr(), proc, 0, std::ptr::null());
        }
    }
    burn(burnt);
    become_program(program)
}

fn deny(errno: &str, calls: &[&str], program: &[std::ffi::OsString]) -> c_int {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let answer = step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | errno.parse::<u32>().expect("errno"));
    // The number of the call is the first word of seccomp_data.
    let mut filter = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for call in calls {
        filter.push(step(libc::BPF_JMP | libc::BPF_JEQ, 0, 1, call.parse().expect("number")));
        filter.push(answer);
    }
    filter.push(step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program_of_filter = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let mode = libc::SECCOMP_MODE_FILTER as c_ulong;
    // Without no_new_privs: root may, and `init` must find that it is not set.
    assert_eq!(prctl(libc::PR_SET_SECCOMP, [mode, &raw const program_of_filter as c_ulong]), 0, "seccomp");
    become_program(program)
}

fn become_program(program: &[std::ffi::OsString]) -> c_int {
    let words: Vec<CString> = program.iter().map(|word| CString::new(word.as_bytes()).expect("no NUL")).collect();
    let mut pointers: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: a list of strings that end in NUL, itself ended by a null pointer.
    unsafe { libc::execv(pointers[0], pointers.as_ptr()) };
    NOBODY_ASKED
}

fn report() -> String {
    let mut lines = Lines(String::new());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    identity(&mut lines);
    for (key, name) in [
        ("seccomp", "Seccomp"),
        ("filters", "Seccomp_filters"),
        ("umask", "Umask"),
        ("blocked", "SigBlk"),
        ("ignored", "SigIgn"),
    ] {
        lines.put(key, field(&status, name));
    }
    let cwd = std::env::current_dir().map_or_else(|error| error.to_string(), |path| path.display().to_string());
    lines.put("cwd", cwd);
    lines.put("descriptors", descriptors("/proc/self/fd"));
    for name in ["HOME", "USER", "LOGNAME"] {
        lines.put(&name.to_lowercase(), std::env::var(name).unwrap_or_else(|_| "-".to_owned()));
    }
    lines.put("settings", settings());
    parent(&mut lines);
    lines.put("unlocked", unlocked());
    lines.put("regained", regained());
    lines.put("end", 1);
    lines.0
}

/// From system calls alone, so that it is known without /proc too.
fn identity(lines: &mut Lines) {
    let (mut real, mut effective, mut saved) = (0, 0, 0);
    let mut groups = vec![0; 65536];
    let (mut header, mut sets) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: every pointer is to a local that is large enough for what the kernel writes.
    unsafe {
        libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved);
        lines.put("uid", format!("{real} {effective} {saved} {}", libc::setfsuid(u32::MAX).cast_unsigned()));
        libc::getresgid(&raw mut real, &raw mut effective, &raw mut saved);
        lines.put("gid", format!("{real} {effective} {saved} {}", libc::setfsgid(u32::MAX).cast_unsigned()));
        let count = libc::getgroups(65536, groups.as_mut_ptr());
        groups.truncate(usize::try_from(count).unwrap_or(0));
        libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr());
    }
    groups.sort_unstable();
    lines.put("groups", join(&groups));
    for (index, name) in ["effective", "permitted", "inheritable"].iter().enumerate() {
        lines.put(name, format!("{:x}", u64::from(sets[index]) | u64::from(sets[index + 3]) << 32));
    }
    let present = |option: c_int, select: &dyn Fn(c_ulong) -> [c_ulong; 2]| -> u64 {
        let held = |cap: &c_ulong| prctl(option, select(*cap)) == 1;
        (0..=LAST_CAPABILITY).filter(held).fold(0, |set, cap| set | 1 << cap)
    };
    lines.put("bounding", format!("{:x}", present(libc::PR_CAPBSET_READ, &|cap| [cap, 0])));
    let is_set = libc::PR_CAP_AMBIENT_IS_SET as c_ulong;
    lines.put("ambient", format!("{:x}", present(libc::PR_CAP_AMBIENT, &|cap| [is_set, cap])));
    lines.put("no_new_privs", prctl(libc::PR_GET_NO_NEW_PRIVS, [0, 0]));
    lines.put("securebits", format!("{:x}", prctl(libc::PR_GET_SECUREBITS, [0, 0])));
    lines.put("dumpable", prctl(libc::PR_GET_DUMPABLE, [0, 0]));
    let mut signal: c_int = 0;
    prctl(libc::PR_GET_PDEATHSIG, [&raw mut signal as c_ulong, 0]);
    lines.put("parent_death", signal);
}

fn prctl(option: c_int, [first, second]: [c_ulong; 2]) -> c_int {
    // SAFETY: the options used here take numbers, or a pointer to something of the caller's that lives on.
    unsafe { libc::prctl(option, first, second, 0, 0) }
}

/// What the supervisor shows to the user it became: its identity, whose its /proc is and what of it opens.
fn parent(lines: &mut Lines) {
    let place = format!("/proc/{}", std::os::unix::process::parent_id());
    let status = fs::read_to_string(format!("{place}/status")).unwrap_or_default();
    for (key, name) in [
        ("parent_uid", "Uid"),
        ("parent_gid", "Gid"),
        ("parent_groups", "Groups"),
        ("parent_inheritable", "CapInh"),
        ("parent_permitted", "CapPrm"),
        ("parent_effective", "CapEff"),
        ("parent_bounding", "CapBnd"),
        ("parent_ambient", "CapAmb"),
        ("parent_no_new_privs", "NoNewPrivs"),
    ] {
        lines.put(key, field(&status, name));
    }
    let owner = |path: &str| fs::metadata(path).map_or("-".to_owned(), |meta| meta.uid().to_string());
    lines.put("parent_owner", owner(&format!("{place}/environ")));
    let mut open: Vec<&str> = ["environ", "mem", "maps"]
        .into_iter()
        .filter(|name| fs::File::open(format!("{place}/{name}")).is_ok())
        .collect();
    if fs::read_dir(format!("{place}/fd")).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok())) {
        open.push("fd");
    }
    lines.put("parent_open", join(&open));
}

fn descriptors(place: &str) -> String {
    let Ok(entries) = fs::read_dir(place) else { return "?".to_owned() };
    let mut found: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    // Gone by now: the one that the listing itself was read from.
    found.retain(|descriptor| fs::metadata(format!("{place}/{descriptor}")).is_ok());
    found.sort_unstable();
    join(&found)
}

/// Names of settings and keys that should have stayed with `init`.
fn settings() -> String {
    let ours = |name: &str| {
        (name.starts_with("TAKUMI_") && !name.starts_with("TAKUMI_LOG"))
            || ["PUID", "PGID", "UMASK"].contains(&name)
            || name.starts_with("DOTENV_PRIVATE_KEY")
    };
    let names = std::env::vars_os().map(|(name, _)| String::from_utf8_lossy(name.as_bytes()).into_owned());
    join(&names.filter(|name| ours(name)).collect::<Vec<_>>())
}

/// What the sandbox takes from every program: a device that anybody may write, a signal to `init`, a call that does nothing.
fn unlocked() -> String {
    let mut free = Vec::new();
    if fs::OpenOptions::new().write(true).open("/dev/urandom").is_ok() {
        free.push("device");
    }
    // SAFETY: plain system calls that take numbers; signal 0 is not sent, and no flag changes nothing.
    unsafe {
        if libc::kill(libc::getppid(), 0) == 0 {
            free.push("signal");
        }
        if libc::unshare(0) == 0 {
            free.push("call");
        }
    }
    join(&free)
}

/// What the kernel gives back when asked, at the very end because it may succeed.
fn regained() -> String {
    let mut back = Vec::new();
    let keep = u32::MAX;
    // SAFETY: plain system calls of a process with one thread; the list is a local.
    unsafe {
        let ambient = (0..=LAST_CAPABILITY)
            .any(|cap| prctl(libc::PR_CAP_AMBIENT, [libc::PR_CAP_AMBIENT_RAISE as c_ulong, cap]) == 0);
        for (name, given) in [
            ("ambient", ambient),
            ("groups", libc::setgroups(1, &0) == 0),
            ("egid", libc::setresgid(keep, 0, keep) == 0),
            ("gid", libc::setresgid(0, 0, 0) == 0),
            ("euid", libc::setresuid(keep, 0, keep) == 0),
            ("uid", libc::setresuid(0, 0, 0) == 0),
        ] {
            if given {
                back.push(name);
            }
        }
    }
    let shadow = CString::new("/etc/shadow").expect("no NUL");
    // SAFETY: a path that ends in NUL; the descriptor dies with the process.
    if unsafe { libc::open(shadow.as_ptr(), libc::O_RDONLY) } >= 0 {
        back.push("shadow");
    }
    join(&back)
}

struct Lines(String);

impl Lines {
    fn put(&mut self, key: &str, value: impl Display) {
        writeln!(self.0, "{key}={value}").expect("a String takes everything");
    }
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map_or("?".to_owned(), |value| value.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
