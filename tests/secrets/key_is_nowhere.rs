//! Once COMMAND runs, the private key is nowhere that COMMAND can reach, and not in PID 1 either. The same hunt finds it in the
//! classic stack.

use crate::support::{KEY, OTHER_KEY, SecretsFixture, vectors};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use takumi_test::hunt::{Hunt, Needles};
use takumi_test::namespace;
use takumi_test::program::{example, init, installed};
use takumi_test::require;

/// A root of its own, as a container has one, with the .env and the key that only root may read.
struct Root {
    place: SecretsFixture,
    root: PathBuf,
}

impl Root {
    fn make() -> Root {
        let place = SecretsFixture::enter();
        let root = place.path("root");
        for folder in ["", "bin", "etc", "proc", "run", "secrets", "tmp"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        for (path, content) in [("etc/passwd", namespace::PASSWD), ("etc/group", namespace::GROUP)] {
            fs::write(root.join(path), content).unwrap();
        }
        let lines: Vec<String> = vectors().iter().map(|(name, (_, cipher))| format!("{name}={cipher}")).collect();
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
        place.file("root/.env", lines.join("\n"));
        place.owned_file("root/secrets/key", KEY, 0, 0o400);
        place.world.program_as(&init(), "root/init", 0o711);
        place.world.program_as(&example("searcher"), "root/bin/searcher", 0o755);
        Root { place, root }
    }

    fn add(&self, tool: &Path, name: &str) {
        self.place.world.program_as(tool, &format!("root/bin/{name}"), 0o755);
    }

    /// Starts it as PID 1 in this root, with the searcher as the last words of its command line.
    fn start(&self, words: &[&str], settings: &[(&str, &str)]) -> Running {
        let logs = self.place.path("logs");
        let needles = Needles::of_key(KEY);
        let mut command = Command::new("prlimit");
        command.args(["--core=unlimited", "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--wd=/tmp"]);
        command.arg("--root").arg(&self.root).arg("--").args(words);
        command.arg("/bin/searcher").args(needles.words()).env_clear().envs(settings.iter().copied());
        command.env("PATH", "/usr/sbin:/usr/bin:/bin").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(File::create(&logs).unwrap()).spawn().unwrap();
        let mut inside = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            inside.push(line.unwrap());
            if inside.last().unwrap().starts_with("looked") {
                break;
            }
        }
        let said = fs::read_to_string(&logs).unwrap();
        let looked = inside.pop().unwrap_or_else(|| panic!("no answer: {said}"));
        assert!(looked.starts_with("looked"), "{looked}: {said}");
        Running { child, inside, looked, said, needles, logs }
    }
}

/// A container whose COMMAND has searched and waits.
struct Running {
    child: Child,
    /// What COMMAND found.
    inside: Vec<String>,
    looked: String,
    said: String,
    needles: Needles,
    logs: PathBuf,
}

impl Running {
    fn pid_1(&self) -> String {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        fs::read_to_string(children).unwrap().trim().to_owned()
    }

    /// What COMMAND's core dump holds.
    fn core_dump(&mut self) -> Vec<String> {
        self.child.stdin.take().unwrap().write_all(b"crash").unwrap();
        self.child.wait().unwrap();
        let folder = self.logs.with_file_name("root").join("tmp");
        let mut hunt = Hunt::default();
        hunt.files(&self.needles, &folder);
        assert_eq!(hunt.files, 1, "no core dump");
        fs::read_dir(folder).unwrap().for_each(|dump| fs::remove_file(dump.unwrap().path()).unwrap());
        hunt.found
    }

    /// What root finds in PID 1 from outside.
    fn outside(&self) -> Hunt {
        let mut hunt = Hunt::default();
        hunt.process(&self.needles, &self.pid_1());
        hunt
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[track_caller]
fn is_nowhere(running: Running) {
    assert_eq!(running.inside, [""; 0], "{}", running.looked);
    // Its own environment and memory, and those alone: PID 1 is closed to it.
    assert!(running.looked.ends_with("environments=1 memories=1"), "{}", running.looked);
    let outside = running.outside();
    assert_eq!(outside.found, [""; 0]);
    assert_eq!((outside.environments, outside.memories), (1, 1), "PID 1 was not searched");
    let mut logs = Hunt::default();
    logs.files(&running.needles, running.logs.parent().unwrap());
    let known = |place: &&String| place.ends_with("/root/secrets/key");
    assert!(logs.found.iter().any(|place| known(&place)), "the search of files finds nothing: {logs:?}");
    assert_eq!(logs.found.iter().filter(|place| !known(place)).collect::<Vec<_>>(), [""; 0]);
}

const READS_ALL: [(&str, &str); 2] = [("TAKUMI_ENV_FILE", "/.env"), ("TAKUMI_LOG", "trace")];

fn from_the_environment(root: &Root, keys: &str) -> Running {
    root.start(&["/init"], &[&READS_ALL[..], &[("DOTENV_PRIVATE_KEY", keys)]].concat())
}

fn from_a_file(root: &Root) -> Running {
    root.start(&["/init"], &[&READS_ALL[..], &[("DOTENV_PRIVATE_KEY_FILE", "/secrets/key")]].concat())
}

/// `docker run --user`: PID 1 is the app's own user from its first line on.
fn as_an_ordinary_user(root: &Root) -> Running {
    root.add(&installed("gosu"), "gosu");
    root.start(&["/bin/gosu", "app", "/init"], &[&READS_ALL[..], &[("DOTENV_PRIVATE_KEY", KEY)]].concat())
}

/// tini, a shell as entrypoint, gosu.
fn classic(root: &Root) -> Running {
    for (tool, name) in [("tini-static", "tini"), ("busybox", "sh"), ("gosu", "gosu")] {
        root.add(&installed(tool), name);
    }
    let words = ["/bin/tini", "--", "/bin/sh", "-c", "exec gosu app \"$0\" \"$@\""];
    root.start(&words, &[("DOTENV_PRIVATE_KEY", KEY)])
}

fn finds(places: &[String], what: &str) {
    assert!(places.iter().any(|place| place.starts_with("hex in") && place.contains(what)), "{what}: {places:?}");
}

#[test]
fn no_key_is_left_when_it_came_in_the_environment() {
    require!(namespaces, prlimit, unshare);
    let root = Root::make();
    is_nowhere(from_the_environment(&root, KEY));
    // Beside another one, which is tried first.
    is_nowhere(from_the_environment(&root, &format!("{OTHER_KEY},{KEY}")));
}

#[test]
fn no_key_is_left_when_it_came_from_a_file() {
    require!(namespaces, prlimit, unshare);
    is_nowhere(from_a_file(&Root::make()));
}

#[test]
fn no_key_is_left_in_a_start_as_an_ordinary_user() {
    require!(namespaces, prlimit, unshare, gosu);
    is_nowhere(as_an_ordinary_user(&Root::make()));
}

/// The app holds the key, and so does PID 1.
#[test]
fn the_classic_stack_leaves_the_key_everywhere() {
    require!(namespaces, prlimit, unshare, "tini-static", busybox, gosu);
    let root = Root::make();
    let running = classic(&root);
    finds(&running.inside, "/environ");
    finds(&running.inside, "/mem");
    let outside = running.outside();
    finds(&outside.found, "/environ");
    finds(&outside.found, "/mem");
    assert!(running.said.is_empty(), "{}", running.said);
}

#[test]
fn a_core_dump_of_the_app_holds_no_key() {
    require!(namespaces, prlimit, unshare, core_dumps, "tini-static", busybox, gosu);
    let root = Root::make();
    for keys in [KEY, &format!("{OTHER_KEY},{KEY}")] {
        assert_eq!(from_the_environment(&root, keys).core_dump(), [""; 0]);
    }
    assert_eq!(from_a_file(&root).core_dump(), [""; 0]);
    assert_eq!(as_an_ordinary_user(&root).core_dump(), [""; 0]);
    finds(&classic(&root).core_dump(), "/tmp/core");
}
