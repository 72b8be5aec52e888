//! The container engine and what a test makes in it. Everything is named `takumi-test-*` and removed in Drop.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// What scripts/build.sh makes: the app and Python, under another init's or our own ENTRYPOINT.
const DEMO_IMAGE: &str = "takumi-demo";

/// How long a thing may take that takes a second on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The engine's own command, as the scripts choose it.
pub fn engine(arguments: &[&str]) -> Command {
    let words = std::env::var("CONTAINER_ENGINE").unwrap_or_else(|_| "docker".into());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("CONTAINER_ENGINE is empty"));
    command.args(words).args(arguments).stdin(Stdio::null());
    command
}

/// Runs the engine to its end and returns what it printed, without the last newline.
pub fn ask(arguments: &[&str]) -> String {
    let output = engine(arguments).output().expect("the engine starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn succeeds(arguments: &[&str]) -> bool {
    engine(arguments).output().is_ok_and(|output| output.status.success())
}

/// Asks again and again until there is an answer.
pub fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in {PATIENCE:?} not seen: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `takumi-test-KIND-PID-NUMBER`.
pub fn fresh_name(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("takumi-test-{kind}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Where an installed program is: /usr/sbin is not on every user's PATH.
pub fn installed(program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|p| p.exists())
}

/// A folder that goes with its value.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new, empty one.
    pub fn new() -> Folder {
        let path = std::env::temp_dir().join(fresh_name("folder"));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An image that is removed with its value.
pub struct Image {
    /// Its name.
    pub name: String,
}

impl Image {
    /// The demonstration image with the binary under test as /init, or None where no engine or no image is there (and says so).
    pub fn demo() -> Option<Arc<Image>> {
        static SHARED: Mutex<Weak<Image>> = Mutex::new(Weak::new());
        // A test that fails while it builds poisons the lock; the next one builds for itself.
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(image) = shared.upgrade() {
            return Some(image);
        }
        if !succeeds(&["info"]) {
            println!("skipped: no container engine answers");
            return None;
        }
        if !succeeds(&["image", "inspect", DEMO_IMAGE]) {
            println!("skipped: no image {DEMO_IMAGE}: run scripts/build.sh");
            return None;
        }
        let under_test = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
        let image = Image::build("demo", "COPY --chown=0:0 init /init\n", &[(Path::new(&under_test), "init", 0o711)]);
        let image = Arc::new(image);
        *shared = Arc::downgrade(&image);
        Some(image)
    }

    /// The stack that this project replaces: tini as root, entrypoint.sh with `chown -R`, gosu. None where they are not installed.
    pub fn classic() -> Option<Image> {
        let (Some(tini), Some(gosu)) = (installed("tini-static"), installed("gosu")) else {
            println!("skipped: the control needs tini-static and gosu");
            return None;
        };
        let folder = Folder::new();
        let entrypoint = folder.0.join("entrypoint.sh");
        std::fs::write(&entrypoint, "#!/bin/sh\nchown -R 1000:1000 /data\nexec /gosu 1000:1000 \"$@\"\n").unwrap();
        Some(Image::build(
            "classic",
            "COPY tini gosu entrypoint.sh /\nENTRYPOINT [\"/tini\", \"--\", \"/entrypoint.sh\"]\n",
            &[(&tini, "tini", 0o755), (&gosu, "gosu", 0o755), (&entrypoint, "entrypoint.sh", 0o755)],
        ))
    }

    /// Builds on the demonstration image; `files` are (from, name in the context, mode).
    fn build(kind: &str, lines: &str, files: &[(&Path, &str, u32)]) -> Image {
        use std::os::unix::fs::PermissionsExt as _;
        let context = Folder::new();
        for (from, name, mode) in files {
            let to = context.0.join(name);
            std::fs::copy(from, &to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
        std::fs::write(context.0.join("Dockerfile"), format!("FROM {DEMO_IMAGE}\n{lines}")).unwrap();
        let image = Image { name: fresh_name(kind) };
        let mut build = engine(&["build", "--tag", &image.name, context.0.to_str().unwrap()]);
        if !succeeds(&["buildx", "version"]) {
            build.env("DOCKER_BUILDKIT", "0");
        }
        let output = build.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        image
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = engine(&["image", "rm", "--force", &self.name]).output();
    }
}

/// A named volume that is removed with its value.
pub struct Volume {
    /// Its name.
    pub name: String,
}

impl Volume {
    /// A new one; the engine makes it when it is first mounted.
    pub fn new() -> Volume {
        Volume { name: fresh_name("volume") }
    }

    /// Runs a shell line as full root on the volume's files, at /data, and returns what it prints.
    pub fn root_shell(&self, image: &Image, line: &str) -> String {
        let mount = format!("{}:/data", self.name);
        ask(&[
            "run",
            "--rm",
            "--name",
            &fresh_name("shell"),
            "-v",
            &mount,
            "--entrypoint",
            "sh",
            &image.name,
            "-ec",
            line,
        ])
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = engine(&["volume", "rm", "--force", &self.name]).output();
    }
}

/// A container that is removed with its value.
pub struct Container {
    /// Its name.
    pub name: String,
}

/// How a container ended and what was said in it.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// COMMAND's words.
    pub stdout: String,
    /// COMMAND's and `init`'s words.
    pub stderr: String,
}

impl Ended {
    /// The refusal that every start owes its user: 125 and one line that contains `words`.
    #[track_caller]
    pub fn expect_refusal(&self, words: &[&str]) {
        assert_eq!(self.code, 125, "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "one line is enough: {self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "expected '{word}': {self:?}");
        }
    }
}

impl Container {
    /// One field of the engine's knowledge, e.g. `.State.Pid`.
    pub fn inspect(&self, field: &str) -> String {
        ask(&["container", "inspect", "--format", &format!("{{{{{field}}}}}"), &self.name])
    }

    /// Runs a command inside as the container's root, to its end.
    pub fn exec(&self, arguments: &[&str]) -> Output {
        engine(&[&["exec", &self.name], arguments].concat()).output().unwrap()
    }

    /// Starts a command inside and leaves it there; `options` are the engine's.
    pub fn exec_detached(&self, options: &[&str], arguments: &[&str]) {
        ask(&[&["exec", "--detach"], options, &[self.name.as_str()], arguments].concat());
    }

    /// (stdout, stderr) so far.
    pub fn logs(&self) -> (String, String) {
        let output = engine(&["logs", &self.name]).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Asks it to stop, as `docker stop` does, and returns how it ended and after how long.
    pub fn stop(&self) -> (Ended, Duration) {
        let began = Instant::now();
        ask(&["stop", "--time", "10", &self.name]);
        let took = began.elapsed();
        (self.end(), took)
    }

    /// Waits for its end.
    pub fn end(&self) -> Ended {
        eventually("the end of the container", || (self.inspect(".State.Running") == "false").then_some(()));
        let (stdout, stderr) = self.logs();
        Ended { code: self.inspect(".State.ExitCode").parse().unwrap(), stdout, stderr }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = engine(&["rm", "--force", "--volumes", &self.name]).output();
    }
}
