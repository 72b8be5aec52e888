//! How a report reads: on a pipe, on a terminal, as JSON.

use super::seen::{hardened, report, run};
use serde_json::Value;
use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::program::Ended;
use takumi_test::report::{Finding, Report};
use takumi_test::require;

#[test]
fn a_usual_start_says_it_in_a_table() {
    require!(demo);
    let image = Image::demo();
    let Ended { code, stdout, stderr } = run(&hardened(&image).fresh_data().shell("echo ran"));
    assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines.len() <= 30, "{} lines:\n{stderr}", lines.len());
    assert!(lines.iter().all(|line| line.starts_with("init: ") && line.is_ascii()), "{stderr}");
    let table: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("init: ")).filter(|line| is_row(line)).collect();
    let shields: Vec<&str> = table.iter().map(|row| row[..10].trim_end()).filter(|name| !name.is_empty()).collect();
    assert_eq!(shields, ["identity", "file", "network", "gpu", "nodes"], "{stderr}");
    for id in ["user-namespace", "limits", "readonly-root", "volumes"] {
        assert_eq!(
            table.iter().filter(|row| row.get(19..41).is_some_and(|column| column.trim_end() == id)).count(),
            1,
            "{id}: {stderr}"
        );
    }
    // A fix stands below its finding, in the column of the details.
    let fixes: Vec<&&str> = lines.iter().filter(|line| line.contains("fix: ")).collect();
    assert_eq!(fixes.len(), table.iter().filter(|row| &row[10..17] == "missing").count(), "{stderr}");
    assert!(fixes.iter().all(|line| line.find("fix: ") == Some("init: ".len() + 41)), "{stderr}");
    assert!(lines.iter().all(|line| line.len() <= 200), "{stderr}");

    let Ended { code, stderr, .. } = run(&hardened(&image).fresh_data().env("TAKUMI_LOG", "warn").shell("echo ran"));
    assert_eq!((code, &stderr[..]), (0, ""));
}

fn is_row(line: &str) -> bool {
    ["held", "missing", "unknown", "skipped"]
        .iter()
        .any(|word| line.get(10..).is_some_and(|rest| rest.starts_with(word)))
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
        let well = finding["status"] == "held" || finding["status"] == "skipped";
        assert!(well || finding["fix"].is_string(), "{finding}");
    }
    // A start says them too, one object a line.
    let Ended { code, stderr, .. } = run(&open().env("TAKUMI_LOG_FORMAT", "json").shell("true"));
    assert_eq!(code, 0, "{stderr}");
    let objects: Vec<Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(objects.iter().all(|object| object["level"].is_string() && object["message"].is_string()), "{stderr}");
    let told: Vec<&Value> = objects.iter().filter_map(|object| object.get("finding")).collect();
    assert_eq!(told, json["findings"].as_array().unwrap().iter().collect::<Vec<_>>());
}

#[test]
fn marks_and_colours_are_for_a_terminal_that_wants_them() {
    require!(demo);
    let image = Image::demo();
    let on_a_terminal = |name: &str, value: &str| {
        // The engine's own pseudo-terminal; both streams come through it.
        let start = hardened(&image).fresh_data().options(&["--tty"]).env(name, value).shell("echo ran");
        let Ended { code, stdout, stderr } = run(&start);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(stdout.contains("readonly-root"), "{stdout}");
        stdout
    };
    let coloured = on_a_terminal("TERM", "xterm");
    assert!(coloured.contains("\x1b[32m✓ held") && coloured.contains("\x1b[33m✗ missing"), "{coloured}");
    let (rows, fixes): (Vec<&str>, Vec<&str>) = (
        coloured.lines().filter(|line| line.contains("✗ missing")).collect(),
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
