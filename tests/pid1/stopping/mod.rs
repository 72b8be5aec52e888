//! ComfyUI's life from its first answer to its end, with a stand-in that can be as bad as nodes are: stop, reboot, load.

mod drain;
mod load;
mod reboot;

use std::path::Path;
use takumi_test::container::{APP, App, Start};
use takumi_test::engine::{Container, Ended, ask};
use takumi_test::image::{Image, built};
use takumi_test::poll::eventually;
use takumi_test::program::init;

const STANDIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/standin/comfyui_standin.py");
const URL: &str = "http://127.0.0.1:8188/prompt";

/// The demonstration image with the binary under test and the stand-in of this tree: `require!(demo)`.
fn image() -> Image {
    let lines = "COPY --chown=0:0 init /init\nCOPY comfyui_standin.py /app/comfyui_standin.py\n";
    let standin = (Path::new(STANDIN), "comfyui_standin.py", 0o644);
    Image::build("stopping", &built("demo"), lines, &[(&init(), "init", 0o711), standin])
}

/// The stand-in with these faults, under a health URL.
fn standin<'a>(image: &'a Image, bad: &[&str]) -> Start<'a> {
    let mut words = APP.to_vec();
    words.extend(bad.iter().flat_map(|word| ["--bad", word]));
    Start::hardened(image).fresh_data().env("TAKUMI_HEALTH_URL", URL).command(&words)
}

/// This ladder, with the code that ComfyUI's image counts as well. No test sits through `10m`: where a rung has it, its end was an event.
fn with_ladder<'a>(start: Start<'a>, ladder: &str) -> Start<'a> {
    start.env("TAKUMI_STOP", ladder).env("TAKUMI_EXIT_OK", "143")
}

/// Queues a prompt of so many seconds and waits until it runs.
fn work(app: &App, seconds: u32) {
    let prompt = format!(r#"{{"prompt": {{"1": {{"inputs": {{"seconds": {seconds}}}}}}}}}"#);
    app.post("/prompt", &prompt).unwrap();
}

fn until_it_runs(app: &App) {
    eventually("a running prompt", || (!app.get("/queue")?.contains("\"queue_running\": []")).then_some(()));
}

/// Code and words of a check inside.
fn check(container: &Container) -> (i32, String) {
    let output = container.exec(&["/init", "--check"]);
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn until_check_says(container: &Container, state: &str) {
    eventually(state, || {
        assert!(container.is_running(), "it ended: {:?}", container.logs());
        let (code, text) = check(container);
        let says = text.starts_with(&format!("{state}: "));
        assert!(!says || code == i32::from(!matches!(state, "healthy" | "busy")), "{code} {text}");
        says.then_some(())
    });
}

/// Sends PID 1 a signal.
fn signal(container: &Container, name: &str) {
    ask(&["kill", "--signal", name, &container.name]);
}

/// Asks it to stop, and waits however long that takes: an engine's ten seconds say nothing of a machine under load.
fn terminate(container: &Container) -> Ended {
    signal(container, "TERM");
    container.end()
}
