//! `--report` finds what a start would find, and changes nothing.

use super::support::{APP, Init, OTHER, Outcome, VolumeFixture, file, own, owner, snapshot};
use serde_json::Value;
use takumi_test::report::Report;
use takumi_test::require;

/// Exit code, and each finding about volumes.
fn report(init: Init) -> (Option<i32>, Vec<Value>) {
    let output = init.with("TAKUMI_LOG", "warn").running(&["--report", "--json"]).command().output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    (output.status.code(), findings.filter(|finding| finding["id"] == "volumes").cloned().collect())
}

#[test]
fn wrong_owners_are_found_and_left_and_the_hosts_command_is_named() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let file = place.file("file", OTHER, 0o644);
    let before = snapshot(&place.volume);
    let (code, found) = report(place.init());
    // `chown` mode puts them right at a start, `verify` does not: the same is seen, and told as what it means.
    assert_eq!((code, found[0]["status"].as_str()), (Some(0), Some("pass")), "{found:?}");
    let (code, verified) = report(place.init().with("TAKUMI_OWNERSHIP", "verify"));
    assert_eq!((code, verified[0]["status"].as_str()), (Some(0), Some("fail")), "{verified:?}");
    for finding in [&found[0], &verified[0]] {
        assert!(finding["detail"].as_str().unwrap().contains("2 entries not changed: "), "{finding}");
    }
    assert!(verified[0]["fix"].as_str().unwrap().contains("sudo chown -R 61000:61001"), "{verified:?}");
    assert!(found[0]["fix"].is_null(), "nothing to do for what a start puts right: {found:?}");
    assert!(snapshot(&place.volume) == before && owner(&file) == OTHER);
    // The control: a start does change it.
    place.init().run().succeeded();
    assert_eq!(owner(&file), APP);
}

#[test]
fn a_right_volume_and_one_to_be_created_are_held() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    own(&place.volume, APP, 0o755);
    let (code, found) = report(place.init());
    assert_eq!((code, found[0]["status"].as_str(), &found[0]["fix"]), (Some(0), Some("pass"), &Value::Null));
    let new = place.root().join("new");
    let (code, found) = report(Init::on(&new));
    assert_eq!((code, found[0]["status"].as_str()), (Some(0), Some("pass")));
    assert!(found[0]["detail"].as_str().unwrap().contains("created at start") && !new.exists());
}

/// A start's two judgements: before the look neither refuses it, and without a look neither is held.
#[test]
fn volumes_and_nodes_are_unknown_until_somebody_looked() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let nodes = place.directory("nodes", APP, 0o755);
    let required = || place.init().with("TAKUMI_NODES", &nodes).with("TAKUMI_REQUIRE", "volumes,node-scan");
    required().run().succeeded();
    // Without a target nobody looks.
    let unknown = || required().with("TAKUMI_USER", "nobody-of-this-name").running(&["--report", "--json"]);
    let report = Report::of(&unknown().run());
    report.says("unprivileged", "fail", "no user \"nobody-of-this-name\"");
    for (id, words) in [("volumes", "checked at a start"), ("node-scan", "scanned at a start")] {
        assert!(report.says(id, "unknown", words).required, "{report:?}");
    }
}

#[test]
fn what_would_refuse_a_start_is_required_and_missing() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let link = place.root().join("link");
    std::os::unix::fs::symlink(&place.volume, &link).unwrap();
    let (code, found) = report(Init::on(&link));
    assert_eq!(
        (code, found[0]["status"].as_str(), found[0]["required"].as_bool()),
        (Some(1), Some("fail"), Some(true))
    );
    Init::on(&link).run().refused();
}

/// A name may look like the end of a line.
#[test]
fn a_name_with_parentheses_stays_whole_beside_its_fix() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let (volume, link) = (place.root().join("photos (old)"), place.root().join("link (old)"));
    file(&volume.join("file"), OTHER, 0o644);
    own(&volume, OTHER, 0o755);
    std::os::unix::fs::symlink(&volume, &link).unwrap();
    let lacking = || Init::on(&volume).capable_of("-chown");
    for (init, detail, fix) in [
        (lacking(), ": owners are wrong", "the container lacks CAP_CHOWN; add --cap-add CHOWN"),
        (Init::on(&link), " is a symbolic link to ", "use the directory that it points to"),
    ] {
        let (code, found) = report(init);
        assert_eq!((code, &found[0]["fix"]), (Some(1), &fix.into()), "{found:?}");
        let said = found[0]["detail"].as_str().unwrap();
        assert!(said.contains(detail) && said.contains(" (old)"), "{said}");
    }
    let text = lacking().running(&["--report"]).command().output().unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    let expected = format!(
        "{}: owners are wrong (required)\n{:41}fix: the container lacks CAP_CHOWN; add --cap-add CHOWN\n",
        volume.display(),
        ""
    );
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_capability_that_the_drop_lacks_is_foreseen() {
    require!(root, setpriv);
    let place = VolumeFixture::new();
    let output = |set: &str| {
        let init = place.init().capable_of(set).running(&["--report", "--json"]);
        let output = init.command().output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, report) = output("-setuid");
    assert!(code == Some(1) && report.contains("--cap-add SETUID"), "{report}");
    let (code, report) = output(super::support::CONTAINERS);
    assert!(code == Some(0) && !report.contains("--cap-add SET"), "{report}");
}
