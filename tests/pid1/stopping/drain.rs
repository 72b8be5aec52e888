//! TAKUMI_STOP's `drain`: what runs is interrupted, what waits is dropped, and whoever does not answer costs its time alone.

use super::{URL, image, signal, standin, terminate, until_check_says, until_it_runs, with_ladder, work};
use takumi_test::container::Start;
use takumi_test::poll::eventually;
use takumi_test::require;

/// Rungs that no test sits through.
const LONG: &str = "drain:10m,TERM:10m";

#[test]
fn an_idle_stop_ends_with_0_and_without_a_wait() {
    require!(demo);
    let ended = terminate(&with_ladder(standin(&image(), &[]), LONG).app().container);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("ComfyUI is idle"), "{ended:?}");
}

#[test]
fn a_running_prompt_is_interrupted_and_those_that_wait_are_dropped() {
    require!(demo);
    let image = image();
    let stop = |start: Start| {
        let app = start.app();
        (0..3).for_each(|_| work(&app, 600));
        until_it_runs(&app);
        terminate(&app.container)
    };
    let ended = stop(with_ladder(standin(&image, &["late:1", "temp"]), LONG));
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
    require!(demo);
    let image = image();
    let stop = |bad: &[&str]| {
        let start = with_ladder(standin(&image, bad), "drain:2s,TERM:1s").env("TAKUMI_HEALTH_TIMEOUT", "2s");
        let app = start.app();
        work(&app, 600);
        until_check_says(&app.container, "hung");
        let ended = terminate(&app.container);
        assert!(ended.stderr.contains("drain timed out"), "the drain has its time: {ended:?}");
        ended
    };
    let ended = stop(&["lock", "handler"]);
    assert_eq!(ended.code, 137, "{ended:?}");
    assert!(ended.stderr.contains("TAKUMI_STOP's last step"), "{ended:?}");
    let ended = stop(&["lock"]);
    assert_eq!(ended.code, 0, "control: without a handler SIGTERM is enough: {ended:?}");
    assert!(!ended.stderr.contains("TAKUMI_STOP's last step"), "{ended:?}");
}

#[test]
fn a_second_sigterm_ends_the_drain() {
    require!(demo);
    let app = with_ladder(standin(&image(), &["late:600"]), LONG).app();
    work(&app, 600);
    until_it_runs(&app);
    signal(&app.container, "TERM");
    app.container.await_words("interrupt seen by");
    let ended = terminate(&app.container);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.stderr.contains("drain timed out"), "nobody waited for it: {ended:?}");
}

#[test]
fn command_that_aborts_at_the_interrupt_keeps_its_code() {
    require!(demo);
    // INT in the place of drain, as ComfyUI in a torch call.
    let app = standin(&image(), &["abort"]).env("TAKUMI_STOP", "INT:10m,TERM:10m").app();
    work(&app, 600);
    until_it_runs(&app);
    let ended = terminate(&app.container);
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
    require!(demo);
    let image = image();
    let endless = "c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n')\n    try:\n        while True: c.sendall(b'x' * 65536)\n    except OSError: pass";
    for (url, line, said) in [
        ("http://127.0.0.1:9/", "pass", "Connection refused"),
        (URL, endless, "is longer than"),
        (URL, "c.sendall(b'SSH-2.0-x\\r\\n')", "does not speak HTTP"),
        (URL, "c.close()", "is cut off"),
    ] {
        let start = Start::hardened(&image).fresh_data().env("TAKUMI_HEALTH_URL", url).python(&server(line));
        let container = with_ladder(start, LONG).spawn();
        container.await_words("serves");
        let ended = terminate(&container);
        assert_eq!(ended.code, 0, "{said}: {ended:?}");
        let line = ended.stderr.lines().find(|line| line.contains("cannot drain ComfyUI")).unwrap_or_default();
        assert!(line.contains(said) || line.contains("Connection reset"), "{said}: {ended:?}");
    }
}

#[test]
fn a_silent_server_costs_the_rungs_time_while_init_goes_on_with_its_work() {
    require!(demo);
    let image = image();
    let silent = server("time.sleep(3600)");
    let spawn = |ladder: &str| {
        let start = Start::hardened(&image).fresh_data().env("TAKUMI_HEALTH_URL", URL).python(&silent);
        let container = with_ladder(start, ladder).spawn();
        container.await_words("serves");
        container
    };
    let container = spawn(LONG);
    signal(&container, "TERM");
    container.await_words("asked");
    signal(&container, "USR1");
    container.await_words("USR1 came");
    eventually("the orphan is reaped", || {
        let text = String::from_utf8(container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat"]).stdout).unwrap();
        let drains = text.contains("(init-drain)");
        assert!(drains, "the drain is over too early: {text}");
        (!text.contains(") Z ") && text.lines().filter(|line| line.contains("(python3)")).count() == 1).then_some(())
    });
    let ended = terminate(&spawn("drain:2s,TERM:10m"));
    assert_eq!(ended.code, 0, "SIGTERM ends it: {ended:?}");
    assert!(ended.stderr.contains("drain timed out"), "{ended:?}");
}

#[test]
fn a_drain_without_a_url_is_refused() {
    require!(demo);
    let image = image();
    let start = |stop: &str| Start::hardened(&image).fresh_data().env("TAKUMI_STOP", stop).command(&["true"]).run();
    start("drain:8s,TERM:1s").expect_refusal(&["TAKUMI_STOP", "TAKUMI_HEALTH_URL"]);
    assert_eq!(start("TERM:1s").code, 0, "control");
}

#[test]
fn a_drain_that_cannot_be_forked_is_passed_over() {
    require!(demo);
    let image = image();
    let eater = "import os, time\n\
        try:\n\
        \x20   while True: os.fork() or time.sleep(600)\n\
        except OSError: print('full', flush=True)\n\
        time.sleep(600)";
    let start = Start::hardened(&image).fresh_data().options(&["--pids-limit", "12"]).python(eater);
    let container = start.env("TAKUMI_HEALTH_URL", URL).env("TAKUMI_STOP", LONG).spawn();
    container.await_words("full");
    let ended = terminate(&container);
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(ended.stderr.contains("cannot fork to drain"), "{ended:?}");
}
