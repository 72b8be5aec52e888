//! `init --nodes`.

use crate::world::{NodeVolumes, exec_nodes_as};
use takumi_test::require;

#[test]
fn a_person_lists_shows_approves_and_revokes() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well", "miner"]);
    let list = kept.exec_nodes(&["list"]);
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = list.stdout.lines().collect();
    assert!(lines[0].starts_with("miner  not approved, ") && lines[0].contains("evaluates code"), "{list:?}");
    assert_eq!(lines[1], "well   nothing found");

    let show = kept.exec_nodes(&["show", "miner"]);
    for words in [
        "  changes permissions, Bandit: HIGH\n    __init__.py:12\n",
        "    requirements.txt:2: ultralytics 8.3.41 ",
        "  Bandit counts 1 high, ",
        "  sha256 ",
    ] {
        assert!(show.stdout.contains(words), "{words}: {}", show.stdout);
    }
    assert_eq!(kept.exec_nodes(&["approve", "miner"]).code, 0);
    assert!(kept.exec_nodes(&["list"]).stdout.contains("miner  approved\n"));

    let json = kept.exec_nodes(&["list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["standing"]), (&"miner".into(), &"approved".into()));
    assert_eq!(json[1]["standing"], "nothing-found");
    let show: serde_json::Value = serde_json::from_str(&kept.exec_nodes(&["show", "miner", "--json"]).stdout).unwrap();
    assert_eq!(show[0]["digest"].as_str().unwrap().len(), 64);

    assert_eq!(kept.exec_nodes(&["revoke", "miner"]).stdout, "revoked: miner\n");
    assert!(kept.exec_nodes(&["list"]).stdout.starts_with("miner  not approved"));
}

#[test]
fn what_cannot_be_done_is_1_with_the_reason() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["miner"]);
    for (words, reason) in [
        (&["show", "nobody"][..], "nobody is not a node here"),
        (&["approve", "nobody"], "nobody is not a node here"),
        (&["revoke", "miner"], "miner is not approved"),
        (&["approve"], "--nodes needs list, or show"),
        (&["destroy", "miner"], "--nodes needs list, or show"),
    ] {
        let said = kept.exec_nodes(words);
        assert!(said.code == 1 && said.stderr.contains(reason) && said.stdout.is_empty(), "{words:?}: {said:?}");
    }
}

#[test]
fn command_cannot_approve_and_what_it_could_write_does_not_count() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["miner"]);
    let container = kept.running(kept.start());
    let asked = exec_nodes_as(&container, "1000", &["approve", "miner"]);
    assert!(asked.code == 1 && asked.stderr.contains("nothing can be approved"), "{asked:?}");
    // The control: root's word counts.
    assert_eq!(exec_nodes_as(&container, "0", &["approve", "miner"]).code, 0);
    drop(container);
    assert_eq!(kept.list_as_json(&[]).stderr, "");
    for line in
        ["chown 1000 /data", "chown 0 /data; chown 1000 /data/nodes.json", "chown 0 /data/nodes.json; chmod 777 /data"]
    {
        kept.state_shell(line);
        let ended = kept.list_as_json(&[("TAKUMI_SCAN", "block")]);
        assert!(ended.code == 125 && ended.stderr.contains("can be written by others than root"), "{line}: {ended:?}");
    }
    // A fresh volume that is everybody's is shut before anything is kept in it.
    kept.state_shell("rm /data/*.json; chmod 777 /data");
    assert_eq!(kept.exec_nodes(&["approve", "miner"]).code, 0);
    assert_eq!(kept.state_shell("stat -c %a:%u /data"), "700:0");
    assert_eq!(kept.list_as_json(&[("TAKUMI_SCAN", "block")]).code, 0);
    kept.state_shell("chmod 700 /data; echo '{' > /data/nodes.json");
    let damaged = kept.list_as_json(&[("TAKUMI_SCAN", "block")]);
    assert!(damaged.code == 125 && damaged.stderr.contains("is not a list of approvals (remove it"), "{damaged:?}");
}
