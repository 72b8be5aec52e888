//! What the machines of real engines are judged to be: tests/fixtures/posture/ holds what each of them shows, and what
//! is expected.

use super::evaluate_check;
use crate::machine::Machine;
use crate::machine::directories::{ConfiguredPath, Directories};
use crate::machine::limits::{ContainerLimits, Limit};
use crate::machine::mounts::Mounts;
use crate::machine::namespaces::Namespaces;
use crate::machine::sockets::Sockets;
use crate::machine::status;
use crate::machine::user_namespace::UserNamespace;
use crate::settings::Settings;
use crate::settings::checks::{Check, Shield};
use crate::sys::Errno;

/// Settings of the image: TAKUMI_TMPFS=/tmp:/run TAKUMI_BAKED=/app TAKUMI_VOLUMES=/data.
const TMPFS: [&str; 2] = ["/tmp", "/run"];

macro_rules! recorded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../tests/fixtures/posture/", $name, ".txt")))),*]
    };
}

const ENGINES: &[(&str, &str)] = recorded![
    "docker", "docker-hardened", "docker-rootless", "docker-apparmor-nvidia", "docker-userns-remap", "podman",
    "podman-rootless", "podman-read-only", "podman-keep-id", "kubernetes", "wsl2-docker-desktop",
    "fedora-podman-selinux",
];

/// A hardened container that holds everything but a user namespace: what the tables of single cases change one thing
/// in.
pub(crate) fn hardened() -> Machine {
    machine(ENGINES[1].1)
}

/// The text of a section.
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let begin = format!("\n[{name}]\n");
    let from = text.find(&begin).unwrap_or_else(|| panic!("no section {name}")) + begin.len();
    // An empty one ends with the line before it.
    let rest = &text[from - 1..];
    &rest[1..rest.find("\n[").map_or(rest.len(), |end| end + 1)]
}

/// The rest of the section's line that begins with `word`.
fn value<'a>(section: &'a str, word: &str) -> &'a str {
    let line = section.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {word} in {section}"))
}

pub(super) fn places(paths: &[&str]) -> Vec<ConfiguredPath> {
    let place =
        |path: &&str| ConfiguredPath { configured: path.as_bytes().to_vec(), resolved: Some(path.as_bytes().to_vec()) };
    paths.iter().map(place).collect()
}

fn machine(text: &str) -> Machine {
    let limits = section(text, "limits");
    let limit = |name| Limit::parse(Some(value(limits, name)).filter(|text| *text != "unseen").map(str::as_bytes));
    let namespaces = section(text, "namespaces");
    let inode = |name| Ok(value(namespaces, name).parse().unwrap());
    let root = section(text, "root");
    let devices = value(root, "devices").split(' ');
    let of_a_host = devices.filter(|name| matches!(*name, "mem" | "port" | "kmsg" | "kcore" | "sda"));
    let label = section(text, "label").trim_end().as_bytes();
    Machine {
        status: Ok(status::parse(section(text, "status").as_bytes())),
        user_namespace: Ok(UserNamespace::from_map(section(text, "uid_map").as_bytes())),
        mounts: Ok(Mounts::parse(section(text, "mountinfo").as_bytes())),
        label: if label.is_empty() { Err(Errno(libc::EINVAL)) } else { Ok(label.to_vec()) },
        namespaces: Namespaces {
            pid: inode("pid"),
            ipc: inode("ipc"),
            uts: inode("uts"),
            net: inode("net"),
            kernel_threads: value(namespaces, "second") == "kthreadd",
            host_interface: value(namespaces, "interfaces")
                .split(' ')
                .find(|name| *name == "docker0")
                .map(str::to_string),
        },
        limits: ContainerLimits { memory: limit("memory"), processes: limit("processes"), core: limit("core") },
        directories: Directories {
            root_is_read_only: Ok(value(root, "statvfs") == "ro"),
            write_to_root: match value(root, "write").parse().unwrap() {
                0 => Ok(()),
                errno => Err(Errno(errno)),
            },
            tmpfs: places(&TMPFS),
            baked: places(&["/app"]),
            volumes: places(&["/data"]),
            kcore: value(root, "kcore") == "yes",
            host_devices: Ok(of_a_host.map(str::to_string).collect()),
            systems: Vec::new(),
            host_runs: Vec::new(),
        },
        sockets: Some(Sockets::default()),
        network: None,
        devices: None,
        sandbox: None,
    }
}

fn report_of(machine: &Machine) -> String {
    let settings = Settings::default();
    let checks = [Shield::Identity, Shield::File].map(Shield::checks).concat().into_iter();
    let checks = checks.filter(|check| !matches!(check, Check::Volumes | Check::Confined));
    let findings = checks.filter_map(|check| evaluate_check(check, &settings, machine));
    findings.map(|finding| format!("{} {}: {}\n", finding.status.name(), finding.id, finding.detail)).collect()
}

#[test]
fn every_engine_is_judged_as_it_is() {
    let mut wrong = Vec::new();
    for (name, text) in ENGINES {
        let (seen, expected) = (report_of(&machine(text)), section(text, "expected"));
        if seen != expected {
            wrong.push(format!("{name}:\n{seen}expected:\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What people really mount must not be called dangerous, whatever engine mounts it; the one map that is right for all
/// of them.
#[test]
fn no_engines_own_mount_is_dangerous() {
    for (name, text) in ENGINES {
        let finding = evaluate_check(Check::DangerousMounts, &Settings::default(), &machine(text)).unwrap();
        assert!(finding.passed(), "{name}: {}", finding.detail);
        let mounts = section(text, "mountinfo").lines().count();
        assert_eq!(
            Mounts::parse(section(text, "mountinfo").as_bytes()).iter().count(),
            mounts,
            "{name}: a line was not read"
        );
    }
}
