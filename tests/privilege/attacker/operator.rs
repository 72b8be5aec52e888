//! What an operator does with a container whose app is hostile: looks into it, and starts it again.

use std::process::Output;
use takumi_test::container::Start;
use takumi_test::engine::{Container, Volume, ask, engine};
use takumi_test::image::{Image, comfyui};
use takumi_test::require;

const PLANT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/privilege/attacker/plant.py");

/// The image of ComfyUI with plant.py as COMMAND, when everything is in its place.
fn planted() -> Container {
    let image = Image { name: comfyui() };
    let plant = format!("{PLANT}:/plant.py:ro");
    let start = Start::hardened(&image).options(&["--network", "none", "--volume", "/data", "--volume", "/cache"]);
    let container = start.options(&["--volume", &plant]).command(&["python", "/plant.py"]).spawn();
    container.await_words("planted");
    container
}

/// What somebody types into it, and which plant it picks up then.
const TYPED: [(&str, &str); 6] = [
    ("bash -ic true", "bashrc"),
    ("bash -lc true", "bash_profile"),
    ("sh -lc true", "profile"),
    ("git st", "git"),
    ("pip config list", "planted.invalid"),
    ("python -c 'import wave'", "pyc"),
];
/// What picks up nothing, wherever HOME leads.
const HARMLESS: [&str; 7] = [
    "sh -c true",
    "bash -c true",
    "python -c pass",
    "python -I -c 'import wave'",
    "/opt/bandit/bin/python -I -m bandit --version",
    "/init --check",
    "/init --report",
];

/// Types it as root, or as `options` say, and returns the plants that ran as that user, and those that its words show.
fn picks_up(container: &Container, options: &[&str], line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // The one argument with a space in it.
    let words = match words.as_slice() {
        [program @ .., "'import", "wave'"] => [program, &["import wave"]].concat(),
        words => words.to_vec(),
    };
    let Output { stdout, .. } = engine(&[&["exec"], options, &[&container.name], &words].concat()).output().unwrap();
    let list = container.exec(&["sh", "-c", "cd /tmp && ls -d ran-* 2>/dev/null; rm -f ran-*"]);
    let mut found: Vec<String> = String::from_utf8_lossy(&list.stdout).lines().map(str::to_owned).collect();
    found.extend(String::from_utf8_lossy(&stdout).contains("planted.invalid").then(|| "planted.invalid".to_owned()));
    found
}

/// docs/threat-model.md, "Using docker exec safely", says what to type.
#[test]
fn an_exec_of_root_picks_up_what_the_app_left_where_home_leads_to_it() {
    require!(comfyui);
    let container = planted();
    let variables = container.inspect("json .Config.Env");
    let led = ["--env", "HOME=/cache", "--env", "PYTHONPYCACHEPREFIX=/tmp/pycache"];
    let away = ["--env", "HOME=/root", "--env", "PYTHONPYCACHEPREFIX="];
    for (line, plant) in TYPED {
        let expected = if plant.contains('.') { plant.to_owned() } else { format!("ran-{plant}-0") };
        assert_eq!(picks_up(&container, &led, line), [&expected[..]], "control: {line}");
        assert!(picks_up(&container, &away, line).is_empty(), "{line}");
        // As the app's user it runs too, and is nobody.
        let of_app = picks_up(&container, &[&led[..], &["--user", "1000"]].concat(), line);
        assert!(of_app.iter().all(|ran| !ran.ends_with("-0")), "{line}: {of_app:?}");
        // The image as it is.
        let open = variables.contains(if plant == "pyc" { "PYTHONPYCACHEPREFIX=/tmp" } else { "\"HOME=/cache" });
        assert_eq!(picks_up(&container, &[], line).is_empty(), !open, "{line}");
    }
    for line in HARMLESS {
        assert_eq!(picks_up(&container, &led, line), [""; 0], "{line}");
    }
}

/// A volume inside another one: a link in its place refuses every start, and the line says how to go on.
#[test]
fn a_planted_link_is_named_with_the_command_that_removes_it() {
    require!(demo);
    let image = Image::demo();
    let (data, state) = (Volume::new(), Volume::new());
    let mounts = [format!("{}:/data", data.name), format!("{}:/state", state.name)];
    let start = |line: &str| {
        let start = Start::plain(&image).options(&["--volume", &mounts[0], "--volume", &mounts[1]]);
        let start = start.env("TAKUMI_VOLUMES", "/data:/data/models/loras").env("TAKUMI_LOG", "warn");
        let container = start.shell(line).spawn();
        let ended = container.end();
        (container, ended)
    };
    for (planted, at) in [
        ("mv /data/models /data/was && ln -s /state /data/models", "/data/models"),
        ("rmdir /data/models/loras && ln -s ../../state /data/models/loras", "/data/models/loras"),
    ] {
        let (_first, ended) = start(planted);
        assert_eq!(ended.code, 0, "{ended:?}");
        let (refused, ended) = start("echo ran");
        ended.expect_refusal(&[at, "/state", "uid 1000 owns it", "do not use its target"]);
        let (_, command) = ended.stderr.trim_end().split_once("remove it: docker ").unwrap();
        let command = command.trim_end_matches(')').replace("CONTAINER", &refused.name).replace("IMAGE", &image.name);
        ask(&command.split(' ').collect::<Vec<_>>());
        let (_again, ended) = start("stat -c %u /data/models/loras /state");
        assert_eq!((ended.code, &ended.stdout[..]), (0, "1000\n0\n"), "{ended:?}");
    }
}
