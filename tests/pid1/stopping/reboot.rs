//! TAKUMI_REBOOT: ComfyUI-Manager asks for a new start, and gets it in the same container.

use super::{check, image, standin, terminate, until_check_says, with_ladder, work};
use takumi_test::container::Start;
use takumi_test::engine::{Container, Volume, engine};
use takumi_test::image::Image;
use takumi_test::poll::eventually;
use takumi_test::require;

/// COMMAND's id and what belongs to its surroundings.
fn life(container: &Container) -> Option<(String, Vec<String>)> {
    let name = String::from_utf8(container.exec(&["cat", "/proc/1/comm"]).stdout).ok()?;
    let id = name.trim().strip_prefix("init:")?.to_owned();
    let line = format!(
        "tr '\\0' '\\n' </proc/{id}/environ | sort; readlink /proc/{id}/cwd; grep -E 'Umask|SigBlk|SigIgn|Cap|Uid|Gid|Groups|NoNewPrivs' /proc/{id}/status; \
         for fd in 0 1 2; do readlink /proc/{id}/fd/$fd; done; cut -d' ' -f4-8 /proc/{id}/stat"
    );
    let output = engine(&["exec", "--user", "1000", &container.name, "sh", "-c", &line]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // Its group has its own number.
    let last = lines.last_mut()?;
    *last = last.replace(&id, "ID");
    Some((id, lines))
}

#[test]
fn command_is_started_again_in_the_same_container() {
    require!(demo);
    let image = image();
    let start = with_ladder(standin(&image, &[]), "drain:10m,TERM:10m")
        .env("TAKUMI_REBOOT", "comfyui")
        .env("UMASK", "027")
        .env("A", "b c");
    let app = start.app();
    work(&app, 0);
    let history = || app.get("/history").unwrap_or_default();
    eventually("the prompt's end", || history().contains("\"success\"").then_some(()));
    let (first, surroundings) = life(&app.container).unwrap();
    let started = app.container.inspect(".State.StartedAt");
    app.get("/v2/manager/reboot");
    let second = eventually("another COMMAND", || {
        let (id, again) = life(&app.container).filter(|(id, _)| *id != first)?;
        app.get("/prompt")?;
        assert_eq!(again, surroundings);
        Some(id)
    });
    assert_ne!(first, second);
    assert!(surroundings.iter().any(|line| line == "A=b c") && surroundings.iter().any(|line| line.contains("0027")));
    assert_eq!(app.container.inspect(".State.StartedAt"), started);
    assert_eq!(history(), "{}", "it is a new one");
    let kept = String::from_utf8(app.container.exec(&["ls", "/data/output"]).stdout).unwrap();
    assert_eq!(kept.lines().count(), 1, "{kept}");
    // And it is served as the first was.
    let ended = terminate(&app.container);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("ComfyUI is idle"), "{ended:?}");

    // The control: the same end without the setting is the container's.
    let app = standin(&image, &[]).env("__COMFY_CLI_SESSION__", "/tmp/session").app();
    app.get("/v2/manager/reboot");
    let ended = app.container.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout.matches("To see the GUI").count(), 1, "{ended:?}");
}

#[test]
fn the_probe_says_starting_until_the_second_life_listens() {
    require!(demo);
    let image = image();
    let app = standin(&image, &["slow:8"]).env("TAKUMI_REBOOT", "comfyui").app();
    assert_eq!(check(&app.container).0, 0);
    app.get("/v2/manager/reboot");
    until_check_says(&app.container, "starting");
    until_check_says(&app.container, "healthy");
}

#[test]
fn a_loop_of_reboots_ends_with_its_code() {
    require!(demo);
    let image = image();
    let ended = standin(&image, &["loops"]).env("TAKUMI_REBOOT", "comfyui").run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout.matches("Restarting...").count(), 6, "{ended:?}");
    assert!(ended.stderr.contains("too many restarts (6 in 60 s)"), "{ended:?}");
}

/// A COMMAND that counts its lives on the volume and does `first` in the first of them.
fn lives<'a>(image: &'a Image, volume: &Volume, first: &str) -> Start<'a> {
    let line = format!(
        "echo life >>/data/lives; if [ $(wc -l </data/lives) = 1 ]; then {first}; fi; \
         kill -0 $(cat /data/orphan 2>/dev/null) 2>/dev/null && echo orphan >>/data/orphans; exit 0"
    );
    Start::hardened(image).data(volume).env("TAKUMI_REBOOT", "comfyui").shell(&line)
}

fn count(image: &Image, volume: &Volume, file: &str) -> usize {
    volume.root_shell(image, &format!("cat /data/{file} 2>/dev/null || true")).lines().count()
}

#[test]
fn only_a_plain_file_beside_a_code_of_0_is_a_wish() {
    require!(demo);
    let image = image();
    for (first, expected, code) in [
        (": >\"$__COMFY_CLI_SESSION__.reboot\"; exit 0", 2, 0),
        (": >\"$__COMFY_CLI_SESSION__.reboot\"; exit 3", 1, 3),
        ("ln -s /data/planted \"$__COMFY_CLI_SESSION__.reboot\"; exit 0", 1, 0),
        (": >/data/planted; ln -s /data/planted \"$__COMFY_CLI_SESSION__.reboot\"; exit 0", 1, 0),
        ("mkdir \"$__COMFY_CLI_SESSION__.reboot\"; exit 0", 1, 0),
        ("exit 0", 1, 0),
    ] {
        let volume = Volume::new();
        let ended = lives(&image, &volume, first).run();
        assert_eq!((ended.code, count(&image, &volume, "lives")), (code, expected), "{first}: {ended:?}");
    }
}

/// An orphan that SIGTERM does not end, and then the wish.
const WITH_AN_ORPHAN: &str = "setsid sh -c 'trap \"\" TERM; echo $$ >/data/orphan; while :; do sleep 1; done' & \
     until [ -s /data/orphan ]; do sleep 0.1; done; : >\"$__COMFY_CLI_SESSION__.reboot\"; exit 0";

#[test]
fn orphans_of_the_first_life_are_gone() {
    require!(demo);
    let image = image();
    let volume = Volume::new();
    let ended = lives(&image, &volume, WITH_AN_ORPHAN).env("TAKUMI_LEFTOVER_GRACE", "500ms").run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!((count(&image, &volume, "lives"), count(&image, &volume, "orphans")), (2, 0), "{ended:?}");
    // The control: a life that only goes on sees it.
    let volume = Volume::new();
    let alive = WITH_AN_ORPHAN.replace("exit 0", ":");
    let ended = lives(&image, &volume, &alive).env("TAKUMI_LEFTOVER_GRACE", "500ms").run();
    assert!(count(&image, &volume, "orphans") >= 1, "{ended:?}");
}

#[test]
fn a_sigterm_during_the_reboot_ends_the_container() {
    require!(demo);
    let image = image();
    let volume = Volume::new();
    let container = lives(&image, &volume, WITH_AN_ORPHAN).env("TAKUMI_LEFTOVER_GRACE", "10m").spawn();
    container.await_words("requested a restart");
    let ended = terminate(&container);
    assert_eq!((ended.code, count(&image, &volume, "lives")), (0, 1), "{ended:?}");
}
