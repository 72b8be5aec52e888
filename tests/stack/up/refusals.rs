//! What cannot start says why and leaves nothing behind.

use super::stack::{Stack, pretender};
use crate::images;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::poll::eventually;
use takumi_test::require;

#[test]
fn a_wrong_setting_ends_with_125_and_its_line_is_shown() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    let stack = Stack::rootful().set("COMFYUI_CONNECT", "eighty");
    stack
        .up(&[])
        .ends_with(1)
        .says("comfyui ended with code 125")
        .says("init: error: cannot use TAKUMI_CONNECT=\"eighty\"");
    assert_eq!(stack.left(false), "");
}

#[test]
fn a_shield_that_is_not_held_is_refused() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    // A rootful engine cannot hold it.
    let stack = Stack::rootful().set("STACK_REQUIRE", "user-namespace");
    stack.up(&[]).ends_with(1).says("ended with code 125").says("user-namespace").says("container root is host root");
    assert_eq!(stack.left(false), "");
}

#[test]
fn a_bad_line_of_the_allow_list_is_refused_at_the_start() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    let folder = Folder::new();
    let list = folder.join("own.txt");
    std::fs::write(&list, "huggingface.co\n*.com\n").unwrap();
    let lines = "COPY own.txt /etc/egress/allow/own.txt\n";
    let image = Image::build("own-list", &images::egress().name, lines, &[(&list, "own.txt", 0o644)]);
    let stack = Stack::rootful().set("EGRESS_IMAGE", &image.name).set("EGRESS_ALLOW", "own");
    stack.up(&[]).ends_with(1).says("egress ended with code 125").says("*.com").says("cannot use the list ALLOW=own");
    assert_eq!(stack.left(false), "");
}

#[test]
fn an_app_that_never_answers_is_shown_with_its_log() {
    require!(rootful_docker, demo, comfyui, gateway, "docker-compose", gosu, "tini-static");
    let classic = Image::classic();
    // This image has no COMMAND of its own, so gosu prints its usage and ends.
    let stack = Stack::rootful().set("COMFYUI_IMAGE", &classic.name);
    stack.up(&[]).ends_with(1).says("comfyui ended with code").says("Usage: gosu");
    assert_eq!(stack.left(false), "");
}

#[test]
fn an_interrupt_takes_the_half_started_stack_down() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    let sick = "#!/bin/sh\n[ \"$1\" != --check ] || exit 1\nexec sleep 1000\n";
    let image = pretender(sick);
    let stack = Stack::rootful().set("COMFYUI_IMAGE", &image.name);
    let mut up = stack.up_command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut says = |words: &str| assert!(lines.any(|line| line.contains(words)), "it ended before it said '{words}'");
    says("waiting for comfyui");
    says("s of at most 90; its last words");
    eventually("comfyui's container", || (!stack.container("comfyui").is_empty()).then_some(()));
    let pid = up.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut said = String::new();
    up.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("taking the half-started stack down again"), "{said}");
    assert_eq!(stack.left(false), "");
}

#[test]
fn wrong_words_are_refused_and_help_is_given() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    let stack = Stack::rootful();
    stack.up(&["--help"]).ends_with(0).says("scripts/up.sh down [--volumes]");
    for words in [&["sideways"][..], &["down", "--all"], &["status", "now"]] {
        stack.up(words).ends_with(2).says("scripts/up.sh status");
    }
    stack.up(&["logs", "nobody"]).ends_with(1).says("there is no container of nobody");
    Stack::rootful().set("UI_PORT", "http").up(&[]).ends_with(1).says("UI_PORT=http: expected a port");
}
