//! TAKUMI_STOP's `drain`: what runs is interrupted, what waits is dropped, and whoever does not answer costs its time alone.

use crate::engine::eventually;
use crate::start::Start;
use crate::{URL, image, signal, standin, until_check_says, until_it_runs, until_said, with_ladder, work};
use std::time::{Duration, Instant};

#[test]
fn an_idle_stop_ends_with_0_within_two_seconds() {
    let Some(image) = image() else { return };
    // The quickest of three: this machine may have other things to do.
    let fastest = (0..3).map(|_| {
        let (ended, took) = with_ladder(standin(&image, &[])).app().container.stop();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stderr.contains("ComfyUI is idle"), "{ended:?}");
        took
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < Duration::from_secs(2), "{fastest:?}");
}

#[test]
fn a_running_prompt_is_interrupted_and_those_that_wait_are_dropped() {
    let Some(image) = image() else { return };
    let stop = |start: Start| {
        let app = start.app();
        (0..3).for_each(|_| work(&app, 60));
        until_it_runs(&app);
        app.container.stop().0
    };
    let ended = stop(with_ladder(standin(&image, &["late:1", "temp"])));
    assert_eq!(ended.code, 0, "{ended:?}");
    // One second after the interrupt it is waited for; the two others never begin.
    assert_eq!(ended.stdout.matches("\ninterrupted: ").count(), 1, "{ended:?}");
    assert_eq!(ended.stdout.matches("interrupt seen by").count(), 1, "{ended:?}");

    let control = stop(standin(&image, &["late:1"]));
    assert_eq!(control.code, 143, "{control:?}");
    assert!(!control.stdout.contains("interrupt"), "control: without a drain the prompt is lost: {control:?}");
}

#[test]
fn what_hangs_in_c_ends_within_the_ladder() {
    let Some(image) = image() else { return };
    let stop = |bad: &[&str]| {
        let app = with_ladder(standin(&image, bad)).env("TAKUMI_HEALTH_TIMEOUT", "2s").app();
        work(&app, 60);
        until_check_says(&app.container, "hung");
        app.container.stop()
    };
    let (ended, took) = stop(&["lock", "handler"]);
    assert_eq!(ended.code, 137, "{ended:?}");
    assert!(ended.stderr.contains("was not idle") && ended.stderr.contains("TAKUMI_STOP's last rung"), "{ended:?}");
    assert!((Duration::from_secs(9)..Duration::from_secs(13)).contains(&took), "{took:?}");
    // The engine waits ten seconds and would have killed init itself, which says nothing then.
    let (ended, took) = stop(&["lock"]);
    assert_eq!(ended.code, 0, "control: without a handler SIGTERM is enough: {ended:?}");
    assert!(took > Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_second_sigterm_ends_the_drain() {
    let Some(image) = image() else { return };
    let app = with_ladder(standin(&image, &["late:60"])).app();
    work(&app, 60);
    until_it_runs(&app);
    signal(&app.container, "TERM");
    until_said(&app.container, "interrupt seen by");
    let asked = Instant::now();
    signal(&app.container, "TERM");
    let ended = app.container.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    assert!(!ended.stderr.contains("was not idle"), "nobody waited for it: {ended:?}");
}

#[test]
fn command_that_aborts_at_the_interrupt_keeps_its_code() {
    let Some(image) = image() else { return };
    // INT in the place of drain, as ComfyUI in a torch call.
    let app = standin(&image, &["abort"]).env("TAKUMI_STOP", "INT:5s,TERM:1s").app();
    work(&app, 60);
    until_it_runs(&app);
    let (ended, _) = app.container.stop();
    assert_eq!(ended.code, 134, "{ended:?}");
}

/// A server that behaves as the line says for each connection, and says so when it serves.
fn server(line: &str) -> String {
    format!(
        "import os, signal, socket, sys, threading, time\n\
         def on_user(*_):\n\
         \x20   print('USR1 came', flush=True)\n\
         \x20   if os.fork() == 0:\n\
         \x20       os.fork() == 0 and time.sleep(0.2)\n\
         \x20       os._exit(0)\n\
         \x20   os.wait()\n\
         signal.signal(signal.SIGUSR1, on_user)\n\
         def serve(c):\n\
         \x20   {line}\n\
         def loop():\n\
         \x20   while True:\n\
         \x20       c = s.accept()[0]\n\
         \x20       print('asked', flush=True)\n\
         \x20       threading.Thread(target=serve, args=(c,), daemon=True).start()\n\
         s = socket.create_server(('127.0.0.1', 8188))\n\
         threading.Thread(target=loop, daemon=True).start()\n\
         print('serves', flush=True)\n\
         while True: time.sleep(0.1)\n"
    )
}

#[test]
fn who_is_not_comfyui_costs_no_time() {
    let Some(image) = image() else { return };
    let endless = "c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n')\n    try:\n        while True: c.sendall(b'x' * 65536)\n    except OSError: pass";
    for (url, line, said) in [
        ("http://127.0.0.1:9/", "pass", "Connection refused"),
        (URL, endless, "is longer than"),
        (URL, "c.sendall(b'SSH-2.0-x\\r\\n')", "no HTTP"),
        (URL, "c.close()", "breaks off"),
    ] {
        let start = Start::hardened(&image).fresh_data().env("TAKUMI_HEALTH_URL", url).python(&server(line));
        let start = start.env("TAKUMI_STOP", "drain:60s,TERM:1s").env("TAKUMI_EXIT_OK", "143");
        let container = start.spawn();
        until_said(&container, "serves");
        // The engine's patience is ten seconds: the code says that init needed none of its sixty.
        let (ended, _) = container.stop();
        assert_eq!(ended.code, 0, "{said}: {ended:?}");
        let line = ended.stderr.lines().find(|line| line.contains("cannot be drained")).unwrap_or_default();
        assert!(line.contains(said) || line.contains("Connection reset"), "{said}: {ended:?}");
    }
}

#[test]
fn a_silent_server_costs_the_rungs_time_while_init_goes_on_with_its_work() {
    let Some(image) = image() else { return };
    let silent = server("time.sleep(3600)");
    let start = Start::hardened(&image).fresh_data().env("TAKUMI_HEALTH_URL", URL).python(&silent);
    let container = start.env("TAKUMI_STOP", "drain:6s,TERM:1s").spawn();
    until_said(&container, "serves");
    let began = Instant::now();
    signal(&container, "TERM");
    until_said(&container, "asked");
    signal(&container, "USR1");
    until_said(&container, "USR1 came");
    eventually("the orphan is reaped", || {
        let text = String::from_utf8(container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat"]).stdout).unwrap();
        let drains = text.contains("(init-drain)");
        assert!(drains, "the drain is over too early: {text}");
        (!text.contains(") Z ") && text.lines().filter(|line| line.contains("(python3)")).count() == 1).then_some(())
    });
    let ended = container.end();
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(began.elapsed() >= Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(ended.stderr.contains("was not idle"), "{ended:?}");
}

#[test]
fn a_drain_without_a_url_is_refused() {
    let Some(image) = image() else { return };
    let start = |stop: &str| Start::hardened(&image).fresh_data().env("TAKUMI_STOP", stop).command(&["true"]).run();
    start("drain:8s,TERM:1s").expect_refusal(&["TAKUMI_STOP", "TAKUMI_HEALTH_URL"]);
    assert_eq!(start("TERM:1s").code, 0, "control");
}

#[test]
fn a_drain_that_cannot_be_forked_is_passed_over() {
    let Some(image) = image() else { return };
    let eater = "import os, time\n\
        try:\n\
        \x20   while True: os.fork() or time.sleep(600)\n\
        except OSError: print('full', flush=True)\n\
        time.sleep(600)";
    let start = Start::hardened(&image).fresh_data().options(&["--pids-limit", "12"]).python(eater);
    let container = start.env("TAKUMI_HEALTH_URL", URL).env("TAKUMI_STOP", "drain:60s,TERM:60s").spawn();
    until_said(&container, "full");
    let (ended, _) = container.stop();
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(ended.stderr.contains("no process can be made to drain"), "{ended:?}");
}
