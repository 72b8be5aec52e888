//! COMMAND of the behaviour tests: does what its arguments say, one word after the other.
//!
//! | word | does |
//! | --- | --- |
//! | `say:TEXT`, `ready` | writes a line |
//! | `state` | writes one line of JSON: all that a process inherits (see [`state`]) |
//! | `state:FILE` | the same into a file |
//! | `echo` | copies standard input to standard output until its end |
//! | `line` | reads one line of standard input |
//! | `exit:N`, `die:SIGNAL`, `pause` | ends so, or never by itself |
//! | `ignore:SIGNAL`, `hold:SIGNAL`, `hold:all` | ignores or blocks |
//! | `until:SIGNAL` | waits for a held signal |
//! | `signals` | writes `signal N` for each held signal, for ever |
//! | `kill:SIGNAL:PID` | sends, to the parent with PID `parent` |
//! | `fork { … }` | a child does the words in braces and exits 0 |
//! | `orphan { … }` | the same with a parent that is gone before the next word |
//! | `times:N { … }` | the words in braces N times |
//! | `session`, `group` | leads a session or process group of its own |
//! | `pid`, `parent` | writes `pid N` or `parent N` |
//! | `append:FILE:TEXT` | appends a line |
//! | `close:FD` | closes |
//! | `-…` | nothing: an option for `state` to show |
//! | `--` and beyond | nothing: arguments for `state` to show |
//!
//! A signal is a number or a name. No main of Rust's: its start would open closed standard descriptors and ignore SIGPIPE.
#![no_main]
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::CStr;
use std::io::Write;
use takumi_test::signal::number;

#[unsafe(no_mangle)]
extern "C" fn main(count: i32, arguments: *const *const libc::c_char, environment: *const *const libc::c_char) -> i32 {
    // SAFETY: the C start hands over `count` terminated strings.
    let arguments: Vec<&[u8]> =
        (0..count as usize).map(|index| unsafe { CStr::from_ptr(*arguments.add(index)) }.to_bytes()).collect();
    let probe = Probe { arguments: arguments.clone(), environment };
    let words = arguments[1..].iter().map(|word| std::str::from_utf8(word).unwrap_or("--"));
    let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
    probe.perform(&words);
    0
}

struct Probe {
    arguments: Vec<&'static [u8]>,
    environment: *const *const libc::c_char,
}

impl Probe {
    fn perform(&self, mut words: &[&str]) {
        while let Some((word, mut rest)) = words.split_first() {
            let (verb, value) = word.split_once(':').unwrap_or((word, ""));
            let block = matches!(verb, "fork" | "orphan" | "times").then(|| {
                let (block, after) = braces(rest);
                rest = after;
                block
            });
            match (verb, block) {
                ("fork", Some(block)) => _ = self.fork(block),
                ("orphan", Some(block)) => self.orphan(block),
                ("times", Some(block)) => (0..integer(value)).for_each(|_| self.perform(block)),
                ("state", _) if value.is_empty() => say(&self.state()),
                ("state", _) => append(value, &self.state()),
                _ => act(verb, value),
            }
            words = rest;
        }
    }

    fn fork(&self, block: &[&str]) -> i32 {
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => {
                self.perform(block);
                std::process::exit(0)
            }
            pid => pid,
        }
    }

    fn orphan(&self, block: &[&str]) {
        // SAFETY: this process has one thread; the child that is waited for is the one just made.
        unsafe {
            match libc::fork() {
                0 => {
                    self.fork(block);
                    libc::_exit(0)
                }
                pid => libc::waitpid(pid, std::ptr::null_mut(), 0),
            }
        };
    }

    /// Without /proc, which may be missing, except for the capabilities.
    fn state(&self) -> String {
        // SAFETY: plain getters into values that outlive the calls; the environment ends in a null pointer.
        unsafe {
            let open: Vec<i32> = (0..1024).filter(|fd| libc::fcntl(*fd, libc::F_GETFD) >= 0).collect();
            let mut mask: libc::sigset_t = std::mem::zeroed();
            libc::sigprocmask(libc::SIG_SETMASK, std::ptr::null(), &mut mask);
            let blocked: Vec<i32> = (1..=64).filter(|signal| libc::sigismember(&mask, *signal) == 1).collect();
            let ignored: Vec<i32> = (1..=64).filter(|signal| is_ignored(*signal)).collect();
            let (mut uids, mut gids) = ([0; 3], [0; 3]);
            let ([ruid, euid, suid], [rgid, egid, sgid]) = (&mut uids, &mut gids);
            libc::getresuid(ruid, euid, suid);
            libc::getresgid(rgid, egid, sgid);
            let mut groups = vec![0; 65536];
            let count = libc::getgroups(65536, groups.as_mut_ptr());
            groups.truncate(count.max(0) as usize);
            let mut files: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut files);
            let umask = libc::umask(0);
            libc::umask(umask);
            let environment = (0..).map(|index| *self.environment.add(index)).take_while(|text| !text.is_null());
            let environment: Vec<String> = environment.map(|text| hex(CStr::from_ptr(text).to_bytes())).collect();
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap_or_default().trim().to_owned()
            };
            let capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field);
            serde_json::json!({
                "pid": libc::getpid(), "parent": libc::getppid(), "group": libc::getpgid(0), "session": libc::getsid(0),
                "foreground": libc::tcgetpgrp(0), "open": open, "blocked": blocked, "ignored": ignored,
                "uids": uids, "gids": gids, "groups": groups, "umask": umask, "files": [files.rlim_cur, files.rlim_max],
                "nice": libc::getpriority(libc::PRIO_PROCESS, 0),
                "directory": std::env::current_dir().unwrap_or_default().to_string_lossy(),
                "arguments": self.arguments.iter().map(|text| hex(text)).collect::<Vec<_>>(), "environment": environment,
                "capabilities": capabilities,
                "no_new_privs": libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
            })
            .to_string()
        }
    }
}

fn act(verb: &str, value: &str) {
    // SAFETY: plain system calls on this process; every pointer is to a live value.
    unsafe {
        match verb {
            "say" => say(value),
            "ready" => say("ready"),
            "echo" => echo(),
            "line" => _ = std::io::stdin().read_line(&mut String::new()),
            "exit" => libc::_exit(integer(value)),
            "die" => die(number(value)),
            "pause" => loop {
                libc::pause();
            },
            "ignore" => _ = libc::signal(number(value), libc::SIG_IGN),
            "hold" => _ = libc::sigprocmask(libc::SIG_BLOCK, &set(value), std::ptr::null_mut()),
            "until" => _ = libc::sigwaitinfo(&set(value), std::ptr::null_mut()),
            "signals" => loop {
                let signal = libc::sigwaitinfo(&set("all"), std::ptr::null_mut());
                say(&format!("signal {signal}"));
            },
            "kill" => {
                let (signal, pid) = value.split_once(':').expect("SIGNAL:PID");
                let pid = if pid == "parent" { libc::getppid() } else { integer(pid) };
                libc::kill(pid, number(signal));
            }
            "session" => _ = libc::setsid(),
            "group" => _ = libc::setpgid(0, 0),
            "pid" => say(&format!("pid {}", libc::getpid())),
            "parent" => say(&format!("parent {}", libc::getppid())),
            "append" => {
                let (file, text) = value.split_once(':').expect("FILE:TEXT");
                append(file, text);
            }
            "close" => _ = libc::close(integer(value)),
            _ if verb.starts_with('-') => {}
            _ => {
                eprintln!("probe: unknown word {verb:?}");
                libc::_exit(99)
            }
        }
    }
}

/// By the default action, whatever was ignored or blocked.
unsafe fn die(signal: i32) {
    // SAFETY: as in `act`.
    unsafe {
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &no_core);
        libc::signal(signal, libc::SIG_DFL);
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut mask, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &mask, std::ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: a getter into a value that outlives the call; for the two numbers that libc keeps for itself it fails.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

fn set(value: &str) -> libc::sigset_t {
    // SAFETY: sigset_t is a plain array of bits that these calls fill.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        if value == "all" {
            libc::sigfillset(&mut set)
        } else {
            libc::sigaddset(&mut set, number(value))
        };
        set
    }
}

fn append(file: &str, text: &str) {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
    file.expect("open").write_all(format!("{text}\n").as_bytes()).expect("append");
}

/// Without a buffer that `exit` would forget.
fn echo() {
    let mut buffer = [0; 4096];
    // SAFETY: the buffer outlives both calls and its length is right.
    unsafe {
        loop {
            let count = libc::read(0, buffer.as_mut_ptr().cast(), buffer.len());
            if count <= 0 || libc::write(1, buffer.as_ptr().cast(), count as usize) != count {
                return;
            }
        }
    }
}

/// One write a line: several processes share the pipe.
fn say(text: &str) {
    let line = format!("{text}\n");
    // SAFETY: the pointer and length are those of `line`. A closed standard output is what some tests ask for.
    unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
}

/// The words between the braces that `words` begins with, and those after them.
fn braces<'w, 'a>(words: &'w [&'a str]) -> (&'w [&'a str], &'w [&'a str]) {
    assert!(words.first() == Some(&"{"), "probe: no brace");
    let mut depth = 0;
    for (index, word) in words.iter().enumerate() {
        depth += match *word {
            "{" => 1,
            "}" => -1,
            _ => 0,
        };
        if depth == 0 {
            return (&words[1..index], &words[index + 1..]);
        }
    }
    panic!("probe: brace not closed")
}

fn integer(text: &str) -> i32 {
    text.parse().expect("a number")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
