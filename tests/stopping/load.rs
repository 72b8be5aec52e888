//! What `--check` says of a server under load: busy is not dead.

use crate::engine::eventually;
use crate::start::App;
use crate::{check, image, standin, until_check_says, until_it_runs, work};

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
