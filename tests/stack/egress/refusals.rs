//! When the proxy's container must not start: 125, and a line that says what to type.

use super::world::CAPABILITIES;
use crate::images;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;
use takumi_test::engine::{Container, Ended, Network, ask};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::Image;
use takumi_test::require;
use takumi_test::subnet::Subnet;

static IMAGE: LazyLock<Image> = LazyLock::new(images::egress);

/// Starts a proxy on its networks and waits for its end.
fn ends(inside: &Network, outside: Option<&Network>, capabilities: &[&str], options: &[&str]) -> Ended {
    let container = Container { name: fresh_name("refused") };
    let mut create = vec!["create", "--name", &container.name, "--network", &inside.name];
    create.extend(["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
    create.extend(capabilities.iter().flat_map(|capability| ["--cap-add", capability]));
    create.extend(options);
    create.push(&IMAGE.name);
    ask(&create);
    if let Some(outside) = outside {
        ask(&["network", "connect", &outside.name, &container.name]);
    }
    ask(&["start", &container.name]);
    container.end()
}

#[track_caller]
fn expect(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, 125, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "expected '{word}': {ended:?}");
    }
    assert!(!ended.stdout.contains("Initializing tinyproxy"), "{ended:?}");
}

#[test]
fn a_proxy_that_cannot_be_shut_does_not_open() {
    require!(gateway);
    let (private, public) = (Subnet::private(), Subnet::public());
    let inside = &Network::new("inside", &["--internal", "--subnet", &private.to_string()]);
    let outside = &Network::new("outside", &["--subnet", &public.to_string()]);
    let outside = Some(outside);
    let run = ["--tmpfs", "/run"];
    let address = private.address(9).to_string();
    let listen = format!("LISTEN={address}");
    let listen = ["--ip", &address, "--env", &listen];
    let right = [&run[..], &listen[..]].concat();

    let without: Vec<&str> = CAPABILITIES.into_iter().filter(|capability| *capability != "NET_ADMIN").collect();
    expect(&ends(inside, outside, &without, &right), &["cannot load the packet filter", "--cap-add NET_ADMIN"]);
    expect(&ends(inside, outside, &CAPABILITIES, &listen), &["cannot write to /run", "--tmpfs /run"]);
    expect(&ends(inside, outside, &CAPABILITIES, &run), &["LISTEN is not set"]);
    let foreign = [&run[..], &["--env", "LISTEN=192.0.2.1"]].concat();
    expect(&ends(inside, outside, &CAPABILITIES, &foreign), &["is not in any of this container's networks"]);
    let listen = format!("LISTEN={}", public.address(9));
    let outer = [&run[..], &["--env", &listen]].concat();
    expect(&ends(inside, outside, &CAPABILITIES, &outer), &["which is also the way out"]);

    // A program that says 0 and loads nothing, as in a sandbox that ignores netlink.
    let folder = Folder::new();
    let lie = folder.join("nft");
    std::fs::write(&lie, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&lie, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mount = format!("{}:/usr/sbin/nft:ro", lie.display());
    let lying = [&right[..], &["--volume", &mount]].concat();
    expect(&ends(inside, outside, &CAPABILITIES, &lying), &["packet filter does not drop"]);
}

#[test]
fn an_address_that_is_none_is_refused() {
    require!(gateway);
    let wrong = "egress 1.2.3 1.2.3.4.5 1..2.3 010.1.2.3 1.2.3.256 1.2.3.4444 127.0.0.1 0.0.0.0 1.2.3.4/24 ::1 -1.2.3.4 1.2.3.0x4";
    let line = format!("for LISTEN in {wrong}; do export LISTEN; /egress conf 2>&1; echo \"= $?\"; done");
    let name = fresh_name("address");
    let run = ["run", "--rm", "--name", &name, "--network", "none", "--entrypoint", "sh", &IMAGE.name, "-c", &line];
    let said = ask(&run);
    let mut lines = said.lines();
    for address in wrong.split(' ') {
        let expected = format!("egress: error: LISTEN={address}: expected an IPv4 address of this container");
        assert_eq!((lines.next(), lines.next()), (Some(expected.as_str()), Some("= 125")), "{said}");
    }
}

#[test]
fn a_wrong_list_is_refused_at_the_start_with_its_line() {
    require!(gateway);
    let network = Network::new("inside", &["--internal"]);
    let folder = Folder::new();
    let start = |content: &str, allow: &str| {
        std::fs::write(folder.join("mine.txt"), content).unwrap();
        let mount = format!("{}:/etc/egress/allow/mine.txt:ro", folder.join("mine.txt").display());
        let allow = format!("ALLOW={allow}");
        ends(&network, None, &CAPABILITIES, &["--tmpfs", "/run", "--volume", &mount, "--env", &allow])
    };
    expect(
        &start("good.example.org\n192.168.0.1\n", "mine"),
        &["mine.txt:2: 192.168.0.1: addresses are never allowed"],
    );
    expect(&start("", "mine"), &["mine.txt: no host in it", "use the list none"]);
    expect(&start("", "yours"), &["there is no readable list /etc/egress/allow/yours.txt"]);
    expect(&start("", "../../etc/passwd"), &["is not the name of a list"]);
    // The control: a right list gets past this point, to the next thing that is missing.
    let ended = start("good.example.org\n", "mine");
    expect(&ended, &["LISTEN is not set"]);
    assert!(!ended.stderr.contains("mine.txt"), "{ended:?}");
}
