//! Images. What scripts/build.sh makes is there before a test runs; what tests put on top of it is built once a run, whichever test asks
//! first, and removed when the run is over ([`crate::sweep`]).

use crate::engine::{ask, engine, succeeds};
use crate::folder::Folder;
use crate::program::{init, installed, nodes};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The name of what scripts/build.sh made: `demo` (the app and Python, under our own ENTRYPOINT, on which most tests stand), `comfyui`,
/// `egress` or `gateway`. scripts/test.sh gives each checkout names of its own.
pub fn built(kind: &str) -> String {
    format!("{}-{kind}", std::env::var("IMAGE_PREFIX").unwrap_or_else(|_| "takumi".into()))
}

/// ComfyUI's image, with the stand-in or, where `COMFYUI_UNDER_TEST` names it, with a real one.
pub fn comfyui() -> String {
    std::env::var("COMFYUI_UNDER_TEST").unwrap_or_else(|_| built("comfyui"))
}

/// An image. It stays for the run.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub name: String,
}

impl Image {
    /// The demonstration image with the binary under test as /init.
    #[track_caller]
    pub fn demo() -> Image {
        Image::under_test("demo")
    }

    /// What scripts/build.sh made, with the binary under test as /init: the image itself under a name of this run, where it has that binary.
    #[track_caller]
    pub fn under_test(kind: &str) -> Image {
        let from = &built(kind);
        let label = ask(&["image", "inspect", "--format", "{{index .Config.Labels \"takumi.init\"}}", from]);
        let mut sum = std::process::Command::new("sh");
        let digest =
            crate::program::run(sum.args(["-c", "cat \"$0\" \"$1\" | sha256sum"]).args([init(), nodes()])).stdout;
        if !label.is_empty() && digest.starts_with(&label) {
            let name = format!("takumi-test-{kind}-{}-{label:.16}", run());
            ask(&["tag", from, &name]);
            return Image { name };
        }
        match kind {
            "comfyui" => {
                let files: [(&Path, &str, u32); 2] = [(&init(), "init", 0o711), (&nodes(), "takumi-nodes", 0o711)];
                Image::build(kind, from, "COPY --chown=0:0 init takumi-nodes /\n", &files)
            }
            _ => Image::build(kind, from, "COPY --chown=0:0 init /\n", &[(&init(), "init", 0o711)]),
        }
    }

    /// The stack that this project replaces: tini as root, entrypoint.sh with `chown -R`, gosu.
    #[track_caller]
    pub fn classic() -> Image {
        let folder = Folder::new();
        let entrypoint = folder.join("entrypoint.sh");
        std::fs::write(&entrypoint, "#!/bin/sh\nchown -R 1000:1000 /data\nexec /gosu 1000:1000 \"$@\"\n").unwrap();
        Image::build(
            "classic",
            &built("demo"),
            "COPY tini gosu entrypoint.sh /\nENTRYPOINT [\"/tini\", \"--\", \"/entrypoint.sh\"]\n",
            &[
                (&installed("tini-static"), "tini", 0o755),
                (&installed("gosu"), "gosu", 0o755),
                (&entrypoint, "entrypoint.sh", 0o755),
            ],
        )
    }

    /// These lines of a Dockerfile on top of `from` (`scratch` is nothing). `files` are (from, name in the context, mode); a folder
    /// comes whole, with the modes that it has.
    #[track_caller]
    pub fn build(kind: &str, from: &str, lines: &str, files: &[(&Path, &str, u32)]) -> Image {
        let context = Folder::new();
        for (from, name, mode) in files {
            let to = context.join(name);
            // Another process copies: what this one has open for writing, a fork of another thread has too.
            let copied = std::process::Command::new("cp").args(["-rL"]).arg(from).arg(&to).status();
            assert!(copied.is_ok_and(|status| status.success()), "cannot copy {}", from.display());
            if !to.is_dir() {
                std::fs::set_permissions(&to, std::fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
        std::fs::write(context.join("Dockerfile"), format!("FROM {from}\n{lines}")).unwrap();
        let base =
            if from == "scratch" { String::new() } else { ask(&["image", "inspect", "--format", "{{.Id}}", from]) };
        let name = format!("takumi-test-{kind}-{}-{:016x}", run(), digest(&context.0, &base));
        let _alone = alone(&name);
        if !succeeds(&["image", "inspect", &name]) {
            let mut build = engine(&["build", "--tag", &name, context.0.to_str().unwrap()]);
            // A docker client without buildx cannot use BuildKit; the older builder does here.
            if !succeeds(&["buildx", "version"]) {
                build.env("DOCKER_BUILDKIT", "0");
            }
            let output = build.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Image { name }
    }
}

/// The pid that stands for the run: of scripts/test.sh, or of the cargo that started this test.
fn run() -> u32 {
    let given = std::env::var("TAKUMI_TEST_RUN").ok().and_then(|run| run.parse().ok());
    given.unwrap_or_else(std::os::unix::process::parent_id)
}

/// Waits until no other test does this; the lock goes with the value.
pub fn alone(what: &str) -> std::fs::File {
    let path = std::env::temp_dir().join(format!("takumi-test-lock-{}-{}", run(), what.replace('/', "-")));
    let file = std::fs::File::create(path).unwrap();
    file.lock().unwrap();
    file
}

/// Of names, modes and contents below a folder.
fn digest(folder: &Path, base: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    base.hash(&mut hasher);
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        path.strip_prefix(folder).unwrap().hash(&mut hasher);
        if path.is_dir() {
            let mut entries: Vec<PathBuf> =
                std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            waiting.extend(entries);
        } else {
            path.metadata().unwrap().permissions().mode().hash(&mut hasher);
            std::fs::read(&path).unwrap().hash(&mut hasher);
        }
    }
    hasher.finish()
}
