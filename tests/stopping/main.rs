//! ComfyUI's life from its first answer to its end, with a stand-in that can be as bad as nodes are: stop, reboot, load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod drain;
#[allow(dead_code)]
#[path = "../container/engine.rs"]
mod engine;
mod load;
mod reboot;
#[allow(dead_code)]
#[path = "../container/start.rs"]
mod start;
#[path = "../container/torch.rs"]
mod torch;

use engine::{Container, Folder, Image, engine, eventually, fresh_name};
use start::{APP, App, Start};
use std::sync::{Arc, Mutex, Weak};

const STANDIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/standin/comfyui_standin.py");
const URL: &str = "http://127.0.0.1:8188/prompt";

/// The demonstration image with the stand-in of this tree.
fn image() -> Option<Arc<Image>> {
    static SHARED: Mutex<Weak<Image>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(image) = shared.upgrade() {
        return Some(image);
    }
    let demo = Image::demo()?;
    let folder = Folder::new();
    std::fs::copy(STANDIN, folder.0.join("comfyui_standin.py")).unwrap();
    let lines = format!("FROM {}\nCOPY comfyui_standin.py /app/comfyui_standin.py\n", demo.name);
    std::fs::write(folder.0.join("Dockerfile"), lines).unwrap();
    let image = Arc::new(Image { name: fresh_name("stopping") });
    let mut build = engine(&["build", "--tag", &image.name, folder.0.to_str().unwrap()]);
    let built = build.env("DOCKER_BUILDKIT", "0").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    *shared = Arc::downgrade(&image);
    Some(image)
}

/// The stand-in with these faults, under a health URL.
fn standin<'a>(image: &'a Image, bad: &[&str]) -> Start<'a> {
    let mut words = APP.to_vec();
    words.extend(bad.iter().flat_map(|word| ["--bad", word]));
    Start::hardened(image).fresh_data().env("TAKUMI_HEALTH_URL", URL).command(&words)
}

/// The ladder that ComfyUI's image has.
fn with_ladder(start: Start) -> Start {
    start.env("TAKUMI_STOP", "drain:8s,TERM:1s").env("TAKUMI_EXIT_OK", "143")
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
        let running = container.inspect(".State.Running") == "true";
        assert!(running, "it ended: {:?}", container.logs());
        let (code, text) = check(container);
        let says = text.starts_with(&format!("{state}: "));
        assert!(!says || code == i32::from(!matches!(state, "healthy" | "busy")), "{code} {text}");
        says.then_some(())
    });
}

/// Sends PID 1 a signal, as `docker kill` does.
fn signal(container: &Container, name: &str) {
    engine::ask(&["kill", "--signal", name, &container.name]);
}

/// Waits for words in what was said so far, on either stream.
fn until_said(container: &Container, words: &str) {
    eventually(words, || {
        let (stdout, stderr) = container.logs();
        (stdout.contains(words) || stderr.contains(words)).then_some(())
    });
}
