//! The check as engines run it.

use std::process::Command;
use takumi_test::container::Start;
use takumi_test::engine::{Container, Ended, Volume, ask, engine};
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::podman::{Loaded, podman};
use takumi_test::poll::eventually;
use takumi_test::require;

const URL: &str = "http://127.0.0.1:8188/prompt";

fn start(image: &Image) -> Start<'_> {
    Start::hardened(image).fresh_data().env("TAKUMI_HEALTH_URL", URL).env("TAKUMI_HEALTH_TIMEOUT", "5s")
}

/// A check inside; `options` are the engine's.
fn check(container: &Container, options: &[&str]) -> Ended {
    let words = [&["exec"], options, &[&container.name, "/init", "--check"]].concat();
    Ended::from(engine(&words).output().unwrap())
}

#[track_caller]
fn expect(container: &Container, options: &[&str], state: &str) -> String {
    let checked = check(container, options).ends_with(i32::from(!matches!(state, "healthy" | "busy")));
    assert!(checked.stdout.starts_with(&format!("{state}: ")), "{options:?}: {checked:?}");
    checked.text()
}

fn until_healthy(container: &Container) {
    eventually("a healthy check", || {
        assert!(container.is_running(), "it ended: {:?}", container.logs());
        let checked = check(container, &[]);
        let well = checked.code == 0;
        // What is starting may become healthy; nothing else will.
        let may_be = checked.stdout.starts_with("starting: ") || checked.text().contains("is not running");
        assert!(well || may_be, "{checked:?}");
        well.then_some(())
    });
}

/// A volume that a start as uid 1000 can use.
fn of_the_user(image: &Image) -> Volume {
    let volume = Volume::new();
    volume.root_shell(image, "touch /data/here && chown -R 1000:1000 /data");
    volume
}

#[test]
fn the_engines_own_health_check_becomes_healthy() {
    require!(demo);
    let image = Image::demo();
    let lines = format!(
        "ENV TAKUMI_HEALTH_URL={URL} TAKUMI_HEALTH_TIMEOUT=5s\n\
         HEALTHCHECK --interval=1s --timeout=10s --start-period=1s --retries=1 CMD [\"/init\", \"--check\"]\n"
    );
    let checked = Image::build("health", &image.name, &lines, &[]);

    let status = |container: &Container, wanted: &str| {
        eventually(wanted, || (container.inspect(".State.Health.Status") == wanted).then_some(()));
    };
    let container = Start::hardened(&checked).fresh_data().spawn();
    status(&container, "healthy");
    // As a start as an ordinary user, too.
    let volume = of_the_user(&image);
    let ordinary = Start::hardened(&checked).data(&volume).options(&["--user", "1000:1000"]).capabilities(&[]).spawn();
    status(&ordinary, "healthy");
    // The control: the same check of a COMMAND that does not listen.
    let control = Start::hardened(&checked).fresh_data().command(&["sleep", "600"]).spawn();
    status(&control, "unhealthy");
    let said = control.inspect("json .State.Health.Log");
    assert!(said.contains("starting: COMMAND is process"), "{said}");
}

#[test]
fn an_exec_works_as_root_and_as_any_user() {
    require!(demo);
    let image = Image::demo();
    let container = start(&image).spawn();
    until_healthy(&container);
    for options in
        [&[][..], &["--user", "1000"], &["--user", "1000:1000"], &["--user", "4242"], &["--user", "nobody"], &["--tty"]]
    {
        let text = expect(&container, options, "healthy");
        assert!(text.starts_with("healthy: COMMAND is process "), "{options:?}: {text}");
        assert!(!text.contains("only from /proc"), "{options:?}: {text}");
    }
    // Root beside COMMAND, as `docker exec` makes it, is not COMMAND.
    container.exec_detached(&[], &["sleep", "600"]);
    expect(&container, &[], "healthy");
    // A setting that is none.
    check(&container, &["--env", "TAKUMI_HEALTH_URL=ftp://x"]).ends_with(1);
}

#[test]
fn an_ordinary_start_and_one_without_a_place_for_the_report_are_checked_by_proc() {
    require!(demo);
    let image = Image::demo();
    let volume = of_the_user(&image);
    let ordinary = Start::hardened(&image)
        .data(&volume)
        .env("TAKUMI_HEALTH_URL", URL)
        .options(&["--user", "1000:1000"])
        .capabilities(&[])
        .spawn();
    until_healthy(&ordinary);
    assert!(expect(&ordinary, &[], "healthy").contains("only from /proc"));
    let bare = Start::bare(&image).fresh_data().env("TAKUMI_HEALTH_URL", URL).spawn();
    until_healthy(&bare);
    assert!(expect(&bare, &[], "healthy").contains("only from /proc"));
    assert!(expect(&bare, &["--user", "1000"], "healthy").contains("only from /proc"));
}

#[test]
fn an_init_that_is_not_pid_1_is_found() {
    require!(demo);
    let image = Image::demo();
    let under_another = start(&image).options(&["--init"]).spawn();
    until_healthy(&under_another);
    let text = expect(&under_another, &[], "healthy");
    assert!(!text.contains("only from /proc"), "{text}");
    let without_a_report = Start::bare(&image).fresh_data().env("TAKUMI_HEALTH_URL", URL).options(&["--init"]).spawn();
    until_healthy(&without_a_report);
    assert!(expect(&without_a_report, &[], "healthy").contains("only from /proc"));
    // In the pid namespace of another container, whose `init` is older and whose COMMAND is another.
    let shared = start(&image).options(&["--pid", &format!("container:{}", under_another.name)]).spawn();
    until_healthy(&shared);
    let of_shared = expect(&shared, &[], "healthy");
    assert_ne!(of_shared, expect(&under_another, &[], "healthy"), "each finds its own");
}

#[test]
fn a_stopped_and_an_ended_app_are_told_apart() {
    require!(demo);
    let image = Image::demo();
    let container = start(&image).spawn();
    until_healthy(&container);
    let command = expect(&container, &[], "healthy");
    let command = command.split("process ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    ask(&[
        "exec",
        "--user",
        "1000",
        &container.name,
        "python3",
        "-c",
        &format!("import os, signal; os.kill({command}, signal.SIGSTOP)"),
    ]);
    eventually("a stop", || (check(&container, &[]).code == 1).then_some(()));
    expect(&container, &[], "hung");
}

#[test]
fn a_required_finding_that_is_lost_makes_it_unhealthy() {
    require!(demo, root, nsenter);
    let image = Image::demo();
    let container = start(&image).env("TAKUMI_REQUIRE", "readonly-root,volumes").spawn();
    until_healthy(&container);
    let text = expect(&container, &[], "healthy");
    assert_eq!(text.lines().count(), 1, "{text}");
    let pid = container.inspect(".State.Pid");
    // As the engine made it read-only: by a remount of the mount alone (MS_REMOUNT | MS_BIND, and MS_RDONLY).
    let remount = |place: &str, read_only: u32| {
        let line = format!(
            "import ctypes; exit(-ctypes.CDLL(None).mount(None, b'{place}', None, {}, None))",
            32 | 4096 | read_only
        );
        let words = ["--target", &pid, "--mount", "--", "/usr/bin/python3", "-c", &line];
        let done = Command::new("nsenter").args(words).output().unwrap();
        assert!(done.status.success(), "{place}: {}", String::from_utf8_lossy(&done.stderr));
    };
    remount("/", 0);
    let text = expect(&container, &[], "unhealthy");
    assert!(text.contains("readonly-root fail: ") && text.contains("fix: "), "{text}");
    remount("/", 1);
    expect(&container, &[], "healthy");
    remount("/data", 1);
    let text = expect(&container, &[], "unhealthy");
    assert!(text.contains("volumes fail: /data is no longer writable"), "{text}");
}

/// What only root sees, or only a start has, must not read as lost to a check that has dropped.
#[test]
fn whatever_a_start_held_holds_for_every_user_of_the_check() {
    require!(demo);
    let image = Image::demo();
    let required = "unprivileged,seccomp,privileged-container,host-namespaces,runtime-socket,limits,readonly-root,baked-paths,\
                    dangerous-mounts,masked-paths,volumes,proxy-environment,tmpfs";
    let container = Start::bare(&image)
        .fresh_data()
        .options(&["--tmpfs", "/run:rw,nosuid,nodev,noexec,mode=755,size=16m", "--ulimit", "core=0"])
        .env("TAKUMI_HEALTH_URL", URL)
        .env("TAKUMI_TMPFS", "/run")
        .env("TAKUMI_BAKED", "/app")
        .env("TAKUMI_REQUIRE", &required.split_whitespace().collect::<String>())
        .spawn();
    until_healthy(&container);
    for options in [&[][..], &["--user", "1000"], &["--user", "4242"]] {
        let checked = check(&container, options);
        let (code, text) = (checked.code, checked.text());
        let findings = text.lines().skip(1).collect::<Vec<_>>();
        // A volume is the user's alone: another user cannot write it, and says so.
        let lost = if options.contains(&"4242") { &["volumes fail: "][..] } else { &[] };
        assert_eq!(code, i32::from(!lost.is_empty()), "{options:?}: {text}");
        assert_eq!(findings.len(), lost.len(), "{options:?}: {text}");
        assert!(findings.iter().zip(lost).all(|(line, lost)| line.starts_with(lost)), "{text}");
    }
}

/// A daemon-reload of systemd writes the engine's device rules anew, without those that a hook had added behind its back.
#[test]
fn a_gpu_that_a_daemon_reload_took_away_makes_it_unhealthy() {
    require!(demo, root);
    let image = Image::demo();
    // A node with the name of a GPU's and a driver that every machine has (1:9, urandom).
    let folder = Folder::new();
    let node = folder.join("nvidia0");
    assert!(Command::new("mknod").args(["-m", "666"]).arg(&node).args(["c", "1", "9"]).status().unwrap().success());
    let device = format!("{}:/dev/nvidia0", node.display());
    let container = start(&image).options(&["--device", &device]).spawn();
    until_healthy(&container);
    expect(&container, &[], "healthy");
    takumi_test::devices::deny(&container.inspect(".State.Pid"), 9);
    for options in [&[][..], &["--user", "1000"]] {
        let text = expect(&container, options, "unhealthy");
        assert!(text.contains("gpu-access fail: ") && text.contains("daemon-reload"), "{text}");
        assert!(text.contains("fix: ") && text.contains("nvidia-ctk"), "{text}");
    }
}

#[test]
fn podman_execs_it_and_runs_it_as_its_health_check() {
    require!(demo, podman, runc);
    let image = Image::demo();
    let start = start(&image).options(&["--health-cmd", "[\"/init\", \"--check\"]"]);
    let loaded = Loaded::new(&image);
    let (pod, started) = loaded.run(&["--detach"], &start);
    started.ends_with(0);
    let name = pod.name.as_str();
    eventually("a healthy check", || (podman(&["exec", name, "/init", "--check"]).code == 0).then_some(()));
    let as_user = podman(&["exec", "--user", "1000", name, "/init", "--check"]);
    assert!(as_user.stdout.starts_with("healthy: COMMAND is process "), "{as_user:?}");
    podman(&["healthcheck", "run", name]).ends_with(0);
}
