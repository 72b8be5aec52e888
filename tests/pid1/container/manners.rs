//! The contract as seen through the engine: codes, terminals, output, and starts that are not the usual one.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use takumi_test::container::Start;
use takumi_test::engine::{Container, Volume, ask, engine};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::Image;
use takumi_test::poll::eventually;
use takumi_test::require;

#[test]
fn codes_are_commands_own_or_125_126_127() {
    require!(demo);
    let image = Image::demo();
    let start = || Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "error");
    assert_eq!(start().shell("exit 7").run().code, 7);
    assert_eq!(start().shell("kill -USR1 $$").run().code, 128 + 10);
    assert_eq!(start().command(&["/nowhere"]).run().code, 127);
    assert_eq!(start().command(&["/etc/passwd"]).run().code, 126);
    // --entrypoint resets the image's COMMAND.
    start().options(&["--entrypoint", "/init"]).run().expect_refusal(&["COMMAND"]);
    start().command(&["--no-such-option"]).run().expect_refusal(&["--no-such-option"]);
}

#[test]
fn a_limit_that_forbids_the_fork_is_a_refusal() {
    require!(demo);
    let image = Image::demo();
    let start =
        |limit| Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "error").options(&["--pids-limit", limit]);
    start("1").shell("true").run().expect_refusal(&[]);
    assert_eq!(start("2").shell("true").run().code, 0, "control: with room for COMMAND it starts");
}

#[test]
fn a_healthy_start_says_nothing_at_warn() {
    require!(demo);
    let image = Image::demo();
    let start = || Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "warn").shell("echo out; echo err >&2");
    for options in [[].as_slice(), &["--init"], &["--pid", "host"]] {
        let ended = start().options(options).run();
        assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (0, "out\n", "err\n"), "under {options:?}");
    }
}

#[test]
fn a_read_only_root_without_tmpfs_is_enough() {
    require!(demo);
    let image = Image::demo();
    let ended = Start::bare(&image).fresh_data().shell("echo ran; touch /run/x 2>/dev/null || echo refused").run();
    assert_eq!((ended.code, &*ended.stdout), (0, "ran\nrefused\n"), "{ended:?}");
}

#[test]
fn stdout_can_be_opened_again() {
    require!(demo, "tini-static", gosu);
    let image = Image::demo();
    let line = "echo out > /dev/stdout; echo err > /dev/stderr";
    let ended = Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "warn").shell(line).run();
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (0, "out\n", "err\n"));

    let classic = Image::classic();
    let ended = Start::hardened(&classic).fresh_data().shell(line).run();
    assert!(ended.stderr.contains("Permission denied"), "control: gosu leaves the pipes to root: {ended:?}");
}

#[test]
fn ctrl_c_on_a_terminal_reaches_the_app_once() {
    require!(demo, script);
    let image = Image::demo();
    let program = "
import os, signal, sys, time
seen, done = [], []
signal.signal(signal.SIGINT, lambda *_: (seen.append(1), print('interrupted', flush=True)))
signal.signal(signal.SIGUSR1, lambda *_: done.append(1))
print('foreground', os.tcgetpgrp(0) == os.getpgrp(), open('/dev/tty').isatty(), flush=True)
while not done: time.sleep(0.02)
print('interrupts', len(seen), flush=True)
sys.exit(42)";
    let container = Container { name: fresh_name("terminal") };
    let start = Start::hardened(&image).fresh_data().options(&["--interactive", "--tty"]).python(program);
    // `script` takes one shell line: the words go by a file, one behind the other with NUL between them.
    let folder = Folder::new();
    let words = folder.join("words");
    std::fs::write(&words, start.words(&container.name).join("\0")).unwrap();
    let run = engine(&["run"]);
    let mut line = format!("xargs -0 -a '{}' -o", words.display());
    for word in std::iter::once(run.get_program()).chain(run.get_args()) {
        line.push_str(&format!(" '{}'", word.to_str().unwrap()));
    }
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the app's first line", || container.logs().0.contains("foreground").then_some(()));
    let mut stdin = terminal.stdin.take().unwrap();
    stdin.write_all(b"\x03").unwrap();
    container.await_words("interrupted");
    // It comes by way of init, after all that init forwarded before.
    ask(&["kill", "--signal", "USR1", &container.name]);
    let mut seen = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut seen).unwrap();
    drop(stdin);
    terminal.wait().unwrap();
    assert!(seen.contains("foreground True True"), "{seen}");
    assert!(seen.contains("interrupts 1\r\n"), "{seen}");
    assert_eq!(container.end().code, 42, "{seen}");
}

#[test]
fn with_the_hosts_pids_only_own_descendants_are_ended() {
    require!(demo);
    let image = Image::demo();
    // Another process of the same uid in the same pid namespace: what a kill(-1) would reach.
    let neighbour_name = fresh_name("neighbour");
    let neighbour = Container { name: neighbour_name.clone() };
    let words =
        ["run", "--detach", "--name", &neighbour_name, "--user", "1000", "--entrypoint", "sleep", &image.name, "300"];
    ask(&words);

    let volume = Volume::new();
    let line =
        "setsid sh -c 'trap \"echo ended > /data/ended; exit\" TERM; touch /data/ready; while :; do sleep 0.1; done' &
                while [ ! -e /data/ready ]; do sleep 0.05; done; exit 3";
    let ended = Start::hardened(&image).options(&["--pid", "host"]).data(&volume).shell(line).run();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(volume.root_shell(&image, "cat /data/ended"), "ended", "a leftover of its own gets SIGTERM");
    assert_eq!(neighbour.inspect(".State.Running"), "true", "a stranger's process was ended");
}
