//! ComfyUI's image with the binary under test, and volumes with nodes on them.

use std::path::Path;
use takumi_test::container::Start;
use takumi_test::engine::{Container, Ended, Volume, engine};
use takumi_test::image::{Image, comfyui};
use takumi_test::poll::eventually;
use takumi_test::program::{REPOSITORY, init, nodes};

/// With the binary under test and our own nodes.
fn image() -> Image {
    let ours = Path::new(REPOSITORY).join("tests/nodes/nodes");
    let lines = "COPY --chown=0:0 init takumi-nodes /\nCOPY --chown=0:0 nodes /nodes\n";
    let files = [(init(), "init", 0o711), (nodes(), "takumi-nodes", 0o711), (ours, "nodes", 0o755)];
    Image::build("nodes", &comfyui(), lines, &files.each_ref().map(|(from, name, mode)| (from.as_path(), *name, *mode)))
}

/// What people keep: /data with custom_nodes, and /state.
pub struct NodeVolumes {
    pub data: Volume,
    pub state: Volume,
    image: Image,
}

impl NodeVolumes {
    /// With these of our nodes.
    pub fn with(nodes: &[&str]) -> NodeVolumes {
        let kept = NodeVolumes { data: Volume::new(), state: Volume::new(), image: image() };
        let copies: String = nodes.iter().map(|node| format!("; cp -r /nodes/{node} /data/custom_nodes/")).collect();
        kept.shell(&format!("mkdir -p /data/custom_nodes{copies}"));
        kept
    }

    /// As full root on the data, which is the app's afterwards.
    pub fn shell(&self, line: &str) -> String {
        self.data.root_shell(&self.image, &format!("{line}\nchown -R 1000:1000 /data"))
    }

    /// As full root on the state, at /data.
    pub fn state_shell(&self, line: &str) -> String {
        self.state.root_shell(&self.image, line)
    }

    /// A start as scripts/up.sh does it, at `warn`.
    pub fn start(&self) -> Start<'_> {
        let state = format!("{}:/state", self.state.name);
        Start::hardened(&self.image)
            .data(&self.data)
            .options(&["-v", &state, "-v", "/cache"])
            .env("TAKUMI_LOG", "warn")
            .env("TAKUMI_HEALTH_URL", "")
            .env("TAKUMI_STOP", "")
    }

    /// The same with another scanner: `scanner` of this folder.
    pub fn start_with_scanner(&self, folder: &Path) -> Start<'_> {
        let mount = format!("{}:/opt/scanner:ro", folder.display());
        self.start().options(&["-v", &mount]).env("TAKUMI_SCAN_COMMAND", "/opt/scanner/scanner")
    }

    /// A start with a scanner that cannot be used: whoever asked it would say so.
    pub fn start_without_scanner(&self) -> Ended {
        self.start().options(&["-v", "/dev/null:/opt/bandit/bin/bandit:ro"]).command(&["true"]).run()
    }

    /// A start that lists the nodes as COMMAND sees them.
    pub fn list_as_json(&self, settings: &[(&str, &str)]) -> Ended {
        let start = settings.iter().fold(self.start(), |start, (name, value)| start.env(name, value));
        start.command(&["ls", "/data/custom_nodes"]).run()
    }

    /// A container whose COMMAND runs.
    pub fn running(&self, start: Start<'_>) -> Container {
        let container = start.command(&["sleep", "600"]).spawn();
        eventually("COMMAND", || container.exec(&["cat", "/proc/1/comm"]).stdout.starts_with(b"init:").then_some(()));
        container
    }

    /// `init --nodes WORDS` in a container that runs, as root.
    pub fn exec_nodes(&self, words: &[&str]) -> Ended {
        exec_nodes_as(&self.running(self.start().env("TAKUMI_SCAN", "off")), "0", words)
    }
}

/// The same in this one.
pub fn exec_nodes_as(container: &Container, user: &str, words: &[&str]) -> Ended {
    let exec = ["exec", "--user", user, &container.name, "/init", "--nodes"];
    Ended::from(engine(&[&exec, words].concat()).output().unwrap())
}
