//! What cannot start says why and leaves nothing behind.

use crate::engine::Image;
use crate::stack::{Derived, Images, Stack};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

#[test]
fn a_wrong_setting_ends_with_125_and_its_line_is_shown() {
    let Some(images) = Images::shared() else { return };
    let stack = Stack::rootful(&images).set("COMFYUI_CONNECT", "eighty");
    stack
        .up(&[])
        .ends_with(1)
        .says("comfyui ended with code 125")
        .says("init: error: cannot use TAKUMI_CONNECT=\"eighty\"");
    assert_eq!(stack.left(false), "");
}

#[test]
fn a_shield_that_is_not_held_is_refused() {
    let Some(images) = Images::shared() else { return };
    // A rootful engine cannot hold it.
    let stack = Stack::rootful(&images).set("STACK_REQUIRE", "user-namespace");
    stack.up(&[]).ends_with(1).says("ended with code 125").says("user-namespace").says("root here is root of the host");
    assert_eq!(stack.left(false), "");
}

#[test]
fn a_bad_line_of_the_allow_list_is_refused_at_the_start() {
    let Some(images) = Images::shared() else { return };
    let image = Derived::new(
        &images.name("egress"),
        "COPY own.txt /etc/egress/allow/own.txt\n",
        &[("own.txt", "huggingface.co\n*.com\n")],
    );
    let stack = Stack::rootful(&images).set("EGRESS_IMAGE", &image.name).set("EGRESS_ALLOW", "own");
    stack
        .up(&[])
        .ends_with(1)
        .says("egress ended with code 125")
        .says("*.com")
        .says("the list ALLOW=own cannot be used");
    assert_eq!(stack.left(false), "");
}

#[test]
fn an_app_that_never_answers_is_shown_with_its_log() {
    let Some(images) = Images::shared() else { return };
    let Some(classic) = Image::classic() else { return };
    // This image has no COMMAND of its own, so gosu prints its usage and ends.
    let stack = Stack::rootful(&images).set("COMFYUI_IMAGE", &classic.name);
    stack.up(&[]).ends_with(1).says("comfyui ended with code").says("Usage: gosu");
    assert_eq!(stack.left(false), "");
}

#[test]
fn an_interrupt_takes_the_half_started_stack_down() {
    let Some(images) = Images::shared() else { return };
    let sick = "#!/bin/sh\n[ \"$1\" != --check ] || exit 1\nexec sleep 1000\n";
    let lines = "COPY init /init\nRUN chmod 0755 /init\n";
    let image = Derived::new(&images.name("comfyui"), lines, &[("init", sick)]);
    let stack = Stack::rootful(&images).set("COMFYUI_IMAGE", &image.name);
    let mut up = stack.up_command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    // Ten seconds in, with every container there.
    let progress = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("s of at most 90; its last words")));
    let pid = up.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut said = String::new();
    up.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130), "{said}");
    assert!(progress.is_some() && said.contains("taking the half-started stack down again"), "{said}");
    assert_eq!(stack.left(false), "");
}

#[test]
fn wrong_words_are_refused_and_help_is_given() {
    let Some(images) = Images::shared() else { return };
    let stack = Stack::rootful(&images);
    stack.up(&["--help"]).ends_with(0).says("scripts/up.sh down [--volumes]");
    for words in [&["sideways"][..], &["down", "--all"], &["status", "now"]] {
        stack.up(words).ends_with(2).says("scripts/up.sh status");
    }
    stack.up(&["logs", "nobody"]).ends_with(1).says("there is no container of nobody");
    Stack::rootful(&images).set("UI_PORT", "http").up(&[]).ends_with(1).says("UI_PORT=http: expected a port");
}
