//! ComfyUI's image with the binary under test, and volumes with nodes on them.

use crate::engine::{Container, Ended, Folder, Image, Volume, engine, fresh_name};
use crate::start::Start;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The image.
pub struct World {
    pub image: Image,
}

impl World {
    /// One for all tests, or None (and says so).
    pub fn new() -> Option<Arc<World>> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(world) = shared.upgrade() {
            return Some(world);
        }
        let from = std::env::var("COMFYUI_UNDER_TEST").unwrap_or_else(|_| "takumi-comfyui".into());
        for (words, reason) in [
            (vec!["info"], "no container engine answers".to_owned()),
            (vec!["image", "inspect", &from], format!("no image {from}: run scripts/build.sh")),
        ] {
            if !engine(&words).output().is_ok_and(|output| output.status.success()) {
                println!("skipped: {reason}");
                return None;
            }
        }
        let world = Arc::new(World { image: build(&from) });
        *shared = Arc::downgrade(&world);
        Some(world)
    }
}

/// With the binary under test and our own nodes.
fn build(from: &str) -> Image {
    use std::os::unix::fs::PermissionsExt as _;
    let context = Folder::new();
    let under_test = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    std::fs::copy(PathBuf::from(under_test), context.0.join("init")).unwrap();
    std::fs::set_permissions(context.0.join("init"), std::fs::Permissions::from_mode(0o711)).unwrap();
    let nodes = Path::new(ROOT).join("tests/nodes/nodes");
    let copied = std::process::Command::new("cp").arg("-r").arg(nodes).arg(&context.0).status();
    assert!(copied.is_ok_and(|status| status.success()));
    let lines = "COPY --chown=0:0 init /init\nCOPY --chown=0:0 nodes /nodes\n";
    std::fs::write(context.0.join("Dockerfile"), format!("FROM {from}\n{lines}")).unwrap();
    let image = Image { name: fresh_name("nodes") };
    let mut build = engine(&["build", "--tag", &image.name, context.0.to_str().unwrap()]);
    if !engine(&["buildx", "version"]).output().is_ok_and(|output| output.status.success()) {
        build.env("DOCKER_BUILDKIT", "0");
    }
    let output = build.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    image
}

/// What people keep: /data with custom_nodes, and /state.
pub struct Kept {
    pub data: Volume,
    pub state: Volume,
    world: Arc<World>,
}

impl Kept {
    /// With these of our nodes.
    pub fn with(world: &Arc<World>, nodes: &[&str]) -> Kept {
        let kept = Kept { data: Volume::new(), state: Volume::new(), world: Arc::clone(world) };
        kept.shell("mkdir -p /data/custom_nodes");
        for node in nodes {
            kept.shell(&format!("cp -r /nodes/{node} /data/custom_nodes/"));
        }
        kept
    }

    /// As full root on the data, which is the app's afterwards.
    pub fn shell(&self, line: &str) -> String {
        self.data.root_shell(&self.world.image, &format!("{line}\nchown -R 1000:1000 /data"))
    }

    /// As full root on the state, at /data.
    pub fn state_shell(&self, line: &str) -> String {
        self.state.root_shell(&self.world.image, line)
    }

    /// A start as scripts/up.sh does it, at `warn`.
    pub fn start(&self) -> Start<'_> {
        let state = format!("{}:/state", self.state.name);
        Start::hardened(&self.world.image)
            .data(&self.data)
            .options(&["-v", &state, "-v", "/cache"])
            .env("TAKUMI_LOG", "warn")
            .env("TAKUMI_HEALTH_URL", "")
            .env("TAKUMI_STOP", "")
    }

    /// A start that lists the nodes as COMMAND sees them.
    pub fn listed(&self, settings: &[(&str, &str)]) -> Ended {
        let start = settings.iter().fold(self.start(), |start, (name, value)| start.env(name, value));
        start.command(&["ls", "/data/custom_nodes"]).run()
    }

    /// `init --nodes WORDS` in a container that runs, as root.
    pub fn ask(&self, words: &[&str]) -> Said {
        let container = self.start().env("TAKUMI_SCAN", "off").command(&["sleep", "600"]).spawn();
        crate::engine::eventually("COMMAND", || {
            container.exec(&["cat", "/proc/1/comm"]).stdout.starts_with(b"init:").then_some(())
        });
        said(&container, "0", words)
    }
}

/// What `--nodes` said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The same in this one.
pub fn said(container: &Container, user: &str, words: &[&str]) -> Said {
    let output =
        engine(&[&["exec", "--user", user, &container.name, "/init", "--nodes"], words].concat()).output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
