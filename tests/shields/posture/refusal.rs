//! What a start is refused for, and what it has not done by then.

use super::seen::{hardened, report, run};
use takumi_test::container::Start;
use takumi_test::engine::Volume;
use takumi_test::image::Image;
use takumi_test::program::Ended;
use takumi_test::require;

fn owner(volume: &Volume, image: &Image) -> String {
    volume.root_shell(image, "stat -c %u:%g /data/file")
}

#[test]
fn all_that_is_required_and_missing_is_told_in_one_start() {
    require!(demo);
    let image = Image::demo();
    let volume = Volume::new();
    volume.root_shell(&image, "chown 0:0 /data; echo x > /data/file");
    let open = || {
        let start =
            Start::plain(&image).data(&volume).env("TAKUMI_TMPFS", "/tmp:/run").env("TAKUMI_REQUIRE", "identity,file");
        start.options(&[
            "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--ipc", "host", "-v", "/etc:/srv:ro",
        ])
    };
    let seen = report(open());
    assert_eq!(seen.ended.code, 1, "{}", seen.ended.stdout);
    let refused: Vec<String> =
        seen.findings.iter().filter(|finding| finding.refuses()).map(|f| f.id.to_string()).collect();
    for id in
        ["seccomp", "privileged-container", "host-namespaces", "limits", "readonly-root", "tmpfs", "dangerous-mounts"]
    {
        assert!(refused.iter().any(|each| each == id), "{id} in {refused:?}");
    }
    let Ended { code, stdout, stderr } = run(&open().shell("echo ran"));
    assert_eq!((code, &stdout[..]), (125, ""), "{stderr}");
    let told: Vec<&str> =
        stderr.lines().map(|line| line.strip_prefix("init: error: required check failed: ").expect(line)).collect();
    let ids: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(ids, refused, "the same, in the same order");
    for (line, finding) in told.iter().zip(seen.findings.iter().filter(|finding| finding.refuses())) {
        assert_eq!(*line, format!("{}: {} ({})", finding.id, finding.detail, finding.fix.as_deref().unwrap()));
    }
    assert_eq!(owner(&volume, &image), "0:0", "nothing is changed by a start that is refused");

    // The control: required by nobody, the same start takes the volume and runs.
    let Ended { code, stdout, stderr } = run(&open().env("TAKUMI_REQUIRE", "").shell("echo ran"));
    assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
    assert_eq!(owner(&volume, &image), "1000:1000");
}

#[test]
fn what_is_required_and_held_lets_a_start_go_on() {
    require!(demo);
    let image = Image::demo();
    let require = "seccomp,privileged-container,host-namespaces,runtime-socket,limits,file";
    let start = hardened(&image).fresh_data().env("TAKUMI_CONFINE", "auto").env("TAKUMI_REQUIRE", require);
    let Ended { code, stdout, stderr } = run(&start.shell("echo ran"));
    assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
}

/// What came of the volumes is known only when they were worked on: a file with two names is nobody's to give away.
#[test]
fn the_second_judgement_refuses_too() {
    require!(demo);
    let image = Image::demo();
    let volume = Volume::new();
    volume.root_shell(&image, "echo x > /data/file; ln /data/file /data/link");
    let start = |require: &str| run(&hardened(&image).data(&volume).env("TAKUMI_REQUIRE", require).shell("echo ran"));
    let Ended { code, stdout, stderr } = start("volumes");
    assert_eq!((code, &stdout[..], stderr.lines().count()), (125, "", 1), "{stderr}");
    assert!(
        stderr.starts_with("init: error: required check failed: volumes: /data: 2 entries not changed: "),
        "{stderr}"
    );
    let Ended { code, stdout, stderr } = start("");
    assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
    assert!(stderr.contains("fail     volumes"), "{stderr}");
}

#[test]
fn a_check_that_is_not_to_run_is_skipped_and_may_not_be_required() {
    require!(demo);
    let image = Image::demo();
    let skip = |require: &str| {
        Start::plain(&image)
            .env("TAKUMI_SKIP", "seccomp,limits,readonly-root,runtime-socket")
            .env("TAKUMI_REQUIRE", require)
    };
    let seen = report(skip(""));
    assert_eq!(seen.ended.code, 0, "{}", seen.ended.stderr);
    for id in ["seccomp", "limits", "readonly-root", "runtime-socket"] {
        seen.is(id, "skipped", "skipped by TAKUMI_SKIP");
    }
    let Ended { code, stdout, stderr } = run(&skip("limits").shell("echo ran"));
    assert_eq!((code, &stdout[..]), (125, ""), "{stderr}");
    assert!(stderr.contains("TAKUMI_SKIP") && stderr.contains("limits"), "{stderr}");
    let Ended { code, stderr, .. } = run(&Start::plain(&image).env("TAKUMI_SKIP", "capabilities").shell("echo ran"));
    assert!(code == 125 && stderr.contains("TAKUMI_SKIP"), "{stderr}");
}

#[test]
fn the_report_says_by_its_code_whether_a_start_is_refused() {
    require!(demo);
    let image = Image::demo();
    let code = |name: &str, value: &str| run(&Start::plain(&image).env(name, value).command(&["--report"]));
    let Ended { code: status, stdout: text, stderr } = code("TAKUMI_LOG", "warn");
    assert_eq!((status, &stderr[..]), (0, ""));
    assert!(text.contains("fail     readonly-root"), "what is missing and not required: {text}");
    let Ended { code: status, stdout: text, .. } = code("TAKUMI_REQUIRE", "readonly-root");
    assert_eq!(status, 1);
    assert!(text.contains("/ is writable (required)"), "{text}");
    let Ended { code: status, stdout: text, stderr } = code("TAKUMI_REQUIRE", "readonly");
    assert_eq!((status, &text[..]), (1, ""));
    assert!(stderr.contains("TAKUMI_REQUIRE"), "{stderr}");
    let Ended { code: status, stdout: text, .. } = code("TAKUMI_USER", "root");
    assert_eq!(status, 1);
    assert!(text.contains("fail     unprivileged") && text.contains("(required)"), "{text}");
}

#[test]
fn an_ordinary_user_sees_the_same() {
    require!(demo);
    let image = Image::demo();
    let data = ["--env", "TAKUMI_VOLUMES=", "--user", "1000:1000"];
    let start = || hardened(&image).capabilities(&[]).options(&data);
    let seen = report(start());
    assert_eq!((seen.ended.code, &seen.ended.stderr[..]), (0, ""), "{}", seen.ended.stdout);
    seen.held(&[
        "unprivileged", "capabilities", "no-new-privileges", "seccomp", "privileged-container", "host-namespaces",
    ]);
    seen.held(&[
        "runtime-socket", "limits", "readonly-root", "tmpfs", "baked-paths", "dangerous-mounts", "masked-paths",
    ]);
    let open = Start::plain(&image).options(&data).options(&["--ipc", "host", "--security-opt", "seccomp=unconfined"]);
    let seen = report(open.env("TAKUMI_BAKED", "/data"));
    seen.missing("seccomp", "no seccomp filter")
        .missing("host-namespaces", "shared with the host: shared memory")
        .missing("readonly-root", "/ is writable");
    let Ended { code, stdout, stderr } = run(&start()
        .env("TAKUMI_CONFINE", "auto")
        .env("TAKUMI_REQUIRE", "file,seccomp,limits")
        .shell("id -u; ls /run"));
    assert_eq!((code, &stdout[..]), (0, "1000\n"), "no state file, and no other: {stderr}");
}
