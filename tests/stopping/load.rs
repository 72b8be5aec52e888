//! What `--check` says of a server under load: busy is not dead.

use crate::engine::eventually;
use crate::start::App;
use crate::{STANDIN, check, image, standin, torch, until_check_says, until_it_runs, until_said, with_ladder, work};
use std::time::{Duration, Instant};

fn app(bad: &[&str]) -> Option<App> {
    let image = image()?;
    Some(standin(&image, bad).env("TAKUMI_HEALTH_TIMEOUT", "4s").app())
}

#[test]
fn a_loop_in_python_is_well() {
    let Some(app) = app(&["loop"]) else { return };
    work(&app, 60);
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
    let Some(app) = app(&["sum"]) else { return };
    work(&app, 600);
    until_check_says(&app.container, "busy");
    // The control: the same call asleep does nothing that could be seen.
    let Some(app) = self::app(&["lock"]) else { return };
    work(&app, 600);
    until_check_says(&app.container, "hung");
}

/// PyTorch gives up Python's lock while it computes, and takes every core.
#[test]
fn a_node_in_pytorch_is_well_and_stops_within_the_ladder() {
    let Some(image) = torch::image() else { return };
    let standin = format!("{STANDIN}:/standin.py:ro");
    let start = torch::start(&image).fresh_data().options(&["--volume", "/cache", "--volume", &standin]);
    let words = ["python3", "/standin.py", "--listen", "0.0.0.0", "--bad", "torch"];
    let app = with_ladder(start).env("TAKUMI_HEALTH_TIMEOUT", "4s").command(&words).app();
    work(&app, 600);
    until_said(&app.container, "PyTorch ");
    let (mut checks, mut well) = (0, 0);
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end || checks < 20 {
        let before = processor_time(&app);
        let (code, text) = check(&app.container);
        assert!(processor_time(&app) > before, "it did not compute");
        assert!(text.starts_with("healthy: ") || text.starts_with("busy: "), "{code} {text}");
        checks += 1;
        well += i32::from(code == 0);
    }
    assert_eq!(well, checks);
    assert!(app.get("/queue").unwrap().contains("seconds"), "the prompt is over");
    let (ended, took) = app.container.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(took < Duration::from_secs(13), "{took:?}");
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
    let Some(app) = app(&[]) else { return };
    // Root without CAP_KILL may not signal it: as its own user.
    let signal = |name: &str| {
        let line = format!("kill -{name} $(sed s/init:// /proc/1/comm)");
        let words = ["exec", "--user", "1000", &app.container.name, "sh", "-c", &line];
        assert!(crate::engine::engine(&words).output().unwrap().status.success());
    };
    signal("STOP");
    until_check_says(&app.container, "hung");
    signal("CONT");
    until_check_says(&app.container, "healthy");

    let Some(image) = image() else { return };
    let slow = standin(&image, &["slow:5"]).env("TAKUMI_HEALTH_TIMEOUT", "4s").spawn();
    until_check_says(&slow, "starting");
    until_check_says(&slow, "healthy");
}
