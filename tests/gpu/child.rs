//! Nodes are opened by a child with a deadline: a driver that hangs does not hang PID 1. strace holds the child's open as such a
//! driver would.

use crate::engine::{Folder, installed};
use crate::stand_in::{Number, OPEN, finding, make};
use std::process::Command;
use std::time::{Duration, Instant};

/// What strace saw of `init --report --json` where /dev holds just these nodes, and what the report says.
struct Traced {
    report: String,
    calls: String,
    took: Duration,
}

fn traced(nodes: &[(&str, Number)], options: &[&str]) -> Option<Traced> {
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !is_root || installed("strace").is_none() {
        println!("skipped: needs root and strace");
        return None;
    }
    let init = std::env::var("INIT_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_init").into());
    let folder = Folder::new();
    for (name, number) in nodes {
        make(&folder.0.join(name), *number);
    }
    // /dev of a mount namespace of its own, which ends with the program.
    // strace lives as long as the call that it holds; `init` must not, and nobody waits for strace here.
    let line = format!(
        "mount --bind {0} /dev && strace --follow-forks --output {0}/calls {1} {init} --report --json >{0}/report 2>{0}/said",
        folder.0.display(),
        options.join(" ")
    );
    let began = Instant::now();
    // A report that refuses ends with 1: what it says is looked at below.
    let _ = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &line])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let took = began.elapsed();
    let read = |name: &str| std::fs::read_to_string(folder.0.join(name)).unwrap_or_default();
    assert!(!read("report").is_empty(), "{}", read("said"));
    Some(Traced { report: read("report"), calls: read("calls"), took })
}

#[test]
fn a_node_that_never_answers_costs_ten_seconds_and_is_unknown() {
    let held = ["--daemonize", "--trace-path=/dev/nvidiactl", "--inject=openat,open:delay_enter=20s"];
    let nodes = [("nvidia0", OPEN), ("nvidiactl", OPEN), ("nvidia-uvm", OPEN)];
    let Some(seen) = traced(&nodes, &held) else { return };
    let access = finding(&seen.report, "gpu-access");
    access.expect(
        "unknown",
        "/dev/nvidiactl: no answer within 10 s; /dev/nvidia-uvm: not tried",
        "nvidia-persistenced",
    );
    assert!(!access.detail.contains("nvidia0"), "what answered before is known: {access:?}");
    assert!((Duration::from_secs(10)..Duration::from_secs(18)).contains(&seen.took), "{:?}", seen.took);
}

#[test]
fn no_process_is_made_where_no_node_is() {
    let forks = ["--trace=clone,clone3,fork,vfork"];
    let count = |nodes: &[(&str, Number)]| {
        let seen = traced(nodes, &forks)?;
        Some(seen.calls.lines().filter(|line| ["clone", "fork"].iter().any(|call| line.contains(call))).count())
    };
    let null = ("null", Number(1, 3));
    let Some(without) = count(&[null]) else { return };
    assert_eq!((Some(without), count(&[null, ("nvidia0", OPEN)])), (Some(0), Some(1)));
}

#[test]
fn the_child_becomes_commands_user_and_keeps_no_privilege_before_it_opens() {
    let steps = ["--trace=setgroups,setresgid,setresuid,capset,prctl,openat,open"];
    let Some(seen) = traced(&[("nvidia0", OPEN)], &steps) else { return };
    let opened = seen.calls.lines().position(|line| line.contains("/dev/nvidia0")).expect("the node was opened");
    let child = seen.calls.lines().nth(opened).unwrap().split_whitespace().next().unwrap();
    let mut before = seen.calls.lines().take(opened).filter(|line| line.split_whitespace().next() == Some(child));
    for step in [
        "PR_SET_DUMPABLE, SUID_DUMP_DISABLE", "PR_SET_PDEATHSIG, SIGKILL", "setgroups(1, [1000])",
        "setresgid(1000, 1000, 1000)", "setresuid(1000, 1000, 1000)", "capset(", "PR_SET_DUMPABLE, SUID_DUMP_DISABLE",
        "PR_SET_PDEATHSIG, SIGKILL",
    ] {
        assert!(before.any(|line| line.contains(step)), "'{step}' comes not, or not in order:\n{}", seen.calls);
    }
}
