//! How a container ends, and what it says then.

use crate::engine::{Image, Volume, eventually};
use crate::start::{APP, Start};
use std::time::Duration;

#[test]
fn a_stop_ends_with_the_apps_own_code() {
    let Some(image) = Image::demo() else { return };
    let (ended, took) = Start::hardened(&image).fresh_data().app().container.stop();
    assert_eq!(ended.code, 143, "the app dies of SIGTERM: {ended:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");

    let Some(classic) = Image::classic() else { return };
    let (ended, _) = Start::hardened(&classic).fresh_data().command(&APP).app().container.stop();
    assert_eq!(ended.code, 1, "tini as root without CAP_KILL may not signal its child: {ended:?}");
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
}

#[test]
fn the_code_of_a_stop_can_be_mapped_to_0() {
    let Some(image) = Image::demo() else { return };
    let (ended, _) = Start::hardened(&image).fresh_data().env("TAKUMI_EXIT_OK", "143").app().container.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_root_exec_is_not_waited_for() {
    let Some(image) = Image::demo() else { return };
    // It ignores SIGTERM, so whoever may signal it waits out the grace.
    let stubborn = ["python3", "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"];
    let stop_beside = |user: &str| {
        let app = Start::hardened(&image).fresh_data().env("TAKUMI_LEFTOVER_GRACE", "4s").app();
        app.container.exec_detached(&["--user", user], &stubborn);
        eventually("the exec ignores SIGTERM", || {
            let status = app.container.exec(&["sh", "-c", "cat /proc/[0-9]*/status"]).stdout;
            // SIGTERM is bit 14 of SigIgn; Python itself ignores SIGPIPE and SIGXFSZ.
            String::from_utf8_lossy(&status).contains("SigIgn:\t0000000001005000").then_some(())
        });
        app.container.stop()
    };
    let (ended, took) = stop_beside("0");
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(took < Duration::from_secs(4), "a process that may not be signalled was waited for: {took:?}");

    let (ended, took) = stop_beside("1000");
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(took >= Duration::from_secs(4), "control: one that may be signalled has its grace: {took:?}");
}

#[test]
fn a_second_start_works_on_the_same_volume() {
    let Some(image) = Image::demo() else { return };
    let volume = Volume::new();
    let boot = || {
        let app = Start::hardened(&image).data(&volume).app();
        let before = app.get("/history").unwrap().matches("prompt_id").count();
        app.post("/prompt", r#"{"prompt": {"1": {"inputs": {"seconds": 0}}}}"#).unwrap();
        eventually("the prompt's output", || {
            let history = app.get("/history").unwrap();
            (history.contains("\"success\"") && before == 0).then_some(())
        });
        assert_eq!(app.container.stop().0.code, 143);
        volume
            .root_shell(&image, "stat -c '%u:%g %n' /data /data/output /data/output/*")
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let first: Vec<String> = boot();
    let second: Vec<String> = boot();
    assert_eq!(first.len(), 3, "{first:?}");
    assert_eq!(second.len(), 4, "the first output stays, the second is added: {second:?}");
    assert!(second.iter().all(|line| line.starts_with("1000:1000 ")), "{second:?}");
}

#[test]
fn out_of_memory_is_told_with_the_limit() {
    let Some(image) = Image::demo() else { return };
    let small = ["--memory", "64m", "--memory-swap", "64m"];
    let eater = "eaten = [bytearray(1 << 20) for _ in range(512)]";
    let ended = Start::hardened(&image).options(&small).fresh_data().python(eater).run();
    assert_eq!(ended.code, 137, "{ended:?}");
    let epitaph = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        epitaph.contains("memory") && epitaph.contains("64"),
        "the last line names memory and the limit: {ended:?}"
    );

    let ended = Start::hardened(&image).options(&small).fresh_data().shell("kill -KILL $$").run();
    assert_eq!(ended.code, 137, "{ended:?}");
    assert!(!ended.stderr.contains("out of memory"), "control: nothing ran out of memory: {ended:?}");
}
