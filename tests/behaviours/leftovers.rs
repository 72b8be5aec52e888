//! What COMMAND leaves behind: who gets SIGTERM and a grace, who SIGKILL, and for whom nobody waits.

use crate::prepared::Prepared;
use crate::recorder::{Record, recording};
use crate::support::{Process, Start, check_init, eventually};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A grace that a test never sits through.
const LONG: &str = "60s";
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn leftovers_that_ignore_sigterm_are_killed_after_the_grace() {
    check_init(|program| {
        let started = Instant::now();
        let start = recording(program, "--exit 3 --kin group:kin --kin session:daemon");
        let ended = start.setting("TAKUMI_LEFTOVER_GRACE", "400ms").run();
        ended.expect(3);
        assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
        for role in ["kin", "daemon"] {
            assert_eq!(ended.stdout.heard(role, "TERM"), 1, "{role}: {}", ended.stdout);
        }
    });
}

#[test]
fn with_none_left_there_is_no_wait() {
    check_init(|program| {
        let started = Instant::now();
        Start::new(program).probe("exit:3").setting("TAKUMI_LEFTOVER_GRACE", LONG).run().expect(3);
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    });
}

#[test]
fn the_grace_ends_with_the_last_leftover() {
    check_init(|program| {
        let started = Instant::now();
        let start = recording(program, "--exit 3 --kin session:daemon --kin-on 15:50:0");
        start.setting("TAKUMI_LEFTOVER_GRACE", LONG).run().expect(3);
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    });
}

/// What a root `docker exec` is: a process of the namespace that PID 1, without privilege, may not signal.
#[test]
fn who_may_not_be_signalled_is_not_waited_for() {
    check_init(|program| {
        let mut running = Start::new(program)
            .probe("hold:TERM ready until:TERM exit:3")
            .setting("TAKUMI_LEFTOVER_GRACE", LONG)
            .spawn()
            .ready();
        let guest = Guest::enter(running.process);
        running.signal("TERM");
        let asked = Instant::now();
        assert_eq!(running.exit(), crate::support::Exit::Code(3));
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        drop(guest);
    });
}

/// An ordinary user that nobody else here is, so that a signal to all of them meets the test's own processes only.
const USER: &str = "54321";
const AS_USER: &str = "setpriv --reuid 54321 --regid 54321 --clear-groups --";

#[test]
fn when_not_pid_1_own_descendants_only() {
    check_init(|program| {
        let stranger = Guest::start(&mut command(&format!("{AS_USER} sleep 600")));
        eventually("the stranger", || (stranger.process().field("Uid").starts_with(USER)).then_some(()));
        let settings = [("TAKUMI_LEFTOVER_GRACE", "200ms")];
        let command = "record --to RECORD --exit 3 --kin session:daemon";
        let mut running = Prepared::start(program, AS_USER, &settings, command);
        let daemon = running.record().inner_pid("daemon");
        assert_eq!(running.exit(), 3, "{}", running.errors());
        assert_eq!(running.record().heard("daemon", "TERM"), 1);
        eventually("the daemon's death", || Process(daemon).state().is_none().then_some(()));
        assert_eq!(stranger.process().state(), Some('S'));
    });
}

/// A process beside the program under test, ended with the test.
struct Guest(Child);

impl Guest {
    fn start(command: &mut Command) -> Self {
        Guest(command.stdin(Stdio::null()).spawn().expect("start a guest"))
    }

    /// A root process in the namespace of `target`, as an engine's exec makes it.
    fn enter(target: Process) -> Self {
        let guest = Self::start(&mut command(&format!("nsenter --target {} --pid sleep 600", target.0)));
        eventually("the guest", || guest.process().children().first().filter(|inner| inner.name() == "sleep").copied());
        guest
    }

    fn process(&self) -> Process {
        Process(self.0.id() as i32)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(words: &str) -> Command {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}
