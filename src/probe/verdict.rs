//! What follows from what was seen of COMMAND. Pure: no process is looked at here, no server asked.

use crate::posture::finding::Finding;
use crate::settings::checks::Check;
use crate::sys::ProcessId;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It does not run yet, or runs and does not listen.
    Starting,
    /// It runs, and answers where it is asked.
    Healthy,
    /// It does not answer in time, and works.
    Busy,
    /// It is there, and does not do its work.
    Hung,
    /// It has ended, or `init` has.
    Dead,
    /// It does its work, and a shield that must hold does not.
    Unhealthy,
}

impl Health {
    /// Whether the probe's exit code is 0.
    pub fn is_healthy(self) -> bool {
        matches!(self, Health::Healthy | Health::Busy)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Busy => "busy",
            Health::Hung => "hung",
            Health::Dead => "dead",
            Health::Unhealthy => "unhealthy",
        })
    }
}

/// A process: its id, and the letter of its state (`man 5 proc_pid_stat`); no letter where it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessState {
    pub id: ProcessId,
    pub state: Option<u8>,
}

impl ProcessState {
    fn has_ended(self) -> bool {
        matches!(self.state, None | Some(b'Z' | b'X' | b'x'))
    }

    fn is_stopped(self) -> bool {
        matches!(self.state, Some(b'T' | b't'))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Processes {
    /// No process here is `init`.
    NoInit,
    /// `init`, and nobody whom it calls COMMAND.
    NoCommand(ProcessState),
    /// Both: `init`, then COMMAND.
    Both(ProcessState, ProcessState),
}

/// What the server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HttpAnswer {
    NotAsked,
    Refused,
    /// The question could not be put: why, and what to do about it.
    RequestFailed(String, &'static str),
    /// A whole head with this code.
    Code(u16),
    /// What came is no answer: why not.
    Malformed(String),
    /// Nothing, or no whole head, until the time was over.
    TimedOut,
}

/// What COMMAND and its descendants did while no answer came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Clock ticks of processor time, of the one that used most.
    pub processor: u64,
    /// Whether one of them read or wrote.
    pub io: bool,
    /// Whether one of them slept in the kernel, in state D, at both looks.
    pub stuck: bool,
    /// How long they were watched.
    pub watched: Duration,
}

/// One look at a process that may be at work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActivitySample {
    pub id: ProcessId,
    /// When it began: an id with another start is another process.
    pub start: u64,
    /// The letter of its state.
    pub state: u8,
    /// Clock ticks of processor time so far.
    pub processor: u64,
    /// Bytes read and written so far, whatever from; `None` where another user's are not to be seen.
    pub io: Option<u64>,
}

/// Clock ticks a second, as /proc counts on every architecture that this program is built for (`man 5 proc_pid_stat`,
/// `USER_HZ`).
const USER_HZ: u128 = 100;

impl Progress {
    /// What happened between two looks.
    pub fn between(before: &[ActivitySample], after: &[ActivitySample], watched: Duration) -> Self {
        let mut progress = Progress { watched, ..Progress::default() };
        for now in after {
            let then = before.iter().find(|then| (then.id, then.start) == (now.id, now.start));
            // One that is new has done all of it meanwhile.
            let processor = now.processor.saturating_sub(then.map_or(0, |then| then.processor));
            progress.processor = progress.processor.max(processor);
            progress.io |= match (then, now.io) {
                (Some(then), Some(io)) => then.io.is_some_and(|then| io > then),
                (None, Some(io)) => io > 0,
                (_, None) => false,
            };
            progress.stuck |= now.state == b'D' && then.is_some_and(|then| then.state == b'D');
        }
        progress
    }

    /// Whether it is at work: a hundredth of the time on a processor, any reading or writing, or waiting in the kernel
    /// for a disk or a driver.
    pub fn is_busy(self) -> bool {
        let hundredth = self.watched.as_micros() * USER_HZ / 1_000_000 / 100;
        u128::from(self.processor) >= hundredth.max(1) || self.io || self.stuck
    }
}

/// The two findings of the shield `app`, and what follows from them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthVerdict {
    pub state: Health,
    pub process: Finding,
    pub http: Finding,
}

/// What to do with an app that does not do its work.
const RESTART: &str = "see `docker logs` for what it did last, then restart the container";

/// Why no question is worth putting, if there is a reason.
pub fn health_without_request(found: Processes) -> Option<Health> {
    match found {
        Processes::NoInit => Some(Health::Dead),
        Processes::NoCommand(init) if init.has_ended() => Some(Health::Dead),
        Processes::NoCommand(_) => Some(Health::Starting),
        Processes::Both(init, command) if init.has_ended() || command.has_ended() => Some(Health::Dead),
        Processes::Both(_, command) if command.is_stopped() => Some(Health::Hung),
        Processes::Both(..) => None,
    }
}

/// Judges. `place`: what was asked, for the words; `progress` counts where no answer came.
pub fn evaluate(found: Processes, answer: &HttpAnswer, place: &str, progress: Progress) -> HealthVerdict {
    let (unasked, process) = (health_without_request(found), process_finding(found));
    let skipped = |why: &str| required(Finding::skipped(Check::Http, why));
    let (state, http) = match (unasked, answer) {
        (Some(state), _) => (state, skipped("not asked")),
        (None, HttpAnswer::NotAsked) => (Health::Healthy, skipped("TAKUMI_HEALTH_URL is not set")),
        (None, answer) => http_finding(answer, place, progress),
    };
    HealthVerdict { state, process, http }
}

fn process_finding(found: Processes) -> Finding {
    const ID: Check = Check::Process;
    required(match found {
        Processes::NoInit => Finding::fail(
            ID,
            "no init process in this container",
            "start the container with /init as its ENTRYPOINT, and run --check inside it",
        ),
        Processes::NoCommand(init) if init.has_ended() => {
            Finding::fail(ID, format!("init, process {}, has ended", init.id), RESTART)
        }
        Processes::NoCommand(init) => Finding::fail(
            ID,
            format!("init is process {}, and COMMAND is not running", init.id),
            "wait: volumes come before COMMAND (see `docker logs`)",
        ),
        Processes::Both(init, _) if init.has_ended() => {
            Finding::fail(ID, format!("init, process {}, has ended", init.id), RESTART)
        }
        Processes::Both(_, command) if command.has_ended() => {
            Finding::fail(ID, format!("COMMAND, process {}, has ended", command.id), RESTART)
        }
        Processes::Both(_, command) if command.is_stopped() => Finding::fail(
            ID,
            format!("COMMAND, process {}, is stopped", command.id),
            format!("continue it: kill -CONT {} in the container", command.id),
        ),
        Processes::Both(_, command) => Finding::pass(ID, format!("COMMAND is process {}", command.id)),
    })
}

fn http_finding(answer: &HttpAnswer, place: &str, progress: Progress) -> (Health, Finding) {
    const ID: Check = Check::Http;
    let (state, finding) = match answer {
        HttpAnswer::NotAsked => (Health::Healthy, Finding::skipped(ID, "not asked")),
        HttpAnswer::Refused => (
            Health::Starting,
            Finding::fail(
                ID,
                format!("nothing listens at {place} yet"),
                "wait; if it lasts, compare TAKUMI_HEALTH_URL with the address and port that COMMAND listens on",
            ),
        ),
        HttpAnswer::RequestFailed(why, fix) => (Health::Hung, Finding::fail(ID, format!("{place}: {why}"), *fix)),
        HttpAnswer::Code(code @ 200..=399) => (Health::Healthy, Finding::pass(ID, format!("{place} answers {code}"))),
        HttpAnswer::Code(code) => (
            Health::Hung,
            Finding::fail(
                ID,
                format!("{place} answers {code}, not 2xx or 3xx"),
                "see `docker logs`; TAKUMI_HEALTH_URL must name a page that needs no password",
            ),
        ),
        HttpAnswer::Malformed(why) => (
            Health::Hung,
            Finding::fail(
                ID,
                format!("{place}: {why}"),
                "see `docker logs`; TAKUMI_HEALTH_URL must name COMMAND's HTTP port",
            ),
        ),
        HttpAnswer::TimedOut if progress.is_busy() => (
            Health::Busy,
            Finding::pass(ID, format!("no answer from {place} in time, but COMMAND is working: {progress}")),
        ),
        HttpAnswer::TimedOut => {
            (Health::Hung, Finding::fail(ID, format!("no answer from {place} in time, and COMMAND is idle"), RESTART))
        }
    };
    (state, required(finding))
}

fn required(finding: Finding) -> Finding {
    Finding { required: true, ..finding }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u128::from(self.processor) * 1000 / USER_HZ;
        write!(f, "{millis} ms of processor in {} ms", self.watched.as_millis())?;
        match (self.io, self.stuck) {
            (_, true) => f.write_str(", waiting in the kernel"),
            (true, _) => f.write_str(", reading or writing"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(id: i32, state: u8) -> ProcessState {
        ProcessState { id: ProcessId(id), state: (state != 0).then_some(state) }
    }

    fn both(init: u8, command: u8) -> Processes {
        Processes::Both(life(1, init), life(7, command))
    }

    const IDLE: Progress = Progress { processor: 0, io: false, stuck: false, watched: Duration::from_secs(8) };

    fn state(found: Processes, answer: HttpAnswer) -> Health {
        evaluate(found, &answer, "http://a/", IDLE).state
    }

    #[test]
    fn processes_decide_before_anybody_is_asked() {
        for (found, expected) in [
            (Processes::NoInit, Health::Dead),
            (Processes::NoCommand(life(1, 0)), Health::Dead),
            (Processes::NoCommand(life(1, b'Z')), Health::Dead),
            (Processes::NoCommand(life(1, b'S')), Health::Starting),
            (both(0, b'S'), Health::Dead),
            (both(b'Z', b'S'), Health::Dead),
            (both(b'S', 0), Health::Dead),
            (both(b'S', b'Z'), Health::Dead),
            (both(b'S', b'X'), Health::Dead),
            (both(b'S', b'T'), Health::Hung),
            (both(b'S', b't'), Health::Hung),
            (both(b'T', b'S'), Health::Healthy),
            (both(b'S', b'R'), Health::Healthy),
            (both(b'S', b'D'), Health::Healthy),
        ] {
            assert_eq!(state(found, HttpAnswer::NotAsked), expected, "{found:?}");
            // An answer of whoever has the port does not make up for a COMMAND that is gone.
            if expected != Health::Healthy {
                assert_eq!(state(found, HttpAnswer::Code(200)), expected, "{found:?}");
                assert_eq!(health_without_request(found), Some(expected));
            }
        }
    }

    #[test]
    fn only_a_success_or_a_redirection_is_healthy() {
        let alive = both(b'S', b'S');
        for code in 200..=399 {
            assert_eq!(state(alive, HttpAnswer::Code(code)), Health::Healthy, "{code}");
        }
        for code in [0, 100, 101, 199, 400, 401, 404, 418, 499, 500, 503, 599, 600, 999] {
            assert_eq!(state(alive, HttpAnswer::Code(code)), Health::Hung, "{code}");
        }
        assert_eq!(state(alive, HttpAnswer::Refused), Health::Starting);
        assert_eq!(state(alive, HttpAnswer::Malformed("x".into())), Health::Hung);
        assert_eq!(state(alive, HttpAnswer::RequestFailed("x".into(), "y")), Health::Hung);
        assert_eq!(state(alive, HttpAnswer::TimedOut), Health::Hung);
    }

    #[test]
    fn who_works_and_does_not_answer_is_busy() {
        let verdict = |progress| evaluate(both(b'S', b'S'), &HttpAnswer::TimedOut, "u", progress).state;
        for (progress, expected) in [
            (IDLE, Health::Hung),
            (Progress { processor: 7, ..IDLE }, Health::Hung),
            (Progress { processor: 8, ..IDLE }, Health::Busy),
            (Progress { io: true, ..IDLE }, Health::Busy),
            (Progress { stuck: true, ..IDLE }, Health::Busy),
            // A tick is the least that can be seen, also of a time of which a hundredth is shorter.
            (Progress { processor: 0, watched: Duration::from_millis(100), ..IDLE }, Health::Hung),
            (Progress { processor: 1, watched: Duration::from_millis(100), ..IDLE }, Health::Busy),
            (Progress::default(), Health::Hung),
        ] {
            assert_eq!(verdict(progress), expected, "{progress:?}");
        }
    }

    #[test]
    fn progress_is_that_of_one_and_the_same_process() {
        let sample =
            |id, start, state, processor, io| ActivitySample { id: ProcessId(id), start, state, processor, io };
        let watched = Duration::from_secs(1);
        let between = |before: &[ActivitySample], after: &[ActivitySample]| Progress::between(before, after, watched);
        let nothing = Progress { watched, ..Progress::default() };
        let idle = [sample(7, 1, b'S', 50, Some(9)), sample(8, 2, b'S', 5, None)];
        assert_eq!(between(&idle, &idle), nothing);
        assert_eq!(between(&idle, &[]), nothing, "who ends has not worked");
        assert_eq!(between(&idle, &[sample(8, 2, b'S', 8, None)]), Progress { processor: 3, ..nothing });
        assert_eq!(
            between(&idle, &[sample(7, 3, b'S', 4, None)]),
            Progress { processor: 4, ..nothing },
            "a new process"
        );
        assert_eq!(between(&idle, &[sample(7, 1, b'S', 50, Some(10))]), Progress { io: true, ..nothing });
        // Seen only now: how much of it was before is not known.
        assert_eq!(between(&idle, &[sample(8, 2, b'S', 5, Some(10))]), nothing);
        let waits = [sample(7, 1, b'D', 50, Some(9))];
        assert_eq!(between(&waits, &waits), Progress { stuck: true, ..nothing });
        assert_eq!(between(&idle, &waits), nothing, "D at one look is any read from a disk");
        assert_eq!(between(&waits, &idle[..1]), nothing);
    }

    #[test]
    fn what_is_not_well_says_what_to_do() {
        let answers = [
            HttpAnswer::NotAsked,
            HttpAnswer::Refused,
            HttpAnswer::Code(200),
            HttpAnswer::Code(500),
            HttpAnswer::Malformed("why".into()),
            HttpAnswer::TimedOut,
        ];
        let found =
            [Processes::NoInit, Processes::NoCommand(life(1, b'S')), both(b'S', 0), both(0, b'S'), both(b'S', b'T')];
        for found in found.into_iter().chain([both(b'S', b'S')]) {
            for answer in &answers {
                let verdict = evaluate(found, answer, "http://a/", IDLE);
                let findings = [&verdict.process, &verdict.http];
                assert!(findings.iter().all(|finding| finding.passed() || finding.fix.is_some()), "{verdict:?}");
                assert_eq!(verdict.state.is_healthy(), findings.iter().all(|finding| finding.passed()), "{verdict:?}");
            }
        }
    }
}
