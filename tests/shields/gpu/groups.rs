//! TAKUMI_GROUPS=auto: COMMAND is in the groups that open the GPU, and in no other.

use super::stand_in::{NVIDIA, Nodes, WHOLE, report, start};
use takumi_test::image::Image;
use takumi_test::require;

/// A group that no account of the image is in.
const GROUP: u32 = 4711;

#[test]
fn auto_joins_the_group_of_a_closed_node_and_a_list_does_not() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let nodes = Nodes::of(&WHOLE, NVIDIA).mode(0o660, GROUP);
    let with = |variables: &[(&str, &str)]| {
        let start = start(&image, &nodes.given("rwm"));
        report(variables.iter().fold(start, |start, (name, value)| start.env(name, value)))
            .finding("gpu-access")
            .clone()
    };
    let denied = format!("mode 0660, for group {GROUP}, but uid 1000 is not in it");
    with(&[("TAKUMI_GROUPS", "1000")]).expect("fail", &denied).fixed_by(&format!("--group-add {GROUP}"));
    // The group opens the door, and behind it nobody serves the number.
    for variables in [&[][..], &[("TAKUMI_USER", "1000:1000")], &[("PUID", "1234"), ("TAKUMI_GROUPS", "auto")]] {
        with(variables).expect("fail", "the host has not loaded its driver").fixed_by("modprobe nvidia");
    }
}

#[test]
fn command_has_the_group_of_the_nodes_and_never_that_of_root_or_of_nobody() {
    require!(root, no_nvidia_driver, demo);
    let image = Image::demo();
    let groups = |names: &[&str], mode, group, variables: &[(&str, &str)]| {
        let nodes = Nodes::of(names, NVIDIA).mode(mode, group);
        let start = start(&image, &nodes.given("rwm")).shell("id -G");
        let ended = variables.iter().fold(start, |start, (name, value)| start.env(name, value)).run();
        assert_eq!(ended.code, 0, "{ended:?}");
        let mut groups: Vec<u32> = ended.stdout.split_whitespace().map(|group| group.parse().unwrap()).collect();
        groups.sort_unstable();
        groups
    };
    assert_eq!(groups(&WHOLE, 0o660, GROUP, &[]), [1000, GROUP]);
    assert_eq!(groups(&["kfd"], 0o660, GROUP, &[]), [1000, GROUP]);
    assert_eq!(groups(&WHOLE, 0o660, GROUP, &[("TAKUMI_USER", "1000:1000")]), [1000, GROUP]);
    assert_eq!(groups(&WHOLE, 0o660, GROUP, &[("TAKUMI_GROUPS", "7")]), [7, 1000]);
    for (mode, group) in [(0o666, GROUP), (0o600, GROUP), (0o640, GROUP), (0o660, 0), (0o660, 65_534)] {
        assert_eq!(groups(&WHOLE, mode, group, &[]), [1000], "{mode:o} {group}");
    }
}
