//! How a container ends, and what it says then.

use takumi_test::container::{APP, Start};
use takumi_test::engine::Volume;
use takumi_test::image::Image;
use takumi_test::poll::eventually;
use takumi_test::require;

#[test]
fn a_stop_ends_with_the_apps_own_code() {
    require!(demo, "tini-static", gosu);
    let image = Image::demo();
    let ended = Start::hardened(&image).fresh_data().app().container.stop();
    assert_eq!(ended.code, 143, "the app dies of SIGTERM: {ended:?}");

    let classic = Image::classic();
    let ended = Start::hardened(&classic).fresh_data().command(&APP).app().container.stop();
    assert_eq!(ended.code, 1, "tini as root without CAP_KILL may not signal its child: {ended:?}");
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
}

#[test]
fn the_code_of_a_stop_can_be_mapped_to_0() {
    require!(demo);
    let image = Image::demo();
    let ended = Start::hardened(&image).fresh_data().env("TAKUMI_EXIT_OK", "143").app().container.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_root_exec_is_not_waited_for() {
    require!(demo);
    let image = Image::demo();
    let slow = "import os, signal, time
def finish(*_):
    time.sleep(0.5)
    open('/data/finished', 'w')
    os._exit(0)
signal.signal(signal.SIGTERM, finish)
time.sleep(300)";
    let stop_beside = |user: &str| {
        let volume = Volume::new();
        let app = Start::hardened(&image).data(&volume).env("TAKUMI_LEFTOVER_GRACE", "10m").app();
        app.container.exec_detached(&["--user", user], &["python3", "-c", slow]);
        eventually("the exec handles SIGTERM", || {
            let status = app.container.exec(&["sh", "-c", "cat /proc/[0-9]*/status"]).stdout;
            // SIGTERM is bit 14 of SigCgt; Python itself handles SIGINT.
            String::from_utf8_lossy(&status).contains("SigCgt:\t0000000000004002").then_some(())
        });
        // The engine's patience is shorter than the grace: it would end init by SIGKILL.
        let ended = app.container.stop();
        assert_eq!(ended.code, 143, "beside an exec of user {user}: {ended:?}");
        volume.root_shell(&image, "ls /data").contains("finished")
    };
    assert!(!stop_beside("0"), "a process that may not be signalled was ended");
    assert!(stop_beside("1000"), "control: one that may be signalled has its grace");
}

#[test]
fn a_second_start_works_on_the_same_volume() {
    require!(demo);
    let image = Image::demo();
    let volume = Volume::new();
    let boot = || {
        let app = Start::hardened(&image).data(&volume).app();
        let before = app.get("/history").unwrap().matches("prompt_id").count();
        app.post("/prompt", r#"{"prompt": {"1": {"inputs": {"seconds": 0}}}}"#).unwrap();
        eventually("the prompt's output", || {
            let history = app.get("/history").unwrap();
            (history.contains("\"success\"") && before == 0).then_some(())
        });
        assert_eq!(app.container.stop().code, 143);
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
    require!(demo);
    let image = Image::demo();
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
