//! N: not PID 1, without privilege, without /proc.

use super::support::{Exit, PROBE, Program, Start, Stdio, check, check_control, check_init, eventually};

#[test]
fn n01_not_first_exit_code_and_signals() {
    check("N01", |program| {
        Start::new(program).not_first().probe("exit:7").run().expect(7);
        Start::new(program).not_first().probe("die:KILL").run().expect(137);
        let running = Start::new(program).not_first().probe("hold:USR1 ready until:USR1 exit:9").spawn().ready();
        running.signal("USR1");
        running.wait().expect(9);
    });
}

#[test]
fn n02_not_first_is_subreaper_or_says_so() {
    check("N02", |program| {
        let running = Start::new(program).not_first().probe("orphan { pause } ready pause").spawn().ready();
        let adopted = running.process.children().len() == 2;
        assert!(adopted || !running.errors().is_empty(), "neither subreaper nor a warning");
        if program == Program::Init {
            assert!(adopted && running.errors().is_empty(), "{:?}", running.errors());
        }
    });
}

#[test]
fn n03_subreaper_reaps_orphans() {
    check("N03", |program| {
        let start = Start::new(program).not_first().subreaper();
        let mut running = start.probe("times:50 { orphan { exit:0 } } ready pause").spawn().ready();
        eventually("only COMMAND left", || (running.process.children().len() == 1).then_some(()));
        running.signal("TERM");
        assert_eq!(running.exit(), Exit::Code(143));
        assert_eq!(running.orphans, [0; 0], "orphans came to process 1");
    });
}

#[test]
fn n04_parent_death_signal_is_forwarded() {
    check("N04", |program| {
        let start = Start::new(program).not_first().parent_death("USR1");
        let mut running = start.probe("hold:USR1 ready until:USR1 exit:9").spawn().ready();
        running.process.parent().signal(libc::SIGKILL);
        assert_eq!(running.exit(), Exit::Code(9));
    });
}

#[test]
fn n05_bad_parent_death_signal_is_refused() {
    check("N05", |program| {
        for signal in ["BOGUS", "99", "-1"] {
            let ended = Start::new(program).not_first().parent_death(signal).probe("say:ran").run();
            assert!(ended.failed() && ended.stdout.is_empty(), "{ended:?}");
        }
    });
}

#[test]
fn n07_works_as_an_unprivileged_user() {
    check("N07", |program| {
        let mut running =
            Start::new(program).started_as(1234, 2345).probe("hold:TERM state ready until:TERM exit:9").spawn();
        let state = running.state();
        assert_eq!(state["uids"], serde_json::json!([1234, 1234, 1234]));
        assert_eq!(state["gids"], serde_json::json!([2345, 2345, 2345]));
        running.await_line("ready");
        running.signal("TERM");
        running.wait().expect(9);
        Start::new(program).not_first().started_as(1234, 2345).probe("exit:7").run().expect(7);
    });
}

#[test]
fn n08_no_proc_is_no_reason_to_refuse() {
    check("N08", |program| {
        let running = Start::new(program).without_proc().probe("ready pause").spawn().ready();
        running.signal("TERM");
        running.wait().expect(143);
        let ended = Start::new(program).without_proc().verbose().probe("exit:7").run();
        ended.expect(7);
        assert!(
            program != Program::Init || ended.stderr.contains("/proc"),
            "what could not be seen is not said: {ended:?}"
        );
    });
}

#[test]
fn n08_no_proc_and_no_privilege_and_not_first() {
    check_init(|program| {
        Start::new(program).without_proc().started_as(1234, 1234).probe("exit:7").run().expect(7);
        Start::new(program).without_proc().not_first().probe("exit:7").run().expect(7);
    });
}

#[test]
fn child_does_not_outlive_init() {
    check_init(|program| {
        let mut running = Start::new(program).not_first().probe("ignore:TERM ready pause").spawn().ready();
        let child = running.child();
        running.signal("KILL");
        assert_eq!(running.exit(), Exit::Signal(9));
        eventually("the end of COMMAND", || child.state().is_none().then_some(()));
    });
}

#[test]
fn control_child_of_dumb_init_outlives_it() {
    check_control(Program::DumbInit, |program| {
        let start = Start::new(program).not_first().stdin(Stdio::Pipe);
        let mut running = start.probe("ready line say:alive").spawn().ready();
        running.signal("KILL");
        assert_eq!(running.exit(), Exit::Signal(9));
        running.stdin.take();
        running.await_line("alive");
    });
}

#[test]
fn init_under_init() {
    check_init(|program| {
        let inner = format!("/run/programs/{program}");
        let start = |words: &str| Start::new(program).command([&inner, PROBE]).command(words.split(' '));
        start("exit:7").run().expect(7);
        start("die:TERM").run().expect(143);
        let running = start("hold:USR1 ready until:USR1 exit:9").spawn().ready();
        running.signal("USR1");
        running.wait().expect(9);
    });
}
