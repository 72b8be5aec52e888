//! How a report reads: on a pipe, on a terminal, as JSON.

use super::seen::{hardened, report, run};
use serde_json::Value;
use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::program::Ended;
use takumi_test::report::{Finding, Report};
use takumi_test::require;

#[test]
fn a_usual_start_says_what_needs_attention_and_at_debug_all_in_a_table() {
    require!(demo);
    let image = Image::demo();
    let start = |level: &str| {
        let ended = run(&hardened(&image).fresh_data().env("TAKUMI_LOG", level).shell("echo ran"));
        let Ended { code, stdout, stderr } = ended;
        assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
        assert!(stderr.lines().all(|line| line.starts_with("init: ") && line.is_ascii()), "{stderr}");
        stderr
    };
    let all = start("debug");
    let table = rows(&all);
    let shields: Vec<&str> = table.iter().map(|row| row[..10].trim_end()).filter(|name| !name.is_empty()).collect();
    assert_eq!(shields, ["identity", "file", "network", "gpu", "nodes"], "{all}");
    for id in ["user-namespace", "limits", "readonly-root", "volumes"] {
        assert_eq!(
            table.iter().filter(|row| row.get(19..41).is_some_and(|column| column.trim_end() == id)).count(),
            1,
            "{id}: {all}"
        );
    }
    // A fix stands below its finding, in the column of the details.
    let fixes: Vec<&str> = all.lines().filter(|line| line.contains("fix: ")).collect();
    let count = |word: &str| table.iter().filter(|row| row[10..].starts_with(word)).count();
    assert_eq!(fixes.len(), count("fail ") + count("unknown "), "{all}");
    assert!(fixes.iter().all(|line| line.find("fix: ") == Some("init: ".len() + 41)), "{all}");

    let brief = start("info");
    assert!(brief.lines().count() <= 10 && brief.lines().all(|line| line.len() <= 200), "{brief}");
    let attention = rows(&brief);
    assert_eq!(attention.len(), fixes.len(), "{brief}");
    for (row, fix) in attention.iter().zip(&fixes) {
        let (finding, said) = row.split_once(". Fix: ").expect(row);
        assert!(fix.ends_with(&format!("fix: {said}")), "{row}: {fix}");
        assert!(table.iter().any(|row| row[10..] == finding[10..]) && !finding.starts_with(' '), "{row}: {all}");
    }
    let rest = format!("{} checks pass, {} do not apply (init --report shows them)", count("pass "), count("skipped "));
    assert!(brief.lines().any(|line| line == format!("init: {rest}")), "{rest}: {brief}");

    assert_eq!(start("warn"), "");
}

fn rows(stderr: &str) -> Vec<&str> {
    let is_row = |line: &&str| {
        let status = line.get(10..).and_then(|rest| rest.split(' ').next());
        status.is_some_and(|word| ["pass", "fail", "unknown", "skipped"].contains(&word))
    };
    stderr.lines().filter_map(|line| line.strip_prefix("init: ")).filter(is_row).collect()
}

/// What a person reads, made of what scripts read.
fn table(report: &Report) -> String {
    let mut table = String::new();
    for findings in report.findings.chunk_by(|one, next| one.shield == next.shield) {
        let mut shield = findings[0].shield.as_str();
        for finding in findings {
            let required = if finding.refuses() { " (required)" } else { "" };
            let Finding { status, id, detail, .. } = finding;
            table += &format!("{shield:10}{status:9}{id:22}{detail}{required}\n");
            table.extend(finding.fix.iter().map(|fix| format!("{:41}fix: {fix}\n", "")));
            shield = "";
        }
    }
    table
}

#[test]
fn text_and_json_say_the_same() {
    require!(demo);
    let image = Image::demo();
    // Without a volume that a start changes, and without a route that comes late.
    let open =
        || Start::plain(&image).env("TAKUMI_VOLUMES", "").env("TAKUMI_TMPFS", "/tmp").env("TAKUMI_EGRESS", "off");
    let seen = report(open());
    let Ended { stdout: text, .. } = run(&open().command(&["--report"]));
    assert_eq!(table(&seen), text);
    // The shape that scripts read.
    let json: Value = serde_json::from_str(&seen.ended.stdout).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&json), ["findings", "verdict", "version"]);
    for finding in json["findings"].as_array().unwrap() {
        assert_eq!(keys(finding), ["detail", "fix", "id", "required", "shield", "status"]);
        let well = finding["status"] == "pass" || finding["status"] == "skipped";
        assert!(well || finding["fix"].is_string(), "{finding}");
    }
    // A start says them too, one object a line.
    let start = |level: &str| {
        let start = open().env("TAKUMI_LOG_FORMAT", "json").env("TAKUMI_LOG", level).shell("true");
        let Ended { code, stderr, .. } = run(&start);
        assert_eq!(code, 0, "{stderr}");
        let objects: Vec<Value> =
            stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
        assert!(objects.iter().all(|object| object["level"].is_string() && object["message"].is_string()), "{stderr}");
        objects.iter().filter_map(|object| object.get("finding")).cloned().collect::<Vec<Value>>()
    };
    let all = json["findings"].as_array().unwrap();
    assert_eq!(&start("debug"), all);
    let attention = all.iter().filter(|finding| finding["fix"].is_string()).cloned();
    assert_eq!(start("info"), attention.collect::<Vec<_>>());
}

#[test]
fn marks_and_colours_are_for_a_terminal_that_wants_them() {
    require!(demo);
    let image = Image::demo();
    let on_a_terminal = |name: &str, value: &str| {
        // The engine's own pseudo-terminal; both streams come through it.
        let start = hardened(&image)
            .fresh_data()
            .options(&["--tty"])
            .env("TAKUMI_LOG", "debug")
            .env(name, value)
            .shell("echo ran");
        let Ended { code, stdout, stderr } = run(&start);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(stdout.contains("readonly-root"), "{stdout}");
        stdout
    };
    let coloured = on_a_terminal("TERM", "xterm");
    assert!(coloured.contains("\x1b[32m✓ pass") && coloured.contains("\x1b[33m✗ fail"), "{coloured}");
    let (rows, fixes): (Vec<&str>, Vec<&str>) = (
        coloured.lines().filter(|line| line.contains("✗ fail")).collect(),
        coloured.lines().filter(|line| line.contains("fix: ")).collect(),
    );
    assert_eq!(rows.len(), fixes.len(), "{coloured}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb"), ("TAKUMI_LOG_FORMAT", "json")] {
        let plain = on_a_terminal(name, value);
        assert!(!plain.contains('\x1b') && !plain.contains('✓') && !plain.contains('✗'), "{name}: {plain}");
    }
    // The convention is a value that is not empty (no-color.org).
    assert!(on_a_terminal("NO_COLOR", "").contains('✓'));
}
