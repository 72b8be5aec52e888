//! A start under strace: a process that sleeps, or that a timer wakes, asks the kernel for it. No clock is needed to see that.

use super::prepared::Prepared;
use super::support::{Process, Program, eventually};

/// The program as PID 1, with all that is below it.
const STRACE: &str = "strace --follow-forks --output SCRATCH/trace unshare --pid --fork --mount-proc --kill-child";

/// `require!(strace)`.
pub struct TracedInit {
    program: Program,
    pub running: Prepared,
}

impl TracedInit {
    pub fn start(program: Program, command: &str) -> Self {
        TracedInit { program, running: Prepared::start_command(program, STRACE, &[], command) }
    }

    /// The program, which is below strace and unshare.
    pub fn process(&self) -> Process {
        eventually("the program", || self.running.program().children().first().copied())
    }

    /// Waits until COMMAND is there and bears this name.
    pub fn await_command(&self, name: &str) {
        let runs = || self.process().children().first().is_some_and(|child| child.name() == name);
        eventually("COMMAND", || runs().then_some(()));
    }

    /// The program's calls after COMMAND's end that sleep, or that waited to the end of their time.
    pub fn sleeps_after_command(&self) -> Vec<String> {
        sleeps_after_command(&self.log(), self.program.path().to_str().unwrap())
    }

    /// The program's calls that set a timer.
    pub fn timers(&self) -> Vec<String> {
        let (log, timers) = (self.log(), [" setitimer(", " alarm(", " timer_settime(", " timerfd_settime("]);
        let (program, lines) = own_lines(&log, self.program.path().to_str().unwrap());
        assert!(!program.is_empty(), "the program is not in the log: {log:.2000}");
        lines.filter(|line| timers.iter().any(|timer| line.contains(timer))).map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        self.running.file("trace")
    }
}

/// Whether it sleeps in a wait for signals or descriptors that has no time.
pub fn waits_for_ever(process: Process) -> bool {
    // The call's number and its arguments; the third is the time of both.
    let call = std::fs::read_to_string(format!("/proc/{}/syscall", process.0)).unwrap_or_default();
    let mut words = call.split_whitespace();
    let number = words.next().and_then(|number| number.parse().ok()).unwrap_or(-1);
    [libc::SYS_rt_sigtimedwait, libc::SYS_ppoll].contains(&number) && words.nth(2) == Some("0x0")
}

/// The pid of the program of this path, and its lines of the log: `PID call(…) = answer`.
fn own_lines<'a>(log: &'a str, path: &str) -> (&'a str, impl Iterator<Item = &'a str> + use<'a>) {
    let start = format!(" execve(\"{path}\"");
    let pid = |line: &'a str| line.split(' ').next().unwrap_or_default();
    let program = log.lines().find(|line| line.contains(&start)).map(pid).unwrap_or_default();
    (program, log.lines().filter(move |line| pid(line) == program))
}

fn sleeps_after_command(log: &str, path: &str) -> Vec<String> {
    let (program, _) = own_lines(log, path);
    // COMMAND is the first that ends.
    let end = log.find(" +++ ").unwrap_or_else(|| panic!("no end in the log: {log:.2000}"));
    let (before, after) = log.split_at(end);
    assert!(!program.is_empty() && !before.lines().last().unwrap().starts_with(program), "{log:.2000}");
    let sleeps = |line: &&str| {
        // A wait of no time only looks.
        let looks = line.contains("{tv_sec=0, tv_nsec=0}") || line.contains(", 0) = 0 (Timeout)");
        let waited = line.contains("(Timeout)") || line.contains("sigtimedwait") && line.contains("EAGAIN");
        line.contains("nanosleep") || waited && !looks
    };
    after.lines().filter(|line| line.starts_with(program)).filter(sleeps).map(str::to_owned).collect()
}

#[test]
fn a_program_that_polls_for_its_childs_end_is_seen_to_sleep() {
    let log = "\
        7 execve(\"/usr/bin/unshare\", [\"unshare\", \"/x/init\"], 0x7ffd /* 3 vars */) = 0\n\
        8 execve(\"/x/init\", [\"/x/init\"], 0x7ffd /* 3 vars */) = 0\n\
        8 clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=1, tv_nsec=0}, 0x7ffd) = 0\n\
        9 +++ exited with 0 +++\n\
        8 rt_sigtimedwait([CHLD], 0x7ffd, NULL, 8) = 17 (SIGCHLD)\n\
        8 rt_sigtimedwait([CHLD], 0x7ffd, {tv_sec=0, tv_nsec=0}, 8) = -1 EAGAIN (Resource temporarily unavailable)\n\
        AFTER\
        8 exit_group(0) = ?\n\
        8 +++ exited with 0 +++\n";
    let sleeps = |after: &str| sleeps_after_command(&log.replace("AFTER", after), "/x/init");
    assert_eq!(sleeps(""), [""; 0]);
    for line in [
        "8 <... clock_nanosleep resumed>0x7ffd) = 0\n",
        "8 rt_sigtimedwait([CHLD], 0x7ffd, {tv_sec=1, tv_nsec=0}, 8) = -1 EAGAIN (Resource temporarily unavailable)\n",
        "8 poll([{fd=4, events=POLLIN}], 1, 250) = 0 (Timeout)\n",
    ] {
        assert_eq!(sleeps(line), [line.trim_end()]);
    }
}
