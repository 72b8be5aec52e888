//! The image under test, and a ComfyUI with its two volumes.

use super::libraries;
use serde_json::Value;
use std::path::{Path, PathBuf};
use takumi_test::container::Start;
use takumi_test::engine::{Container, Ended, Volume, engine};
use takumi_test::image::{Image, comfyui};
use takumi_test::program::{REPOSITORY, init, run};

/// The image with the binary under test and the probes, its libraries, and the wheels for nodes: `require!(comfyui, pip3)`.
pub struct ComfyImage {
    pub image: Image,
    libraries: [String; 2],
    wheels: PathBuf,
}

impl ComfyImage {
    #[track_caller]
    pub fn new() -> ComfyImage {
        let wheels = libraries::wheels();
        let image = build();
        let libraries = libraries::installed(&image, &wheels);
        ComfyImage { image, libraries, wheels }
    }

    /// A start as scripts/up.sh does it.
    pub fn start(&self) -> Start<'_> {
        let [libraries, compiled] = self.libraries.each_ref().map(|mount| format!("{mount}:ro"));
        let wheels = format!("{}:/wheels:ro", self.wheels.display());
        let start = Start::hardened(&self.image).env("TAKUMI_LOG", "warn");
        let start = start.options(&["-v", &libraries, "-v", &compiled, "-v", &wheels]);
        // The libraries lie in a volume, not in the image.
        start.env("TAKUMI_BAKED", "/app").env("XDG_DATA_HOME", "/cache/share")
    }
}

/// The binary under test and the probes in front of the stand-in.
fn build() -> Image {
    let programs = Path::new(REPOSITORY).join("tests/stack/comfyui/programs");
    let [main, probes, numba] = ["main.py", "probes.py", "numba_probe.py"].map(|name| programs.join(name));
    let init = init();
    let lines = "RUN mv /app/main.py /app/standin.py\n\
                 COPY --chown=0:0 init /init\n\
                 COPY --chown=0:0 main.py probes.py numba_probe.py /app/\n";
    let files = [
        (init.as_path(), "init", 0o711),
        (&main, "main.py", 0o644),
        (&probes, "probes.py", 0o644),
        (&numba, "numba_probe.py", 0o644),
    ];
    Image::build("comfyui", &comfyui(), lines, &files)
}

/// What people keep of a ComfyUI: /data and /cache.
pub struct ComfyVolumes {
    pub data: Volume,
    pub cache: Volume,
}

impl ComfyVolumes {
    pub fn new() -> ComfyVolumes {
        ComfyVolumes { data: Volume::new(), cache: Volume::new() }
    }

    /// With both in their places.
    pub fn on<'a>(&self, start: Start<'a>) -> Start<'a> {
        let cache = format!("{}:/cache", self.cache.name);
        start.data(&self.data).options(&["-v", &cache])
    }

    /// What the probe says that runs in ComfyUI's place.
    #[track_caller]
    pub fn probe(&self, start: Start, words: &str) -> Value {
        parse_json(&self.on(start).env("COMFYUI_ARGS", &format!("--probe {words}")).run())
    }
}

#[track_caller]
pub fn parse_json(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(ended.stdout.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Runs a command in a container as its app's user.
pub fn as_app(container: &Container, words: &[&str]) -> Ended {
    run(engine(&["exec", "--user", "1000", &container.name]).args(words))
}
