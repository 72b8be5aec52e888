//! scripts/scan_image.sh: what it counts, what it lets pass, when it fails. The vulnerability database is out of reach of a test: Trivy
//! itself looks here for what needs none, keys that lie about and the image's own settings.

use crate::crates::image_of;
use crate::engine::{Folder, Image};
use crate::tools::{ROOT, release, run, text, tools, trivy};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Made up in the form of the real ones, in two parts, so that no scanner of this repository stumbles over them.
fn planted() -> String {
    let (key, secret) =
        (["AKIA", "QYLPMN5HHHFPZAM2"].concat(), ["hK8mXq3Zr7Tn2Lp9Vw4Y", "c6Jd1Fs5Gb0EaUiOuRtX"].concat());
    format!("aws_access_key_id = {key}\naws_secret_access_key = \"{secret}\"\n")
}

struct Scan {
    folder: Folder,
    archive: PathBuf,
    tools: &'static Path,
}

impl Scan {
    /// Of an archive with a key left in it.
    fn of_planted_key() -> Option<Scan> {
        Scan::of(|folder| {
            let path = folder.join("left.env");
            std::fs::write(&path, planted()).unwrap();
            path
        })
    }

    fn of(file: impl Fn(&Path) -> PathBuf) -> Option<Scan> {
        let tools = tools()?;
        let folder = Folder::new();
        let image: Image = image_of(&[(&file(&folder.0), "left.env")])?;
        let archive = folder.0.join("image.tar");
        crate::engine::ask(&["save", "--output", archive.to_str().unwrap(), &image.name]);
        Some(Scan { folder, archive, tools })
    }

    fn ignoring(&self, lines: &str) -> PathBuf {
        let path = self.folder.0.join("ignore.txt");
        std::fs::write(&path, lines).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(ROOT).join("scripts/scan_image.sh"));
        command
            .args(["--scanners", "secret", "--output", self.folder.0.join("out").to_str().unwrap()])
            .args(arguments)
            .arg(&self.archive)
            .env("SYFT", self.tools.join("bin/syft"))
            .env("TRIVY", trivy(self.tools))
            // Its checks of settings are built in; newer ones would be fetched.
            .env("TRIVY_SKIP_CHECK_UPDATE", "true")
            .env("TRIVY_SKIP_VERSION_CHECK", "true")
            .env("TRIVY_CACHE_DIR", self.folder.0.join("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }
}

/// The numbers of a row of the table.
fn row(output: &Output, scanner: &str) -> Vec<u32> {
    let said = text(output);
    let line =
        said.lines().find(|line| line.starts_with(scanner)).unwrap_or_else(|| panic!("no row {scanner}: {said}"));
    line[scanner.len()..].split_whitespace().map(|word| word.parse().unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn day(ahead: &str) -> String {
    String::from_utf8(run(Command::new("date").args(["-u", "-d", ahead, "+%F"])).stdout).unwrap().trim().to_owned()
}

#[test]
fn a_finding_at_the_threshold_fails_and_below_it_does_not() {
    let Some(scan) = Scan::of_planted_key() else { return };
    let none = scan.ignoring("# nothing\n");
    let none = none.to_str().unwrap();
    let output = scan.run(&["--ignore", none]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    // The two halves of the key; no HEALTHCHECK (LOW); and Trivy's finding that a container starts as root (HIGH).
    assert_eq!(row(&output, "trivy"), [2, 1, 0, 1, 0, 0, 0], "{}", text(&output));
    for words in ["critical  aws-access-key-id", "critical  aws-secret-access-key", "high      DS-0002"] {
        assert!(text(&output).contains(words), "expected '{words}': {}", text(&output));
    }
    let sarif = std::fs::read_to_string(scan.folder.0.join("out/trivy.sarif")).unwrap();
    assert!(sarif.contains("aws-access-key-id"), "{sarif}");
    for threshold in ["critical", "low"] {
        let output = scan.run(&["--ignore", none, "--threshold", threshold]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert_eq!(text(&output).contains("low       DS-0026"), threshold == "low", "{}", text(&output));
    }
    let output = scan.run(&["--ignore", none, "--threshold", "none"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));

    // The control: the release binary instead of the key, with the project's own exceptions.
    let Some(scan) = Scan::of(|_| release().to_owned()) else { return };
    let output = scan.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(row(&output, "trivy"), [0, 0, 0, 1, 0, 0, 1], "{}", text(&output));
}

#[test]
fn what_is_ignored_is_counted_apart_until_its_end() {
    let Some(scan) = Scan::of_planted_key() else { return };
    let entries = |end: &str| {
        let ids = ["aws-access-key-id", "aws-secret-access-key", "DS-0002"];
        ids.map(|id| format!("{id}  exp:{end}  it is made up\n")).concat()
    };
    let output = scan.run(&["--ignore", scan.ignoring(&entries(&day("tomorrow"))).to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(row(&output, "trivy"), [0, 0, 0, 1, 0, 0, 3], "{}", text(&output));
    let sarif = std::fs::read_to_string(scan.folder.0.join("out/trivy.sarif")).unwrap();
    assert!(!sarif.contains("aws-access-key-id"), "the security tab would show what is ignored: {sarif}");

    let output = scan.run(&["--ignore", scan.ignoring(&entries(&day("today"))).to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert_eq!(row(&output, "trivy"), [2, 1, 0, 1, 0, 0, 0], "{}", text(&output));
    assert!(text(&output).contains("is ignored no more"), "{}", text(&output));
}

#[test]
fn an_exception_without_an_end_or_a_reason_is_refused() {
    let Some(scan) = Scan::of_planted_key() else { return };
    let (soon, late) = (day("1 month"), day("13 months"));
    let wrong = [
        ("CVE-2026-0001", "has no end"),
        ("CVE-2026-0001 a reason of some words", "has no end"),
        ("CVE-2026-0001 exp:2026-13-01 a reason of some words", "has no end"),
        (&format!("CVE-2026-0001 exp:{soon}"), "has no reason"),
        (&format!("CVE-2026-0001 exp:{soon} because"), "has no reason"),
        (&format!("CVE-2026-0001 exp:{late} a reason of some words"), "more than a year ahead"),
    ];
    for (line, why) in wrong {
        let output = scan.run(&["--ignore", scan.ignoring(line).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "'{line}': {}", text(&output));
        assert!(text(&output).contains(why), "'{line}': {}", text(&output));
    }
    let right = scan.ignoring(&format!("CVE-2026-0001 exp:{soon} a reason of some words\n"));
    let output = scan.run(&["--sbom", "--ignore", right.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn no_answer_is_no_good_answer() {
    let Some(scan) = Scan::of(|_| release().to_owned()) else { return };
    let output = run(scan.command(&[]).env("TRIVY", "no-such-program"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("no scanner is installed"), "{}", text(&output));
    // What Trivy does without its database.
    let output = run(scan.command(&[]).env("TRIVY", "/bin/false"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("trivy failed"), "{}", text(&output));
    let output = run(scan.command(&[]).env("SYFT", "/bin/false"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let output = run(&mut scan.command(&["--threshold", "hihg"]));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

/// Scout is no free program that a test could install: a stand-in answers with a report in Scout's form.
#[test]
fn scouts_report_is_counted_by_severity() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(scan) = Scan::of(|_| release().to_owned()) else { return };
    let rule = |id: &str, severity: &str, fixed: &str| {
        format!(
            r#"{{"id":"{id}","properties":{{"cvssV3_severity":"{severity}","fixed_version":"{fixed}","purls":["pkg:deb/debian/x@1"]}}}}"#
        )
    };
    let rules = [
        rule("CVE-2026-0001", "CRITICAL", "not fixed"),
        rule("CVE-2026-0002", "HIGH", "2"),
        rule("CVE-2026-0003", "HIGH", "2"),
        rule("CVE-2026-0004", "UNSPECIFIED", "2"),
    ];
    let results = ["0001", "0002", "0003", "0004"].map(|number| format!(r#"{{"ruleId":"CVE-2026-{number}"}}"#));
    let report = scan.folder.0.join("report.sarif");
    let sarif = |rules: &[String], results: &[String]| {
        let (rules, results) = (rules.join(","), results.join(","));
        format!(
            r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"docker scout","rules":[{rules}]}}}},"results":[{results}]}}]}}"#
        )
    };
    let docker = scan.folder.0.join("docker");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n'scout version' | 'scout quickview archive://'*) ;;\n\
         'scout cves --format sarif --output '*) cp '{}' \"$6\" ;;\n*) exit 1 ;;\nesac\n",
        report.display()
    );
    std::fs::write(&docker, script).unwrap();
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ask = |arguments: &[&str]| {
        run(scan.command(arguments).env("CONTAINER_ENGINE", &docker).env("TRIVY", "no-such-program"))
    };

    std::fs::write(&report, sarif(&rules, &results)).unwrap();
    let ignore = scan.ignoring(&format!("CVE-2026-0003  exp:{}  it is made up\n", day("tomorrow")));
    let ignore = ignore.to_str().unwrap();
    let output = ask(&["--ignore", ignore]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert_eq!(row(&output, "docker scout"), [1, 1, 0, 0, 1, 1, 1], "{}", text(&output));
    assert!(!text(&output).contains("critical  CVE-2026-0001"), "no version fixes it yet: {}", text(&output));
    let output = ask(&["--ignore", ignore, "--threshold", "critical"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output = ask(&["--ignore", ignore, "--threshold", "critical", "--unfixed"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    // An empty report is no clean one.
    for empty in ["", "{}", r#"{"runs":[]}"#] {
        std::fs::write(&report, empty).unwrap();
        let output = ask(&["--ignore", ignore]);
        assert_eq!(output.status.code(), Some(1), "'{empty}': {}", text(&output));
    }
    std::fs::write(&report, sarif(&[], &[])).unwrap();
    assert_eq!(ask(&["--ignore", ignore]).status.code(), Some(0));
}
