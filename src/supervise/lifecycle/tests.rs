use super::*;

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn ladder(rungs: &[(Signal, u64)]) -> Rules {
    Rules {
        rungs: rungs.iter().map(|&(signal, time)| StopStep { signal: Some(signal), time: ms(time) }).collect(),
        leftover_grace: ms(2000),
        ..Rules::default()
    }
}

struct Story {
    life: Lifecycle,
    now: Instant,
}

impl Story {
    fn of(rules: Rules) -> Self {
        Story { life: Lifecycle::new(rules, false), now: Instant::now() }
    }

    fn then(&mut self, event: Event, expected: Action) -> &mut Self {
        let before = format!("{:?}", self.life);
        assert_eq!(self.life.step(event, self.now), expected, "{event:?} in {before}");
        self
    }

    fn signal(&mut self, signal: Signal, expected: Action) -> &mut Self {
        self.then(Event::Signal(signal), expected)
    }

    fn at_deadline(&mut self, after: u64, expected: Action) -> &mut Self {
        let due = self.life.deadline().unwrap();
        assert_eq!(self.now.until(due), ms(after));
        self.now = due;
        self.then(Event::Deadline, expected)
    }
}

const TERMINATED: WaitStatus = WaitStatus::Killed(Signal::TERM, false);

#[test]
fn without_a_ladder_every_signal_is_forwarded_and_nothing_is_due() {
    let mut story = Story::of(Rules::default());
    for number in (1..=64).filter(|number| *number != 17) {
        let signal = Signal::new(number).unwrap();
        story.signal(signal, Action::Send(signal));
        assert_eq!(story.life.deadline(), None);
    }
}

#[test]
fn a_ladder_climbs_at_its_deadlines_and_ends_in_sigkill() {
    let mut story = Story::of(ladder(&[(Signal::INT, 200), (Signal::TERM, 300)]));
    story.signal(Signal::TERM, Action::Send(Signal::INT));
    story.at_deadline(200, Action::Send(Signal::TERM)).at_deadline(300, Action::Send(Signal::KILL));
    assert_eq!(story.life.deadline(), None, "SIGKILL is the last rung");
    assert!(story.life.is_escalated());
}

#[test]
fn a_second_sigterm_goes_to_the_next_rung_at_once() {
    let mut story = Story::of(ladder(&[(Signal::INT, 9000), (Signal::QUIT, 9000)]));
    story.signal(Signal::TERM, Action::Send(Signal::INT)).signal(Signal::TERM, Action::Send(Signal::QUIT));
    story.signal(Signal::TERM, Action::Send(Signal::KILL)).signal(Signal::TERM, Action::Send(Signal::KILL));
}

#[test]
fn other_signals_do_not_climb() {
    let mut story = Story::of(ladder(&[(Signal::TERM, 300)]));
    story.signal(Signal::INT, Action::Send(Signal::INT)).signal(Signal::HUP, Action::Send(Signal::HUP));
    assert_eq!(story.life.deadline(), None);
}

#[test]
fn rewrites_come_before_the_ladder_and_do_not_touch_its_rungs() {
    let rewrite = |from, to| SignalRewrite { from, to };
    let rewrites = vec![
        rewrite(Signal::HUP, Some(Signal::TERM)),
        rewrite(Signal::INT, None),
        rewrite(Signal::TERM, Some(Signal::QUIT)),
        rewrite(Signal::QUIT, Some(Signal::HUP)),
    ];
    let mut story = Story::of(Rules { rewrites, ..ladder(&[(Signal::INT, 300), (Signal::TERM, 300)]) });
    story.signal(Signal::INT, Action::None);
    story.signal(Signal::TERM, Action::Send(Signal::QUIT));
    story.signal(Signal::QUIT, Action::Send(Signal::HUP));
    story.signal(Signal::HUP, Action::Send(Signal::INT)).at_deadline(300, Action::Send(Signal::TERM));
}

#[test]
fn the_code_is_commands_own_unless_it_is_said_to_be_fine() {
    for (status, ok, code) in [
        (WaitStatus::Exited(3), vec![], 3),
        (TERMINATED, vec![], 143),
        (TERMINATED, vec![130, 143], 0),
        (WaitStatus::Killed(Signal::new(64).unwrap(), false), vec![], 192),
        (WaitStatus::Exited(0), vec![5], 0),
    ] {
        let mut story = Story::of(Rules { exit_ok: ok, ..Rules::default() });
        story.then(Event::Ended(status), Action::TerminateLeftovers).then(Event::NoLeftovers, Action::Exit(code));
    }
}

#[test]
fn leftovers_have_their_grace_and_then_none() {
    let mut story = Story::of(ladder(&[]));
    story
        .then(Event::Ended(WaitStatus::Exited(7)), Action::TerminateLeftovers)
        .signal(Signal::new(10).unwrap(), Action::None);
    story.at_deadline(2000, Action::KillLeftovers).at_deadline(500, Action::Exit(7));
}

#[test]
fn who_asks_again_does_not_wait_for_leftovers() {
    let mut story = Story::of(ladder(&[]));
    story.then(Event::Ended(TERMINATED), Action::TerminateLeftovers).signal(Signal::TERM, Action::KillLeftovers);
    story.signal(Signal::TERM, Action::None).then(Event::NoLeftovers, Action::Exit(143));
}

#[test]
fn init_stops_with_its_command_only_under_job_control() {
    for (has_job_control, has_terminal, told, by, expected) in [
        (true, false, true, Signal::STOP, Action::Suspend),
        (true, false, false, Signal::TSTP, Action::None),
        (true, true, false, Signal::TSTP, Action::Suspend),
        (true, true, false, Signal::STOP, Action::None),
        (false, true, true, Signal::TSTP, Action::None),
    ] {
        let mut story = Story::of(Rules { has_job_control, ..Rules::default() });
        story.life.has_terminal = has_terminal;
        if told {
            story.signal(Signal::TSTP, Action::Send(Signal::TSTP));
        }
        story.then(Event::Stopped(by), expected).then(Event::Stopped(Signal::STOP), Action::None);
    }
}

#[test]
fn a_stop_that_was_asked_for_is_remembered() {
    let mut story = Story::of(Rules::default());
    story.signal(Signal::new(10).unwrap(), Action::Send(Signal::new(10).unwrap()));
    assert!(!story.life.is_stop_requested());
    story.signal(Signal::INT, Action::Send(Signal::INT));
    assert!(story.life.is_stop_requested());
}

fn draining(rungs: &[(Option<Signal>, u64)]) -> Rules {
    let rungs = rungs.iter().map(|&(signal, time)| StopStep { signal, time: ms(time) }).collect();
    Rules { rungs, leftover_grace: ms(2000), ..Rules::default() }
}

const LADDER: [(Option<Signal>, u64); 2] = [(None, 8000), (Some(Signal::TERM), 1000)];

#[test]
fn a_drain_ends_when_it_is_done_or_its_time_is_over() {
    let mut story = Story::of(draining(&LADDER));
    story.then(Event::Drained, Action::None).signal(Signal::TERM, Action::Drain);
    assert!(story.life.is_draining() && story.life.is_command_running() && !story.life.is_escalated());
    story.then(Event::Drained, Action::Send(Signal::TERM));
    assert!(!story.life.is_draining());
    // The end of a drain that was given up is no rung's.
    story.then(Event::Drained, Action::None).at_deadline(1000, Action::Send(Signal::KILL));

    let mut story = Story::of(draining(&LADDER));
    story.signal(Signal::TERM, Action::Drain).at_deadline(8000, Action::Send(Signal::TERM));
    assert!(!story.life.is_draining());

    let mut story = Story::of(draining(&LADDER));
    story.signal(Signal::TERM, Action::Drain).signal(Signal::TERM, Action::Send(Signal::TERM));
    story.signal(Signal::TERM, Action::Send(Signal::KILL));
}

#[test]
fn a_drain_may_stand_anywhere_in_the_ladder() {
    let mut story = Story::of(draining(&[(Some(Signal::INT), 100), (None, 200), (None, 300)]));
    story.signal(Signal::TERM, Action::Send(Signal::INT)).then(Event::Drained, Action::None);
    story.at_deadline(100, Action::Drain).then(Event::Drained, Action::Drain);
    story.at_deadline(300, Action::Send(Signal::KILL));
    assert!(story.life.is_escalated() && !story.life.is_draining());
}

#[test]
fn command_that_ends_while_it_drains_has_its_own_code() {
    let mut story = Story::of(draining(&LADDER));
    story.signal(Signal::TERM, Action::Drain).then(Event::Ended(WaitStatus::Exited(9)), Action::TerminateLeftovers);
    assert!(!story.life.is_draining());
    story.then(Event::Drained, Action::None).then(Event::NoLeftovers, Action::Exit(9));
}

#[test]
fn a_wish_starts_command_again_when_nobody_is_left() {
    let mut story = Story::of(draining(&LADDER));
    story.then(Event::RestartRequested, Action::TerminateLeftovers);
    assert!(story.life.is_restarting() && !story.life.is_command_running());
    story.at_deadline(2000, Action::KillLeftovers).then(Event::NoLeftovers, Action::Restart);
    story.life.restart(false);
    assert!(story.life.is_command_running() && story.life.deadline().is_none() && !story.life.is_restarting());
    story.signal(Signal::TERM, Action::Drain);
}

#[test]
fn who_asks_for_an_end_gets_no_new_start() {
    // Before it, with a ladder and without.
    let mut story = Story::of(draining(&LADDER));
    story.signal(Signal::TERM, Action::Drain).then(Event::RestartRequested, Action::TerminateLeftovers);
    story.then(Event::NoLeftovers, Action::Exit(0));
    let mut story = Story::of(Rules::default());
    story.signal(Signal::TERM, Action::Send(Signal::TERM)).then(Event::RestartRequested, Action::TerminateLeftovers);
    assert!(!story.life.is_restarting());
    story.then(Event::NoLeftovers, Action::Exit(0));
    // While leftovers have their grace, and after they were killed.
    let mut story = Story::of(draining(&LADDER));
    story.then(Event::RestartRequested, Action::TerminateLeftovers).signal(Signal::TERM, Action::KillLeftovers);
    story.then(Event::NoLeftovers, Action::Exit(0));
    let mut story = Story::of(draining(&LADDER));
    story.then(Event::RestartRequested, Action::TerminateLeftovers).at_deadline(2000, Action::KillLeftovers);
    story.signal(Signal::INT, Action::None).at_deadline(500, Action::Exit(0));
}

#[test]
fn a_loop_of_reboots_ends() {
    let mut story = Story::of(Rules::default());
    let mut again = |after: u64, expected: Action| {
        story.now = story.now.after(ms(after));
        story.then(Event::RestartRequested, Action::TerminateLeftovers).then(Event::NoLeftovers, expected);
        story.life.restart(false);
    };
    for _ in 0..5 {
        again(1000, Action::Restart);
    }
    again(1000, Action::Exit(0));
    // The first of the five was 5 s ago: 56 s later it no longer counts.
    again(55_000, Action::Restart);
    again(0, Action::Exit(0));
}
