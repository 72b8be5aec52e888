//! What follows from what was seen of COMMAND. Pure: no process is looked at here, no server asked.

use crate::posture::finding::Finding;
use crate::settings::checks::Check;
use crate::sys::ProcessId;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// How COMMAND is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
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

impl State {
    /// Whether the probe's exit code is 0.
    pub fn is_well(self) -> bool {
        matches!(self, State::Healthy | State::Busy)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Starting => "starting",
            State::Healthy => "healthy",
            State::Busy => "busy",
            State::Hung => "hung",
            State::Dead => "dead",
            State::Unhealthy => "unhealthy",
        })
    }
}

/// A process: its id, and the letter of its state (`man 5 proc_pid_stat`); no letter where it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // told above
pub struct Life {
    pub id: ProcessId,
    pub state: Option<u8>,
}

impl Life {
    fn is_over(self) -> bool {
        matches!(self.state, None | Some(b'Z' | b'X' | b'x'))
    }

    fn is_stopped(self) -> bool {
        matches!(self.state, Some(b'T' | b't'))
    }
}

/// Who was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// No process here is `init`.
    NoInit,
    /// `init`, and nobody whom it calls COMMAND.
    NoCommand(Life),
    /// Both: `init`, then COMMAND.
    Both(Life, Life),
}

/// What the server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Nobody asked.
    NotAsked,
    /// Nothing listens.
    Refused,
    /// The question could not be put: why, and what to do about it.
    Unasked(String, &'static str),
    /// A whole head with this code.
    Code(u16),
    /// What came is no answer: why not.
    Garbage(String),
    /// Nothing, or no whole head, until the time was over.
    Silent,
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
pub struct Sample {
    /// Its id.
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

/// Clock ticks a second, as /proc counts on every architecture that this program is built for (`man 5 proc_pid_stat`, `USER_HZ`).
const TICKS: u128 = 100;

impl Progress {
    /// What happened between two looks.
    pub fn between(before: &[Sample], after: &[Sample], watched: Duration) -> Self {
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

    /// Whether it is at work: a hundredth of the time on a processor, any reading or writing, or waiting in the kernel for a disk
    /// or a driver.
    pub fn is_work(self) -> bool {
        let hundredth = self.watched.as_micros() * TICKS / 1_000_000 / 100;
        u128::from(self.processor) >= hundredth.max(1) || self.io || self.stuck
    }
}

/// The two findings of the shield `app`, and what follows from them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// How COMMAND is.
    pub state: State,
    /// Whether it runs.
    pub process: Finding,
    /// Whether it answers.
    pub http: Finding,
}

/// What to do with an app that does not do its work.
const RESTART: &str = "see `docker logs` for what it did last, then restart the container";

/// Why no question is worth putting, if there is a reason.
pub fn without_asking(found: Found) -> Option<State> {
    match found {
        Found::NoInit => Some(State::Dead),
        Found::NoCommand(init) if init.is_over() => Some(State::Dead),
        Found::NoCommand(_) => Some(State::Starting),
        Found::Both(init, command) if init.is_over() || command.is_over() => Some(State::Dead),
        Found::Both(_, command) if command.is_stopped() => Some(State::Hung),
        Found::Both(..) => None,
    }
}

/// Judges. `place`: what was asked, for the words; `progress` counts where no answer came.
pub fn judge(found: Found, answer: &Answer, place: &str, progress: Progress) -> Verdict {
    let (unasked, process) = (without_asking(found), process(found));
    let skipped = |why: &str| required(Finding::skipped(Check::Http, why));
    let (state, http) = match (unasked, answer) {
        (Some(state), _) => (state, skipped("not asked")),
        (None, Answer::NotAsked) => (State::Healthy, skipped("TAKUMI_HEALTH_URL is not set")),
        (None, answer) => asked(answer, place, progress),
    };
    Verdict { state, process, http }
}

fn process(found: Found) -> Finding {
    const ID: Check = Check::Process;
    required(match found {
        Found::NoInit => Finding::fail(
            ID,
            "no process here is init",
            "start the container with /init as its ENTRYPOINT, and run --check inside it",
        ),
        Found::NoCommand(init) if init.is_over() => {
            Finding::fail(ID, format!("init, process {}, has ended", init.id), RESTART)
        }
        Found::NoCommand(init) => Finding::fail(
            ID,
            format!("init is process {}, and COMMAND does not run", init.id),
            "wait: volumes come before COMMAND (see `docker logs`)",
        ),
        Found::Both(init, _) if init.is_over() => {
            Finding::fail(ID, format!("init, process {}, has ended", init.id), RESTART)
        }
        Found::Both(_, command) if command.is_over() => {
            Finding::fail(ID, format!("COMMAND, process {}, has ended", command.id), RESTART)
        }
        Found::Both(_, command) if command.is_stopped() => Finding::fail(
            ID,
            format!("COMMAND, process {}, is stopped", command.id),
            format!("let it go on: kill -CONT {} in the container", command.id),
        ),
        Found::Both(_, command) => Finding::pass(ID, format!("COMMAND is process {}", command.id)),
    })
}

fn asked(answer: &Answer, place: &str, progress: Progress) -> (State, Finding) {
    const ID: Check = Check::Http;
    let (state, finding) = match answer {
        Answer::NotAsked => (State::Healthy, Finding::skipped(ID, "not asked")),
        Answer::Refused => (
            State::Starting,
            Finding::fail(
                ID,
                format!("nothing listens at {place} yet"),
                "wait; if it lasts, compare TAKUMI_HEALTH_URL with the address and port that COMMAND listens on",
            ),
        ),
        Answer::Unasked(why, fix) => (State::Hung, Finding::fail(ID, format!("{place}: {why}"), *fix)),
        Answer::Code(code @ 200..=399) => (State::Healthy, Finding::pass(ID, format!("{place} answers {code}"))),
        Answer::Code(code) => (
            State::Hung,
            Finding::fail(
                ID,
                format!("{place} answers {code}, not 2xx or 3xx"),
                "see `docker logs`; TAKUMI_HEALTH_URL must name a page that needs no password",
            ),
        ),
        Answer::Garbage(why) => (
            State::Hung,
            Finding::fail(
                ID,
                format!("{place}: {why}"),
                "see `docker logs`; TAKUMI_HEALTH_URL must name COMMAND's own HTTP port",
            ),
        ),
        Answer::Silent if progress.is_work() => {
            (State::Busy, Finding::pass(ID, format!("no answer from {place} in time, and COMMAND works: {progress}")))
        }
        Answer::Silent => (
            State::Hung,
            Finding::fail(ID, format!("no answer from {place} in time, and COMMAND does nothing"), RESTART),
        ),
    };
    (state, required(finding))
}

fn required(finding: Finding) -> Finding {
    Finding { required: true, ..finding }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u128::from(self.processor) * 1000 / TICKS;
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

    fn life(id: i32, state: u8) -> Life {
        Life { id: ProcessId(id), state: (state != 0).then_some(state) }
    }

    fn both(init: u8, command: u8) -> Found {
        Found::Both(life(1, init), life(7, command))
    }

    const IDLE: Progress = Progress { processor: 0, io: false, stuck: false, watched: Duration::from_secs(8) };

    fn state(found: Found, answer: Answer) -> State {
        judge(found, &answer, "http://a/", IDLE).state
    }

    #[test]
    fn processes_decide_before_anybody_is_asked() {
        for (found, expected) in [
            (Found::NoInit, State::Dead),
            (Found::NoCommand(life(1, 0)), State::Dead),
            (Found::NoCommand(life(1, b'Z')), State::Dead),
            (Found::NoCommand(life(1, b'S')), State::Starting),
            (both(0, b'S'), State::Dead),
            (both(b'Z', b'S'), State::Dead),
            (both(b'S', 0), State::Dead),
            (both(b'S', b'Z'), State::Dead),
            (both(b'S', b'X'), State::Dead),
            (both(b'S', b'T'), State::Hung),
            (both(b'S', b't'), State::Hung),
            (both(b'T', b'S'), State::Healthy),
            (both(b'S', b'R'), State::Healthy),
            (both(b'S', b'D'), State::Healthy),
        ] {
            assert_eq!(state(found, Answer::NotAsked), expected, "{found:?}");
            // An answer of whoever has the port does not make up for a COMMAND that is gone.
            if expected != State::Healthy {
                assert_eq!(state(found, Answer::Code(200)), expected, "{found:?}");
                assert_eq!(without_asking(found), Some(expected));
            }
        }
    }

    #[test]
    fn only_a_success_or_a_redirection_is_healthy() {
        let alive = both(b'S', b'S');
        for code in 200..=399 {
            assert_eq!(state(alive, Answer::Code(code)), State::Healthy, "{code}");
        }
        for code in [0, 100, 101, 199, 400, 401, 404, 418, 499, 500, 503, 599, 600, 999] {
            assert_eq!(state(alive, Answer::Code(code)), State::Hung, "{code}");
        }
        assert_eq!(state(alive, Answer::Refused), State::Starting);
        assert_eq!(state(alive, Answer::Garbage("x".into())), State::Hung);
        assert_eq!(state(alive, Answer::Unasked("x".into(), "y")), State::Hung);
        assert_eq!(state(alive, Answer::Silent), State::Hung);
    }

    #[test]
    fn who_works_and_does_not_answer_is_busy() {
        let verdict = |progress| judge(both(b'S', b'S'), &Answer::Silent, "u", progress).state;
        for (progress, expected) in [
            (IDLE, State::Hung),
            (Progress { processor: 7, ..IDLE }, State::Hung),
            (Progress { processor: 8, ..IDLE }, State::Busy),
            (Progress { io: true, ..IDLE }, State::Busy),
            (Progress { stuck: true, ..IDLE }, State::Busy),
            // A tick is the least that can be seen, also of a time of which a hundredth is shorter.
            (Progress { processor: 0, watched: Duration::from_millis(100), ..IDLE }, State::Hung),
            (Progress { processor: 1, watched: Duration::from_millis(100), ..IDLE }, State::Busy),
            (Progress::default(), State::Hung),
        ] {
            assert_eq!(verdict(progress), expected, "{progress:?}");
        }
    }

    #[test]
    fn progress_is_that_of_one_and_the_same_process() {
        let sample = |id, start, state, processor, io| Sample { id: ProcessId(id), start, state, processor, io };
        let watched = Duration::from_secs(1);
        let between = |before: &[Sample], after: &[Sample]| Progress::between(before, after, watched);
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
            Answer::NotAsked,
            Answer::Refused,
            Answer::Code(200),
            Answer::Code(500),
            Answer::Garbage("why".into()),
            Answer::Silent,
        ];
        let found = [Found::NoInit, Found::NoCommand(life(1, b'S')), both(b'S', 0), both(0, b'S'), both(b'S', b'T')];
        for found in found.into_iter().chain([both(b'S', b'S')]) {
            for answer in &answers {
                let verdict = judge(found, answer, "http://a/", IDLE);
                let findings = [&verdict.process, &verdict.http];
                assert!(findings.iter().all(|finding| finding.passed() || finding.fix.is_some()), "{verdict:?}");
                assert_eq!(verdict.state.is_well(), findings.iter().all(|finding| finding.passed()), "{verdict:?}");
            }
        }
    }
}
