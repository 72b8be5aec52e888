//! What three crates do where `init` cannot use them: the figures of docs/architecture.md, *Dependencies*. `cargo run --example crates`,
//! as root.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, clippy::panic)]

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const QUEUED: usize = 100;
const REAL_TIME: i32 = 40;

fn main() {
    match std::env::args().nth(1).as_deref() {
        None => report(),
        Some("fill-stderr") => fill_stderr(),
        Some("capget-answers-0") => capget_answers_0(),
        Some(other) => panic!("{other}"),
    }
}

fn report() {
    println!("of {QUEUED} queued real-time signals:");
    println!("  sigtimedwait: {}", taken_by_sigtimedwait());
    println!("  signal-hook:  {}", taken_by_signal_hook());
    println!("env_logger, with a pipe as stderr that nobody reads: {}", behind_a_full_pipe());
    println!("caps, where capget answers 0 and writes nothing: {}", of_a_getter_that_lies());
}

fn queue() {
    for _ in 0..QUEUED {
        let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
        assert_eq!(unsafe { libc::sigqueue(libc::getpid(), REAL_TIME, value) }, 0);
    }
}

fn set(how: i32) -> libc::sigset_t {
    let mut set = unsafe { std::mem::zeroed() };
    unsafe {
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, REAL_TIME);
        libc::pthread_sigmask(how, &set, std::ptr::null_mut());
    }
    set
}

fn taken_by_sigtimedwait() -> usize {
    let set = set(libc::SIG_BLOCK);
    queue();
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    (0..).take_while(|_| unsafe { libc::sigtimedwait(&set, std::ptr::null_mut(), &none) } == REAL_TIME).count()
}

fn taken_by_signal_hook() -> usize {
    let mut signals = signal_hook::iterator::Signals::new([REAL_TIME]).unwrap();
    set(libc::SIG_BLOCK);
    queue();
    set(libc::SIG_UNBLOCK);
    signals.pending().count()
}

fn again(word: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(word);
    command
}

fn behind_a_full_pipe() -> String {
    let mut child = again("fill-stderr").stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        if child.try_wait().unwrap().is_some() {
            return "it went on".to_owned();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut lines = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut lines).unwrap();
    let lines = lines.iter().filter(|&&byte| byte == b'\n').count();
    format!("stood still for 5 s behind {lines} lines, and was killed (signal {})", status.signal().unwrap_or(0))
}

fn fill_stderr() {
    env_logger::Builder::new().filter_level(log::LevelFilter::Info).init();
    (0..10_000).for_each(|line| log::info!("a line of a program whose stderr nobody reads, number {line}"));
}

fn of_a_getter_that_lies() -> String {
    let output = again("capget-answers-0").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn capget_answers_0() {
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_capget as u32, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(installed, "{}", std::io::Error::last_os_error());
    let said = caps::read(None, caps::CapSet::Effective).map(|held| held.len());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kernel = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let bits = u64::from_str_radix(kernel, 16).unwrap().count_ones();
    println!("{said:?} effective, while the process holds {bits}");
}
