//! What COMMAND leaves behind: who gets SIGTERM and a grace, who SIGKILL, and for whom nobody waits.

use super::prepared::Prepared;
use super::recorder::{Record, recording};
use super::support::{Process, Start, check_init, eventually};
use std::process::{Child, Command, Stdio};
use takumi_test::require;

/// A grace that no test sits through: its patience ends first.
pub const LONG: &str = "10m";

#[test]
fn leftovers_that_ignore_sigterm_are_killed_after_the_grace() {
    check_init(|program| {
        let start = recording(program, "--exit 3 --kin group:kin --kin session:daemon");
        let ended = start.setting("TAKUMI_LEFTOVER_GRACE", "400ms").run();
        ended.expect(3);
        for role in ["kin", "daemon"] {
            assert_eq!(ended.stdout.heard(role, "TERM"), 1, "{role}: {}", ended.stdout);
        }
    });
}

#[test]
fn with_none_left_there_is_no_wait() {
    check_init(|program| {
        Start::new(program).probe("exit:3").setting("TAKUMI_LEFTOVER_GRACE", LONG).run().expect(3);
    });
}

#[test]
fn the_grace_ends_with_the_last_leftover() {
    check_init(|program| {
        let start = recording(program, "--exit 3 --kin session:daemon --kin-on 15:50:0");
        start.setting("TAKUMI_LEFTOVER_GRACE", LONG).run().expect(3);
    });
}

/// What a root `docker exec` is: a process of the namespace that PID 1, without privilege, may not signal.
#[test]
fn who_may_not_be_signalled_is_not_waited_for() {
    require!(nsenter);
    check_init(|program| {
        let mut running = Start::new(program)
            .probe("hold:TERM ready until:TERM exit:3")
            .setting("TAKUMI_LEFTOVER_GRACE", LONG)
            .spawn()
            .ready();
        let guest = Guest::enter(running.process);
        running.signal("TERM");
        assert_eq!(running.exit(), super::support::Exit::Code(3));
        drop(guest);
    });
}

#[test]
fn when_not_pid_1_own_descendants_only() {
    require!(setpriv);
    check_init(|program| {
        // An ordinary user that nobody else here is, so that a signal to all of them meets the test's own processes only.
        let user = (100_000_000 + std::process::id()).to_string();
        let as_user = format!("setpriv --reuid {user} --regid {user} --clear-groups --");
        let stranger = Guest::start(&mut command(&format!("{as_user} sleep 600")));
        eventually("the stranger", || (stranger.process().field("Uid").starts_with(&user)).then_some(()));
        let settings = [("TAKUMI_LEFTOVER_GRACE", "200ms")];
        let command = "record --to RECORD --exit 3 --kin session:daemon";
        let mut running = Prepared::start(program, &as_user, &settings, command);
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
