//! What `--check` says of a server under load: busy is not dead.

use super::{STANDIN, check, image, standin, terminate, until_check_says, until_it_runs, with_ladder, work};
use takumi_test::container::App;
use takumi_test::engine::ask;
use takumi_test::poll::{PATIENCE, eventually, eventually_within};
use takumi_test::{require, torch};

fn app(bad: &[&str]) -> App {
    standin(&image(), bad).env("TAKUMI_HEALTH_TIMEOUT", "4s").app()
}

#[test]
fn a_loop_in_python_is_well() {
    require!(demo);
    let app = app(&["loop"]);
    work(&app, 600);
    until_it_runs(&app);
    // It answers between two switches of the lock, or is seen at work.
    eventually("a check", || {
        let (code, text) = check(&app.container);
        let well = text.starts_with("healthy: ") || text.starts_with("busy: ");
        assert!(text.is_empty() || (well && code == 0), "{code} {text}");
        well.then_some(())
    });
}

#[test]
fn a_call_in_c_that_keeps_the_lock_is_busy_while_it_works() {
    require!(demo);
    let app = app(&["sum"]);
    work(&app, 600);
    until_check_says(&app.container, "busy");
    // The control: the same call asleep does nothing that could be seen.
    let app = self::app(&["lock"]);
    work(&app, 600);
    until_check_says(&app.container, "hung");
}

/// PyTorch gives up Python's lock while it computes, and takes every core.
#[test]
fn a_node_in_pytorch_is_well_and_stops_within_the_ladder() {
    require!(torch, comfyui);
    let image = torch::image();
    let standin = format!("{STANDIN}:/standin.py:ro");
    let start = torch::start(&image).fresh_data().options(&["--volume", "/cache", "--volume", &standin]);
    let words = ["python3", "/standin.py", "--listen", "0.0.0.0", "--bad", "torch"];
    let app = with_ladder(start, "drain:2s,TERM:10m").env("TAKUMI_HEALTH_TIMEOUT", "4s").command(&words).app();
    work(&app, 600);
    // To import PyTorch takes a loaded machine minutes.
    eventually_within(PATIENCE * 4, "PyTorch at work", || app.container.logs().0.contains("PyTorch ").then_some(()));
    for _ in 0..20 {
        let before = processor_time(&app);
        let (code, text) = check(&app.container);
        assert!(processor_time(&app) > before, "it did not compute");
        let well = text.starts_with("healthy: ") || text.starts_with("busy: ");
        assert!(well && code == 0, "{code} {text}");
    }
    assert!(app.get("/queue").unwrap().contains("seconds"), "the prompt is over");
    let ended = terminate(&app.container);
    assert_eq!(ended.code, 0, "SIGTERM ends it: {ended:?}");
}

/// Of all of the container's processes, in nanoseconds or microseconds, as its control group counts it.
fn processor_time(app: &App) -> u64 {
    let line =
        "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || sed -n 's/^usage_usec //p' /sys/fs/cgroup/cpu.stat";
    let output = app.container.exec(&["sh", "-c", line]);
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

#[test]
fn a_stopped_command_is_hung_and_one_that_does_not_listen_is_starting() {
    require!(demo);
    let app = app(&[]);
    // Root without CAP_KILL may not signal it: as its own user.
    let signal = |name: &str| {
        let line = format!("kill -{name} $(sed s/init:// /proc/1/comm)");
        let words = ["exec", "--user", "1000", &app.container.name, "sh", "-c", &line];
        ask(&words);
    };
    signal("STOP");
    until_check_says(&app.container, "hung");
    signal("CONT");
    until_check_says(&app.container, "healthy");

    let image = image();
    let slow = standin(&image, &["slow:8"]).env("TAKUMI_HEALTH_TIMEOUT", "4s").spawn();
    until_check_says(&slow, "starting");
    until_check_says(&slow, "healthy");
}
