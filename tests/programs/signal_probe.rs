//! COMMAND of the signal, reaping and terminal behaviours: it records what reaches it, makes orphans and leftovers,
//! dies in a chosen way, and prepares the odd starts that a shell cannot.
//!
//! ```text
//! record OPTION...              block every signal and write a line for each that comes
//! die WAY                       segv | bus | fill-shm | ill | fpe | abort | eat-memory
//! pending SIGNAL... -- COMMAND  exec COMMAND with these signals blocked and already pending
//! unkillable -- COMMAND         exec COMMAND where kill(2) and its kin answer EPERM
//! session TTY fore|back -- COMMAND   a shell's part: lead a session on TTY, run COMMAND as its job, tell what becomes of it
//! ```
//!
//! Options of `record`: `--to FILE` (instead of stdout), `--role NAME`, `--kin group:NAME`, `--kin session:NAME`,
//! `--on SIGNAL:MILLISECONDS:CODE` and `--kin-on …` (exit so long after that signal), `--orphans COUNT:MILLISECONDS`
//! (one dies each so often) or `--orphans COUNT:release` (all die when SIGUSR1 comes), `--stream COUNT` (one after
//! another on SIGUSR1), `--tell SIGNAL` (sent to the parent), `--exit CODE` (at once, kin stay).
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::env;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};
use std::ptr::null_mut;
use std::thread::sleep;
use std::time::Duration;

use libc::{c_int, c_void, pid_t};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (verb, rest) = arguments.split_first().expect("a verb");
    match verb.as_str() {
        "record" => record(rest),
        "die" => die(&rest[0]),
        "pending" => pending(rest),
        "unkillable" => unkillable(rest),
        "session" => session(rest),
        _ => panic!("unknown verb {verb}"),
    }
}

#[derive(Clone, Copy)]
struct Reaction {
    signal: c_int,
    delay: Duration,
    code: c_int,
}

struct Recorder {
    sink: File,
    role: String,
    reactions: Vec<Reaction>,
    /// Orphans wait for the end of this pipe.
    release: Option<RawFd>,
    stream: usize,
}

fn record(options: &[String]) -> ! {
    // SAFETY: descriptor 1 stays open for the life of the process.
    let stdout = unsafe { File::from_raw_fd(1) };
    let mut recorder = Recorder { sink: stdout, role: "child".into(), reactions: vec![], release: None, stream: 0 };
    let (mut kin, mut kin_reactions, mut orphans, mut tell, mut code) = (vec![], vec![], None, None, None);
    for pair in options.chunks(2) {
        let [option, value] = pair else { panic!("{} has no value", pair[0]) };
        match option.as_str() {
            "--to" => recorder.sink = OpenOptions::new().append(true).create(true).open(value).expect(value),
            "--role" => recorder.role = value.clone(),
            "--kin" => kin.push(value.split_once(':').expect("KIND:NAME")),
            "--on" => recorder.reactions.push(reaction(value)),
            "--kin-on" => kin_reactions.push(reaction(value)),
            "--orphans" => orphans = value.split_once(':'),
            "--stream" => recorder.stream = number(value) as usize,
            "--tell" => tell = Some(number(value)),
            "--exit" => code = Some(number(value)),
            _ => panic!("unknown option {option}"),
        }
    }
    block_every_signal();
    for (kind, name) in kin {
        let id = fork();
        if id == 0 {
            if kind == "session" {
                // SAFETY: no memory is involved.
                unsafe { libc::setsid() };
            }
            recorder.role = name.into();
            recorder.reactions = kin_reactions;
            recorder.say(&format!("ready {}", std::process::id()));
            recorder.serve()
        }
        // Whoever reads "ready" of this process may send to its group at once.
        // SAFETY: no memory is involved.
        while kind == "session" && unsafe { libc::getsid(id) } != id {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    if let Some((count, pace)) = orphans {
        recorder.make_orphans(number(count), pace);
    }
    recorder.say(&format!("ready {}", std::process::id()));
    if let Some(signal) = tell {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(libc::getppid(), signal) };
    }
    if let Some(code) = code {
        exit(code);
    }
    recorder.serve()
}

impl Recorder {
    fn serve(mut self) -> ! {
        // SAFETY: an all-zero sigset_t and siginfo_t are valid values for these calls to fill.
        let (mut every, mut info) = unsafe { (zeroed(), zeroed::<libc::siginfo_t>()) };
        // SAFETY: `every` is a sigset_t of our own.
        unsafe { libc::sigfillset(&mut every) };
        loop {
            // SAFETY: both point to values of our own.
            let signal = unsafe { libc::sigwaitinfo(&every, &mut info) };
            if signal < 0 || (signal == libc::SIGCHLD && info.si_code > 0) {
                continue;
            }
            // SAFETY: these fields are plain integers of every siginfo_t that a process sent.
            let (pid, uid, value) =
                unsafe { (info.si_pid(), info.si_uid(), info.si_value().sival_ptr as usize as i32) };
            self.say(&format!(
                "signal {signal} from {pid} uid {uid} code {} value {value} at {}",
                info.si_code,
                milliseconds()
            ));
            if let Some(reaction) = self.reactions.iter().copied().find(|r| r.signal == signal) {
                sleep(reaction.delay);
                self.say(&format!("exits {}", reaction.code));
                exit(reaction.code);
            }
            if signal == libc::SIGUSR1 {
                if let Some(descriptor) = self.release.take() {
                    // SAFETY: the descriptor is ours and not used again.
                    unsafe { libc::close(descriptor) };
                }
                self.stream_orphans();
            }
        }
    }

    /// A middle process makes them and dies, so that the nearest reaper above adopts them.
    fn make_orphans(&mut self, count: c_int, pace: &str) {
        let mut pipe = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        let middle = fork();
        if middle == 0 {
            // SAFETY: the descriptor is ours; the orphans must not hold the end that they wait for.
            unsafe { libc::close(pipe[1]) };
            for index in 1..=count {
                if fork() == 0 {
                    match pace.parse::<u64>() {
                        Ok(pace) => sleep(Duration::from_millis(pace * index as u64)),
                        Err(_) => wait_for_end(pipe[0]),
                    }
                    leave();
                }
            }
            leave();
        }
        reap(middle);
        // SAFETY: the descriptor is ours and not used again.
        unsafe { libc::close(pipe[0]) };
        self.release = Some(pipe[1]);
    }

    fn stream_orphans(&mut self) {
        let count = std::mem::take(&mut self.stream);
        for _ in 0..count {
            let middle = fork();
            if middle == 0 {
                // SAFETY: no memory is involved.
                let parent = unsafe { libc::getpid() };
                if fork() == 0 {
                    // SAFETY: no memory is involved.
                    while unsafe { libc::getppid() } == parent {
                        std::thread::yield_now();
                    }
                }
                leave();
            }
            reap(middle);
        }
        if count > 0 {
            self.say("streamed");
        }
    }

    /// One write a line: several processes share the sink.
    fn say(&mut self, words: &str) {
        let line = format!("{} {words}\n", self.role);
        let _ = self.sink.write_all(line.as_bytes());
    }
}

fn reaction(value: &str) -> Reaction {
    let parts: Vec<c_int> = value.split(':').map(number).collect();
    Reaction { signal: parts[0], delay: Duration::from_millis(parts[1] as u64), code: parts[2] }
}

fn die(way: &str) {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
        // SAFETY: the default action; Rust's own handler for stack overflows would stand between.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &no_core) };
    match way {
        // SAFETY: meant to fault; page 0 is never mapped.
        "segv" => unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) },
        // SAFETY: meant to fault.
        "ill" => unsafe { std::arch::asm!("ud2") },
        // SAFETY: meant to fault: a division by zero.
        "fpe" => unsafe {
            std::arch::asm!("xor ecx, ecx", "mov eax, 1", "cdq", "div ecx", out("eax") _, out("ecx") _, out("edx") _)
        },
        "abort" => std::process::abort(),
        "bus" => write_past_the_end(),
        "fill-shm" => fill_shared_memory(),
        "eat-memory" => touch(map(-1, 1 << 30), 1 << 30),
        _ => panic!("unknown way {way}"),
    }
    panic!("still alive");
}

/// A mapping longer than its file: SIGBUS without any file system being full.
fn write_past_the_end() {
    let file = env::temp_dir().join(format!("signal_probe-{}", std::process::id()));
    let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    touch(map(opened.as_raw_fd(), 4096), 4096);
}

/// What PyTorch's loaders do with a small /dev/shm: the file may grow, its pages find no room.
fn fill_shared_memory() {
    const MORE_THAN_THERE_IS: usize = 256 << 20;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open("/dev/shm/filling").unwrap();
    file.set_len(MORE_THAN_THERE_IS as u64).unwrap();
    touch(map(file.as_raw_fd(), MORE_THAN_THERE_IS), MORE_THAN_THERE_IS);
}

fn map(descriptor: RawFd, length: usize) -> *mut u8 {
    let flags = if descriptor < 0 { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS } else { libc::MAP_SHARED };
    // SAFETY: a new mapping at an address of the kernel's choice.
    let address = unsafe { libc::mmap(null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, descriptor, 0) };
    assert_ne!(address, libc::MAP_FAILED);
    address.cast()
}

fn touch(address: *mut u8, length: usize) {
    for offset in (0..length).step_by(4096) {
        // SAFETY: inside the mapping; where its page cannot be had the process dies, as meant.
        unsafe { address.add(offset).write_volatile(1) };
    }
}

fn pending(arguments: &[String]) {
    let (signals, command) = split_command(arguments);
    block_every_signal();
    for signal in signals {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(libc::getpid(), number(signal)) };
    }
    // SAFETY: an all-zero sigset_t is the empty set.
    let mut kept = unsafe { zeroed() };
    for signal in signals {
        // SAFETY: the set is our own.
        unsafe { libc::sigaddset(&mut kept, number(signal)) };
    }
    // SAFETY: the set is our own.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &kept, null_mut()) };
    panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
}

fn unkillable(arguments: &[String]) {
    let (_, command) = split_command(arguments);
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let statement = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let equal = |k, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k };
    let refused =
        [libc::SYS_kill, libc::SYS_pidfd_send_signal, libc::SYS_rt_sigqueueinfo, libc::SYS_tkill, libc::SYS_tgkill];
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (index, call) in refused.iter().enumerate() {
        program.push(equal(*call as u32, (refused.len() - index) as u8, 0));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    program.push(statement(libc::BPF_RET | libc::BPF_K, refuse));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter outlives the call; the kernel copies it. Root installs it without no_new_privs.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
}

fn session(arguments: &[String]) -> ! {
    let (words, command) = split_command(arguments);
    let tty = CString::new(words[0].as_str()).unwrap();
    // SAFETY: no memory is involved.
    unsafe { libc::setsid() };
    // SAFETY: the path is a C string; a session leader's first terminal becomes its controlling one.
    let terminal = unsafe { libc::open(tty.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    assert!(terminal >= 0, "{}", io::Error::last_os_error());
    // SAFETY: no memory is involved. A leader that is in the background may use its terminal without being stopped.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    let job = fork();
    if job == 0 {
        // SAFETY: no memory is involved.
        unsafe { libc::setpgid(0, 0) };
        if words[1] == "fore" {
            // SAFETY: no memory is involved.
            unsafe { libc::tcsetpgrp(terminal, libc::getpid()) };
        }
        for standard in 0..3 {
            // SAFETY: both descriptors are open; SIGTTOU goes back to what a job expects.
            unsafe { libc::dup2(terminal, standard) };
        }
        // SAFETY: no memory is involved.
        unsafe { libc::signal(libc::SIGTTOU, libc::SIG_DFL) };
        panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
    }
    println!("leader {} job {job}", std::process::id());
    loop {
        let mut status = 0;
        // SAFETY: the status is our own.
        if unsafe { libc::waitpid(job, &mut status, libc::WUNTRACED | libc::WCONTINUED) } < 0 {
            continue;
        }
        if libc::WIFSTOPPED(status) {
            println!("job stopped by {}", libc::WSTOPSIG(status));
        } else if libc::WIFCONTINUED(status) {
            println!("job continued");
        } else {
            // SAFETY: no memory is involved.
            let foreground = unsafe { libc::tcgetpgrp(terminal) };
            println!("job ended {status}, foreground {foreground}");
            exit(0);
        }
    }
}

fn split_command(arguments: &[String]) -> (&[String], &[String]) {
    let dashes = arguments.iter().position(|word| word == "--").expect("--");
    (&arguments[..dashes], &arguments[dashes + 1..])
}

fn block_every_signal() {
    // SAFETY: an all-zero sigset_t is a valid value for sigfillset to overwrite.
    let mut every = unsafe { zeroed() };
    // SAFETY: the set is our own.
    unsafe {
        libc::sigfillset(&mut every);
        libc::sigprocmask(libc::SIG_BLOCK, &every, null_mut());
    }
}

fn fork() -> pid_t {
    // SAFETY: the program has one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    pid
}

fn reap(pid: pid_t) {
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(pid, null_mut(), 0) };
}

fn wait_for_end(descriptor: RawFd) {
    let mut byte = 0u8;
    // SAFETY: one byte of room.
    unsafe { libc::read(descriptor, (&raw mut byte).cast::<c_void>(), 1) };
}

fn leave() -> ! {
    // SAFETY: ends a forked copy without running what the parent registered.
    unsafe { libc::_exit(0) }
}

fn milliseconds() -> i64 {
    // SAFETY: an all-zero timespec is valid, and filled by the call.
    let mut now: libc::timespec = unsafe { zeroed() };
    // SAFETY: the timespec is our own.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

fn number(word: impl AsRef<str>) -> c_int {
    let word = word.as_ref();
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}
