//! scripts/scan_image.sh: what it counts, what it lets pass, when it fails. The vulnerability database is out of reach of a test: Trivy
//! itself looks here for what needs none, keys that lie about and the image's own settings.

use crate::crates::image_of;
use crate::tools::{ROOT, release, trivy};
use std::path::{Path, PathBuf};
use std::process::Command;
use takumi_test::engine::{Ended, ask};
use takumi_test::folder::Folder;
use takumi_test::program::run;
use takumi_test::require;

/// Made up in the form of the real ones, in two parts, so that no scanner of this repository stumbles over them.
fn planted() -> String {
    let (key, secret) =
        (["AKIA", "QYLPMN5HHHFPZAM2"].concat(), ["hK8mXq3Zr7Tn2Lp9Vw4Y", "c6Jd1Fs5Gb0EaUiOuRtX"].concat());
    format!("aws_access_key_id = {key}\naws_secret_access_key = \"{secret}\"\n")
}

fn program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

struct Scan {
    folder: Folder,
    archive: PathBuf,
}

impl Scan {
    /// Of an archive with a key left in it.
    fn of_planted_key() -> Scan {
        Scan::of(|folder| {
            let path = folder.join("left.env");
            std::fs::write(&path, planted()).unwrap();
            path
        })
    }

    fn of(file: impl Fn(&Path) -> PathBuf) -> Scan {
        let folder = Folder::new();
        let image = image_of(&[(&file(&folder.0), "left.env")]);
        let archive = folder.join("image.tar");
        ask(&["save", "--output", archive.to_str().unwrap(), &image.name]);
        // The SBOM is what crates.rs looks at; here it would cost each scan some seconds.
        let syft = "#!/bin/sh\nfor word; do case $word in *=*) echo '{}' > \"${word#*=}\" ;; esac; done\n";
        program(&folder.join("syft"), syft);
        Scan { folder, archive }
    }

    fn ignoring(&self, lines: &str) -> PathBuf {
        let path = self.folder.join("ignore.txt");
        std::fs::write(&path, lines).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(ROOT).join("scripts/scan_image.sh"));
        command
            .args(["--scanners", "secret", "--output", self.folder.join("out").to_str().unwrap()])
            .args(arguments)
            .arg(&self.archive)
            .env("SYFT", self.folder.join("syft"))
            .env("TRIVY", trivy())
            // Its checks of settings are built in; newer ones would be fetched.
            .env("TRIVY_SKIP_CHECK_UPDATE", "true")
            .env("TRIVY_SKIP_VERSION_CHECK", "true")
            .env("TRIVY_CACHE_DIR", self.folder.join("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments))
    }
}

/// The numbers of a row of the table.
fn row(output: &Ended, scanner: &str) -> Vec<u32> {
    let said = output.text();
    let line =
        said.lines().find(|line| line.starts_with(scanner)).unwrap_or_else(|| panic!("no row {scanner}: {said}"));
    line[scanner.len()..].split_whitespace().map(|word| word.parse().unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn day(ahead: &str) -> String {
    run(Command::new("date").args(["-u", "-d", ahead, "+%F"])).stdout.trim().to_owned()
}

#[test]
fn a_finding_at_the_threshold_fails_and_below_it_does_not() {
    require!(pip3, docker, jq);
    let scan = Scan::of_planted_key();
    let none = scan.ignoring("# nothing\n");
    let none = none.to_str().unwrap();
    let output = scan.run(&["--ignore", none]).ends_with(3);
    // The two halves of the key; no HEALTHCHECK (LOW); and Trivy's finding that a container starts as root (HIGH).
    assert_eq!(row(&output, "trivy"), [2, 1, 0, 1, 0, 0, 0], "{}", output.text());
    for words in ["critical  aws-access-key-id", "critical  aws-secret-access-key", "high      DS-0002"] {
        assert!(output.text().contains(words), "expected '{words}': {}", output.text());
    }
    let sarif = std::fs::read_to_string(scan.folder.join("out/trivy.sarif")).unwrap();
    assert!(sarif.contains("aws-access-key-id"), "{sarif}");
    for threshold in ["critical", "low"] {
        let output = scan.run(&["--ignore", none, "--threshold", threshold]).ends_with(3);
        assert_eq!(output.text().contains("low       DS-0026"), threshold == "low", "{}", output.text());
    }
    scan.run(&["--ignore", none, "--threshold", "none"]).ends_with(0);

    // The control: the release binary instead of the key, with the project's own exceptions.
    let scan = Scan::of(|_| release().to_owned());
    let output = scan.run(&[]).ends_with(0);
    assert_eq!(row(&output, "trivy"), [0, 0, 0, 1, 0, 0, 1], "{}", output.text());
}

#[test]
fn what_is_ignored_is_counted_apart_until_its_end() {
    require!(pip3, docker, jq);
    let scan = Scan::of_planted_key();
    let entries = |end: &str| {
        let ids = ["aws-access-key-id", "aws-secret-access-key", "DS-0002"];
        ids.map(|id| format!("{id}  exp:{end}  it is made up\n")).concat()
    };
    let output = scan.run(&["--ignore", scan.ignoring(&entries(&day("tomorrow"))).to_str().unwrap()]).ends_with(0);
    assert_eq!(row(&output, "trivy"), [0, 0, 0, 1, 0, 0, 3], "{}", output.text());
    let sarif = std::fs::read_to_string(scan.folder.join("out/trivy.sarif")).unwrap();
    assert!(!sarif.contains("aws-access-key-id"), "the security tab would show what is ignored: {sarif}");

    let output = scan.run(&["--ignore", scan.ignoring(&entries(&day("today"))).to_str().unwrap()]).ends_with(3);
    assert_eq!(row(&output, "trivy"), [2, 1, 0, 1, 0, 0, 0], "{}", output.text());
    assert!(output.text().contains("is no longer ignored"), "{}", output.text());
}

#[test]
fn an_exception_without_an_end_or_a_reason_is_refused() {
    require!(pip3, docker, jq);
    let scan = Scan::of_planted_key();
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
        scan.run(&["--ignore", scan.ignoring(line).to_str().unwrap()]).ends_with(1).says(why);
    }
    let right = scan.ignoring(&format!("CVE-2026-0001 exp:{soon} a reason of some words\n"));
    scan.run(&["--sbom", "--ignore", right.to_str().unwrap()]).ends_with(0);
}

#[test]
fn no_answer_is_no_good_answer() {
    require!(pip3, docker, jq);
    let scan = Scan::of(|_| release().to_owned());
    run(scan.command(&[]).env("TRIVY", "no-such-program")).ends_with(1).says("no scanner is installed");
    // What Trivy does without its database.
    run(scan.command(&[]).env("TRIVY", "/bin/false")).ends_with(1).says("trivy failed");
    run(scan.command(&[]).env("SYFT", "/bin/false")).ends_with(1);
    run(&mut scan.command(&["--threshold", "hihg"])).ends_with(2);
}

/// Scout is no free program that a test could install: a stand-in answers with a report in Scout's form.
#[test]
fn scouts_report_is_counted_by_severity() {
    require!(pip3, docker, jq);
    let scan = Scan::of(|_| release().to_owned());
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
    let report = scan.folder.join("report.sarif");
    let sarif = |rules: &[String], results: &[String]| {
        let (rules, results) = (rules.join(","), results.join(","));
        format!(
            r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"docker scout","rules":[{rules}]}}}},"results":[{results}]}}]}}"#
        )
    };
    let docker = scan.folder.join("docker");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n'scout version' | 'scout quickview archive://'*) ;;\n\
         'scout cves --format sarif --output '*) cp '{}' \"$6\" ;;\n*) exit 1 ;;\nesac\n",
        report.display()
    );
    program(&docker, &script);
    let ask = |arguments: &[&str]| {
        run(scan.command(arguments).env("CONTAINER_ENGINE", &docker).env("TRIVY", "no-such-program"))
    };

    std::fs::write(&report, sarif(&rules, &results)).unwrap();
    let ignore = scan.ignoring(&format!("CVE-2026-0003  exp:{}  it is made up\n", day("tomorrow")));
    let ignore = ignore.to_str().unwrap();
    let output = ask(&["--ignore", ignore]).ends_with(3);
    assert_eq!(row(&output, "docker scout"), [1, 1, 0, 0, 1, 1, 1], "{}", output.text());
    assert!(!output.text().contains("critical  CVE-2026-0001"), "no version fixes it yet: {}", output.text());
    ask(&["--ignore", ignore, "--threshold", "critical"]).ends_with(0);
    ask(&["--ignore", ignore, "--threshold", "critical", "--unfixed"]).ends_with(3);
    // An empty report is no clean one.
    for empty in ["", "{}", r#"{"runs":[]}"#] {
        std::fs::write(&report, empty).unwrap();
        ask(&["--ignore", ignore]).ends_with(1);
    }
    std::fs::write(&report, sarif(&[], &[])).unwrap();
    assert_eq!(ask(&["--ignore", ignore]).code, 0);
}
