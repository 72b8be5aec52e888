//! A real rootless engine: Debian's packages, an ordinary user, no systemd. Root's part runs through a double of sudo that asks this test.

use super::machine::{Table, snapshot};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use takumi_test::engine::engine;
use takumi_test::image::built;
use takumi_test::poll::eventually;
use takumi_test::program::{Ended, run};
use takumi_test::require;
use takumi_test::user::{User, account};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Hands its words to the test and waits for the answer.
const SUDO: &str = "#!/bin/bash
request=$(mktemp -d \"${0%/bin/*}/requests/XXXXXX.new\")
printf '%s\\0' \"$@\" >\"$request/words\"
mv \"$request\" \"${request%.new}\"
for ((wait = 0; wait < 1200; wait++)); do
    [[ ! -e ${request%.new}/code ]] || break
    sleep 0.05
done
cat \"${request%.new}/said\"
exit \"$(<\"${request%.new}/code\")\"
";

/// /dev/net/tun as every ordinary machine has it, and back again.
struct TunService(u32);

impl TunService {
    fn open() -> TunService {
        let mode = fs::metadata("/dev/net/tun").unwrap().mode();
        fs::set_permissions("/dev/net/tun", fs::Permissions::from_mode(0o666)).unwrap();
        TunService(mode)
    }
}

impl Drop for TunService {
    fn drop(&mut self) {
        let _ = fs::set_permissions("/dev/net/tun", fs::Permissions::from_mode(self.0 & 0o7777));
    }
}

/// A user without subordinate ids, with the scripts in their home and a sudo that allows what is about their subordinate ids only.
struct Host {
    user: User,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
    _tun: TunService,
}

impl Host {
    fn new() -> Host {
        let user = User::new(&["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"]);
        let requests = user.home.join("sudo/requests");
        fs::create_dir_all(&requests).unwrap();
        fs::create_dir_all(user.home.join("sudo/bin")).unwrap();
        let sudo = user.home.join("sudo/bin/sudo");
        fs::write(&sudo, SUDO).unwrap();
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
        let copied = Command::new("cp").args(["-r", &format!("{REPOSITORY}/scripts")]).arg(&user.home).status();
        assert!(copied.unwrap().success());
        user.own(&user.home);
        let (asked, ended) = (Arc::default(), Arc::default());
        let answering = answer(requests, user.name.clone(), Arc::clone(&asked), Arc::clone(&ended));
        Host { user, asked, ended, answering: Some(answering), _tun: TunService::open() }
    }

    /// A line of shell as the user, as after a login.
    fn shell(&self, line: &str) -> Ended {
        let path = format!("{}/sudo/bin:/usr/local/bin:/usr/bin:/bin", self.user.home.display());
        run(self.user.command("bash").args(["-c", line]).env("PATH", path))
    }

    fn setup(&self, words: &str) -> Ended {
        self.shell(&format!("scripts/setup_rootless.sh {words}"))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn subids(&self) -> String {
        let all = fs::read_to_string("/etc/subuid").unwrap() + &fs::read_to_string("/etc/subgid").unwrap();
        all.lines()
            .filter(|line| line.starts_with(&format!("{}:", self.user.name)))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.answering.take().map(JoinHandle::join);
    }
}

/// Runs what the user's sudo asks for, if it is about the user's own subordinate ids.
fn answer(requests: PathBuf, name: String, asked: Arc<Mutex<Vec<String>>>, ended: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            for entry in fs::read_dir(&requests).into_iter().flatten().flatten() {
                let folder = entry.path();
                if folder.extension().is_some() || folder.join("code").exists() {
                    continue;
                }
                let words = fs::read_to_string(folder.join("words")).unwrap();
                let words: Vec<&str> = words.split_terminator('\0').collect();
                asked.lock().unwrap().push(words.join(" "));
                let allowed = match words.as_slice() {
                    ["usermod", "--add-subuids", _, "--add-subgids", _, user] => *user == name,
                    ["sed", "-i", script, "/etc/subuid" | "/etc/subgid"] => {
                        script.starts_with(&format!("/^{name}:")) && script.ends_with(":65536$/d")
                    }
                    _ => false,
                };
                if allowed {
                    account(words[0], &words[1..]);
                }
                fs::write(folder.join("said"), if allowed { "" } else { "the test does not allow that\n" }).unwrap();
                fs::write(folder.join("code.new"), if allowed { "0" } else { "97" }).unwrap();
                fs::rename(folder.join("code.new"), folder.join("code")).unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

/// What must be as it was: the machine's own engine.
fn rootful_socket() -> Option<(u64, u32, i64)> {
    let data = fs::metadata("/var/run/docker.sock").ok()?;
    Some((data.ino(), data.mode(), data.ctime()))
}

#[test]
fn a_user_without_anything_gets_an_engine_of_their_own_and_a_running_stack() {
    require!(root, rootless_scripts, rootlesskit, slirp4netns, newuidmap, tun, no_systemd, demo);
    let host = Host::new();
    let (name, uid) = (&host.user.name, host.user.uid);
    let rootful = rootful_socket();
    host.setup("prove").ends_with(1).says("no rootless engine answers");

    let before = snapshot(&host.user.home);
    host.setup("check")
        .ends_with(1)
        .row("subids", "missing", "is free")
        .row("engine", "missing", "")
        .row("rootful", "ok", "");
    host.setup("install --dry-run").ends_with(0).says("sudo usermod --add-subuids").says("setsid dockerd-rootless.sh");
    assert_eq!(snapshot(&host.user.home), before);
    assert!(host.asked().is_empty() && host.subids().is_empty());

    let said = host.setup("install --yes").ends_with(0);
    said.says(&format!("container root is {name} ({uid})")).says("its 65536 other ids").says("Next: scripts/up.sh");
    assert_eq!(host.asked().len(), 1, "{:?}", host.asked());
    assert_eq!(host.subids().lines().count(), 2);

    // Not by the script's word: the daemon's own namespace, seen from outside.
    let daemon = host
        .user
        .processes()
        .into_iter()
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "dockerd\n"));
    let map = fs::read_to_string(format!("/proc/{}/uid_map", daemon.expect("dockerd runs as the user"))).unwrap();
    let map: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(map[..3], ["0", &uid.to_string(), "1"]);
    host.shell("docker info --format '{{json .SecurityOptions}}'").ends_with(0).says("name=rootless");
    host.shell("docker image ls --quiet").ends_with(0).never_says("takumi");
    // Rules work: containers have a way out.
    host.shell("! grep -e --iptables=false .local/state/takumi-rootless/dockerd.log").ends_with(0);

    let asked = host.asked().len();
    host.setup("install --yes").ends_with(0).says("nothing to do\n");
    host.setup("check").ends_with(0).says("nothing to do\n");
    assert_eq!(host.asked().len(), asked);

    a_container_runs(&host);
    ends_and_starts_again(&host);

    host.setup("uninstall --yes").ends_with(0).says("left: images, containers and volumes");
    eventually("the end of the engine", || host.user.processes().is_empty().then_some(()));
    assert_eq!(host.subids(), "");
    assert!(host.user.home.join(".local/share/docker").exists(), "data go only when asked for");
    let config = host.user.home.join(".docker/config.json");
    assert!(!config.exists(), "{:?}", fs::read_to_string(&config));
    assert!(!host.user.home.join(".local/share/takumi-rootless").exists());

    host.setup("install --yes").ends_with(0).says("container root is");
    host.setup("uninstall --yes --remove-data").ends_with(0).says("DELETE").never_says("left:");
    assert!(!host.user.home.join(".local/share/docker").exists());
    assert_eq!(rootful_socket(), rootful, "the machine's own engine was touched");
}

/// A container of ours on the new engine; the whole stack is tests/stack's.
fn a_container_runs(host: &Host) {
    let image = built("demo");
    let mut save = engine(&["save", &image]).stdout(Stdio::piped()).spawn().unwrap();
    let mut load = host.user.command("docker");
    load.arg("load").env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(save.stdout.take().unwrap());
    Ended::from(load.output().unwrap()).ends_with(0);
    assert!(save.wait().unwrap().success());
    host.shell(&format!("docker run --rm --env TAKUMI_LOG=debug --name takumi-test-of-rootless {image} id -u"))
        .ends_with(0)
        .says("pass     user-namespace        container root is uid")
        .says("1000\ninit: ");
}

/// The words that install leaves for a machine without systemd.
fn ends_and_starts_again(host: &Host) {
    let pid = host.shell("cat .docker/run/takumi-rootless.pid").stdout;
    host.shell(&format!("kill {pid}")).ends_with(0);
    eventually("the end of the engine", || host.user.processes().is_empty().then_some(()));
    host.setup("check").ends_with(1).row("engine", "missing", "must be started");
    host.setup("install --yes").ends_with(0).says("install will change: engine").says("container root is");
}
