//! Nodes are opened by a child with a deadline: a driver that hangs does not hang PID 1. strace holds the child's open as such a
//! driver would.

use super::stand_in::{Number, OPEN, make};
use std::process::Command;
use takumi_test::folder::Folder;
use takumi_test::program::{Ended, init};
use takumi_test::report::Report;
use takumi_test::require;

/// What strace saw of `init --report --json` where /dev holds just these nodes, and what the report says.
struct Traced {
    report: Report,
    calls: String,
}

/// `require!(root, namespaces, strace)`.
#[track_caller]
fn traced(nodes: &[(&str, Number)], options: &[&str]) -> Traced {
    let folder = Folder::new();
    for (name, number) in nodes {
        make(&folder.join(name), *number);
    }
    // /dev of a mount namespace of its own, which ends with the program.
    // strace lives as long as the call that it holds; `init` must not, and nobody waits for strace here.
    let line = format!(
        "mount --bind {0} /dev && strace --follow-forks --output {0}/calls {1} {2} --report --json >{0}/report 2>{0}/said",
        folder.0.display(),
        options.join(" "),
        init().display()
    );
    // A report that refuses ends with 1: what it says is looked at below.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", &line]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let code = takumi_test::program::run(&mut command).code;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let report = Report::of(&Ended { code, stdout: read("report"), stderr: read("said") });
    Traced { report, calls: read("calls") }
}

const THREE: [(&str, Number); 3] = [("nvidia0", OPEN), ("nvidiactl", OPEN), ("nvidia-uvm", OPEN)];

fn held_for(time: &str) -> Traced {
    let inject = format!("--inject=openat,open:delay_enter={time}");
    traced(&THREE, &["--daemonize", "--trace-path=/dev/nvidiactl", &inject])
}

/// Ten seconds long.
#[test]
fn a_node_that_never_answers_is_unknown_and_its_child_is_killed() {
    require!(root, namespaces, strace);
    let seen = held_for("30s");
    let silent = "/dev/nvidiactl: no answer within 10 s; /dev/nvidia-uvm: not tried";
    let access = seen.report.says("gpu-access", "unknown", silent).fixed_by("nvidia-persistenced");
    assert!(!access.detail.contains("nvidia0"), "what answered before is known: {access:?}");
    // The call ended without an answer, and before `init` did: the kernel kills a child whose parent is gone, too.
    let (before, _) = seen.calls.split_once("+++ exited with").unwrap_or((&seen.calls, ""));
    assert!(before.lines().any(|line| line.contains("openat") && line.ends_with("= ?")), "{}", seen.calls);
}

#[test]
fn a_node_that_answers_late_is_waited_for() {
    require!(root, namespaces, strace);
    let seen = held_for("2s");
    assert!(seen.calls.contains("DELAYED"), "control: {}", seen.calls);
    seen.report.says("gpu-access", "pass", "/dev/nvidiactl");
}

#[test]
fn no_process_is_made_where_no_node_is() {
    require!(root, namespaces, strace);
    let forks = ["--trace=clone,clone3,fork,vfork"];
    let count = |nodes: &[(&str, Number)]| {
        let calls = traced(nodes, &forks).calls;
        calls.lines().filter(|line| ["clone", "fork"].iter().any(|call| line.contains(call))).count()
    };
    let null = ("null", Number(1, 3));
    assert_eq!((count(&[null]), count(&[null, ("nvidia0", OPEN)])), (0, 1));
}

#[test]
fn the_child_becomes_commands_user_and_keeps_no_privilege_before_it_opens() {
    require!(root, namespaces, strace);
    let steps = ["--trace=setgroups,setresgid,setresuid,capset,prctl,openat,open"];
    let seen = traced(&[("nvidia0", OPEN)], &steps);
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
