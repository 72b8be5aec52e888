//! The image under test, and a ComfyUI with its two volumes.

use crate::engine::{Container, Ended, Folder, Image, Volume, engine, fresh_name};
use crate::libraries;
use crate::start::Start;
use crate::wheels;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::{Duration, Instant};

/// What scripts/build.sh makes, or another one of it: with the real ComfyUI, or under another name.
pub static IMAGE: LazyLock<String> =
    LazyLock::new(|| std::env::var("COMFYUI_UNDER_TEST").unwrap_or_else(|_| "takumi-comfyui".into()));

/// The image with the binary under test and the probes, its libraries, and the wheels for nodes.
pub struct World {
    pub image: Image,
    libraries: Volume,
    wheels: PathBuf,
}

impl World {
    /// One for all tests, or None (and says so).
    pub fn new() -> Option<Arc<World>> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(world) = shared.upgrade() {
            return Some(world);
        }
        if !wheels::run(&mut engine(&["info"])).status.success() {
            println!("skipped: no container engine answers");
            return None;
        }
        if !wheels::run(&mut engine(&["image", "inspect", &IMAGE])).status.success() {
            println!("skipped: no image {}: run scripts/build.sh", *IMAGE);
            return None;
        }
        let wheels = match libraries::wheels() {
            Ok(wheels) => wheels,
            Err(reason) => {
                println!("skipped: {reason}");
                return None;
            }
        };
        let image = build();
        let libraries = libraries::installed(&image, &wheels);
        let world = Arc::new(World { image, libraries, wheels });
        *shared = Arc::downgrade(&world);
        Some(world)
    }

    /// A start as scripts/up.sh does it.
    pub fn start(&self) -> Start<'_> {
        let libraries = format!("{}:/opt/venv:ro", self.libraries.name);
        let wheels = format!("{}:/wheels:ro", self.wheels.display());
        let start = Start::hardened(&self.image).env("TAKUMI_LOG", "warn").options(&["-v", &libraries, "-v", &wheels]);
        // The libraries lie in a volume, not in the image.
        start.env("TAKUMI_BAKED", "/app").env("XDG_DATA_HOME", "/cache/share")
    }
}

/// The binary under test and the probes in front of the stand-in.
fn build() -> Image {
    use std::os::unix::fs::PermissionsExt as _;
    let context = Folder::new();
    let under_test = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/comfyui/programs");
    let files = [(PathBuf::from(under_test), "init", 0o711)];
    let more = ["main.py", "probes.py", "numba_probe.py"].map(|name| (programs.join(name), name, 0o644));
    for (from, name, mode) in files.into_iter().chain(more) {
        let to = context.0.join(name);
        std::fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let lines = "RUN mv /app/main.py /app/standin.py\n\
                 COPY --chown=0:0 init /init\n\
                 COPY --chown=0:0 main.py probes.py numba_probe.py /app/\n";
    std::fs::write(context.0.join("Dockerfile"), format!("FROM {}\n{lines}", *IMAGE)).unwrap();
    let image = Image { name: fresh_name("comfyui") };
    let mut build = engine(&["build", "--tag", &image.name, context.0.to_str().unwrap()]);
    if !wheels::run(&mut engine(&["buildx", "version"])).status.success() {
        build.env("DOCKER_BUILDKIT", "0");
    }
    let output = wheels::run(&mut build);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    image
}

/// What people keep of a ComfyUI: /data and /cache.
pub struct Kept {
    pub data: Volume,
    pub cache: Volume,
}

impl Kept {
    pub fn new() -> Kept {
        Kept { data: Volume::new(), cache: Volume::new() }
    }

    /// With both in their places.
    pub fn on<'a>(&self, start: Start<'a>) -> Start<'a> {
        let cache = format!("{}:/cache", self.cache.name);
        start.data(&self.data).options(&["-v", &cache])
    }

    /// What the probe says that runs in ComfyUI's place.
    #[track_caller]
    pub fn probe(&self, start: Start, words: &str) -> Value {
        told(&finish(&self.on(start).env("COMFYUI_ARGS", &format!("--probe {words}"))))
    }
}

/// Runs it to its end. Every library that is imported is compiled first: minutes on a machine that is busy with other tests.
pub fn finish(start: &Start) -> Ended {
    let container = start.spawn();
    let deadline = Instant::now() + Duration::from_secs(240);
    while container.inspect(".State.Running") == "true" {
        assert!(Instant::now() < deadline, "no end: {:?}", container.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    container.end()
}

#[track_caller]
pub fn told(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(ended.stdout.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Runs a command in a container as its app's user.
pub fn as_app(container: &Container, words: &[&str]) -> Output {
    let mut command: Command = engine(&["exec", "--user", "1000", &container.name]);
    wheels::run(command.args(words))
}
