//! scripts/up.sh on the machine's own Docker.

use super::stack::{
    Stack, becomes_healthy, only_the_list_is_reached, page_and_websocket_work, pretender, shows_a_good_start,
};
use takumi_test::require;

#[test]
fn the_stack_comes_up_shows_its_page_reaches_the_list_alone_and_goes() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    let stack = Stack::rootful();
    let up = stack.up(&[]).says("engine: Docker").says("rootful: container root is root on this machine");
    let address = shows_a_good_start(&stack, &up, true);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    page_and_websocket_work(&address);
    only_the_list_is_reached(&stack);
    stack.up(&["down", "--volumes"]).ends_with(0).says("its volumes are removed");
    assert_eq!(stack.left(true), "");
}

#[test]
fn status_logs_health_and_a_second_start_on_the_same_volumes() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    let stack = Stack::rootful();
    let address = shows_a_good_start(&stack, &stack.up(&[]), true);
    stack.ask(&["exec", "--user", "1000", &stack.container("comfyui"), "touch", "/data/kept"]);

    stack.up(&[]).ends_with(0).says("is running already").says(&format!("The page: http://{address}/"));
    stack.up(&["status"]).ends_with(0).says("healthy: COMMAND is process").says("Nobody in there is root");
    stack
        .up(&["logs"])
        .ends_with(0)
        .says("egress: list 'models'")
        .says("To see the GUI go to")
        .says("starting haproxy");
    stack.up(&["logs", "comfyui"]).ends_with(0).says("To see the GUI go to").never_says("tinyproxy");
    // The image's own health check in the engine's hands, at its interval of 30 s.
    for service in ["egress", "comfyui", "gateway"] {
        becomes_healthy(&stack, service);
    }

    // 143, ComfyUI's death of SIGTERM, is no failure.
    stack.up(&["down"]).ends_with(0).says("comfyui ended with code 0").says(&format!("{}_data", stack.name));
    assert_eq!(stack.left(false), "");
    stack.up(&["status"]).ends_with(1).says("does not run");

    shows_a_good_start(&stack, &stack.up(&[]), true);
    stack.ask(&["exec", &stack.container("comfyui"), "ls", "/data/kept"]);
    stack.up(&["down", "--volumes"]).ends_with(0).says("its volumes are removed");
    assert_eq!(stack.left(true), "");
}

/// In the place of `init` something that says it is healthy and drops nothing.
#[test]
fn a_capability_that_is_left_is_no_good_start() {
    require!(rootful_docker, comfyui, gateway, "docker-compose");
    let image = pretender("#!/bin/sh\n[ \"$1\" != --check ] || exit 0\n\"$@\" &\nwait\n");
    let stack = Stack::rootful().set("COMFYUI_IMAGE", &image.name);
    stack.up(&[]).ends_with(1).says("a capability is left in the container").says("taking the half-started stack down");
    assert_eq!(stack.left(false), "");
}
