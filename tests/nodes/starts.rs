//! What a start does about nodes: silence, warning, refusal, quarantine.

use crate::world::NodeVolumes;
use takumi_test::engine::Ended;
use takumi_test::require;

const HEADLINE: &str = "init: WARN: ⚠️ Security risks detected by Bandit!\n";
/// Alters a byte of a file and puts its size and times back.
const ALTER: &str = "import os
path = '/data/custom_nodes/miner/requirements.txt'
before = os.stat(path)
with open(path, 'r+b') as file:
    file.write(b'N')
os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
assert os.stat(path).st_size == before.st_size";

#[track_caller]
fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "expected '{word}': {}", ended.stderr);
    }
}

#[test]
fn what_a_node_can_do_is_said_until_it_is_approved_and_again_when_a_byte_changes() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well", "miner"]);
    let first = kept.list_as_json(&[]);
    says(
        &first,
        0,
        &[
            HEADLINE,
            "miner: not approved\n",
            "hides what it calls: __init__.py:16: __import__(…)",
            "evaluates code that it generates or receives: __init__.py:15",
            "runs programs or shell commands",
            "Bandit: LOW",
            "uses the network or downloads",
            "changes permissions",
            "installs packages from outside PyPI: requirements.txt:3: openai @",
            "names a package or version known to be malicious",
            "runs code when it is installed",
            "init --nodes approve NAME",
        ],
    );
    assert!(!first.stderr.contains("well"), "{}", first.stderr);
    assert_eq!(first.stdout, "miner\nwell\n");

    let approved = kept.exec_nodes(&["approve", "miner"]);
    assert!(approved.code == 0 && approved.stdout.starts_with("approved: miner, sha256 "), "{approved:?}");
    let second = kept.list_as_json(&[]);
    assert_eq!((second.code, second.stderr.as_str()), (0, ""));

    kept.shell(&format!("python3 -c \"{ALTER}\""));
    says(
        &kept.list_as_json(&[]),
        0,
        &[HEADLINE, "miner: changed since it was approved", "altered: requirements.txt\n"],
    );
    kept.shell("echo 'import pickle; pickle.loads(b\"\")' > /data/custom_nodes/miner/new.py");
    says(&kept.list_as_json(&[]), 0, &["added: new.py\n", "new since approval: unpickles data"]);
}

#[test]
fn block_refuses_with_the_list_and_quarantine_moves_and_gives_back() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well", "miner"]);
    kept.shell("cp -r /data/custom_nodes/miner /data/custom_nodes/other");
    let refused = kept.list_as_json(&[("TAKUMI_SCAN", "block")]);
    says(&refused, 125, &[HEADLINE, "required check failed: node-scan: not approved: miner, other (3 scanned"]);
    assert_eq!(refused.stdout, "");
    says(&kept.list_as_json(&[("TAKUMI_REQUIRE", "node-scan")]), 125, &["node-scan: not approved: miner, other"]);

    // What a start would do is foreseen, and not done.
    let report = kept.start().env("TAKUMI_SCAN", "quarantine").command(&["--report"]).run();
    assert!(report.code == 0 && report.stdout.contains("2 moved aside (miner, other)"), "{report:?}");

    let before = kept.shell("cd /data/custom_nodes && find miner -type f -exec md5sum {} + | sort");
    let moved = kept.list_as_json(&[("TAKUMI_SCAN", "quarantine")]);
    says(&moved, 0, &[HEADLINE, "miner moved to quarantine: /data/custom_nodes/.quarantine.disabled/miner"]);
    assert_eq!(moved.stdout, "well\n");
    let after = kept.shell("cd /data/custom_nodes/.quarantine.disabled && find miner -type f -exec md5sum {} + | sort");
    assert_eq!(before, after);
    assert_eq!(kept.list_as_json(&[("TAKUMI_SCAN", "quarantine")]).stderr, "");

    let list = kept.exec_nodes(&["list"]);
    assert!(list.stdout.contains("miner  not approved, in quarantine, "), "{list:?}");
    assert_eq!(kept.exec_nodes(&["approve", "miner"]).code, 0);
    let back = kept.list_as_json(&[("TAKUMI_SCAN", "quarantine")]);
    assert_eq!((back.stdout.as_str(), back.stderr.as_str()), ("miner\nwell\n", ""));
}

#[test]
fn a_restart_scans_only_what_changed() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well", "miner"]);
    kept.shell("cp -r /nodes/miner /data/custom_nodes/other");
    let first = kept.list_as_json(&[]);
    assert!(!first.stderr.contains("not scanned"), "{}", first.stderr);
    says(&first, 0, &["miner: not approved\n", "other: not approved\n", "Bandit: LOW"]);
    let again = kept.start_without_scanner();
    assert_eq!((again.code, again.stderr), (0, first.stderr));
    // The control: a new one and a changed one are asked for, and no other.
    kept.shell("cd /data/custom_nodes; cp -r well copy; echo '#' | tee -a copy/__init__.py >> other/__init__.py");
    let asked = kept.start_without_scanner();
    says(&asked, 0, &["copy: not approved, and not scanned", "other: not approved, and not scanned"]);
    assert_eq!(asked.stderr.matches(", and not scanned\n").count(), 2, "{}", asked.stderr);
}

#[test]
fn json_has_the_same_as_objects() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["miner"]);
    let ended = kept.list_as_json(&[("TAKUMI_LOG_FORMAT", "json")]);
    let told: serde_json::Value = serde_json::from_str(ended.stderr.lines().next().unwrap()).unwrap();
    assert_eq!((&told["level"], &told["message"]), (&"warn".into(), &"⚠️ Security risks detected by Bandit!".into()));
    assert_eq!(told["nodes"][0]["name"], "miner");
    assert_eq!(told["nodes"][0]["standing"], "new");
    let can: Vec<&str> =
        told["nodes"][0]["can"].as_array().unwrap().iter().map(|can| can["ability"].as_str().unwrap()).collect();
    assert!(can.contains(&"runs-commands") && can.contains(&"hides-calls"), "{can:?}");
}

#[test]
fn code_of_the_packages_that_runs_by_itself_is_a_matter_of_its_own() {
    require!(comfyui);
    let kept = NodeVolumes::with(&[]);
    kept.shell(
        "mkdir -p /data/venv/lib/python3.11/site-packages && echo home=/usr/bin > /data/venv/pyvenv.cfg && \
         echo 'import os; os.environ' > /data/venv/lib/python3.11/site-packages/planted.pth",
    );
    says(&kept.list_as_json(&[]), 0, &["/data/venv: not approved", "runs code whenever Python starts", "planted.pth"]);
    assert_eq!(kept.exec_nodes(&["approve", "/data/venv"]).code, 0);
    assert_eq!(kept.list_as_json(&[]).stderr, "");
    kept.shell("echo 'pass' > /data/venv/lib/python3.11/site-packages/sitecustomize.py");
    says(&kept.list_as_json(&[]), 0, &["/data/venv: changed since it was approved", "sitecustomize.py"]);
    let moved = kept.list_as_json(&[("TAKUMI_SCAN", "quarantine")]);
    says(&moved, 0, &["mv /data/venv.quarantine /data/venv"]);
    assert_eq!(kept.list_as_json(&[("TAKUMI_SCAN", "quarantine")]).stderr, "");
}

#[test]
fn a_reboot_looks_again() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well"]);
    // ComfyUI-Manager installs a node and asks for a new start.
    let installs = |name: &str| {
        format!(
            "if test -e /tmp/again; then ls /data/custom_nodes; exit 3; fi; touch /tmp/again; \
             cp -r /nodes/miner /data/custom_nodes/{name}; touch \"$__COMFY_CLI_SESSION__.reboot\"; exit 0"
        )
    };
    let warned = kept.start().env("TAKUMI_REBOOT", "comfyui").shell(&installs("miner")).run();
    says(&warned, 3, &[HEADLINE, "miner: not approved", "new approvals take effect after the container restarts"]);
    assert_eq!(warned.stdout, "miner\nwell\n");
    // What was approved at the start does.
    assert!(!warned.stderr.contains("approvals ignored"), "{}", warned.stderr);

    // After the drop the file of approvals is closed to `init`: they come from its memory.
    let kept = NodeVolumes::with(&["miner"]);
    assert_eq!(kept.exec_nodes(&["approve", "miner"]).code, 0);
    let warned = kept.start().env("TAKUMI_REBOOT", "comfyui").shell(&installs("other")).run();
    says(&warned, 3, &[HEADLINE, "other: not approved"]);
    assert!(!warned.stderr.contains("miner: not approved"), "{}", warned.stderr);

    let kept = NodeVolumes::with(&["well"]);
    let blocked =
        kept.start().env("TAKUMI_REBOOT", "comfyui").env("TAKUMI_SCAN", "block").shell(&installs("miner")).run();
    says(&blocked, 125, &["required check failed: node-scan: not approved: miner"]);
    assert_eq!(blocked.stdout, "");
}

#[test]
fn an_ordinary_user_is_warned_too() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["miner"]);
    assert_eq!(kept.exec_nodes(&["approve", "miner"]).code, 0);
    let plain = || kept.start().capabilities(&[]).options(&["--user", "1000:1000"]).env("TAKUMI_VOLUMES", "/data");
    // /state is closed to it: what was approved is not known.
    says(&plain().command(&["true"]).run(), 0, &[HEADLINE, "miner: not approved", "approvals ignored"]);
    kept.state_shell("chmod 755 /data");
    let silent = plain().command(&["true"]).run();
    assert_eq!((silent.code, silent.stderr.as_str()), (0, ""));
}
