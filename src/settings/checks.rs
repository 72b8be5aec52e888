//! The ids of the checks, by shield, and which of them a person may require or skip.

use super::parse::{list, word};
use std::borrow::Cow;

/// Every shield with the ids of its checks.
pub const SHIELDS: [(&str, &[&str]); 6] = [
    (
        "identity",
        &[
            "user-namespace", "unprivileged", "capabilities", "no-new-privileges", "seccomp", "apparmor",
            "privileged-container", "host-namespaces", "runtime-socket", "limits",
        ],
    ),
    ("file", &["readonly-root", "tmpfs", "baked-paths", "dangerous-mounts", "masked-paths", "volumes", "confined"]),
    ("network", &["default-route", "proxy-environment", "proxy-reachable", "proxy-denies", "direct-egress"]),
    ("gpu", &["gpu-nodes", "gpu-access", "gpu-driver", "gpu-libraries"]),
    ("nodes", &["node-scan"]),
    ("app", &["process", "http"]),
];

/// Required whatever the settings say; none of them may be skipped.
pub const ALWAYS: [&str; 3] = ["unprivileged", "capabilities", "no-new-privileges"];

/// `--check` leaves it to the starts, which have all the time that a scan takes.
pub const ONLY_AT_A_START: &str = "node-scan";

/// Only `--check` looks at this shield.
pub const ONLY_PROBED: &str = "app";

/// The shield of a check; empty for an unknown id.
pub fn shield_of(id: &str) -> &'static str {
    SHIELDS.iter().find(|(_, ids)| ids.contains(&id)).map_or("", |(shield, _)| shield)
}

fn all() -> impl Iterator<Item = &'static str> {
    SHIELDS.iter().filter(|(shield, _)| *shield != ONLY_PROBED).flat_map(|(_, ids)| ids.iter().copied())
}

/// TAKUMI_REQUIRE: the ids that its words stand for.
pub fn required(text: &[u8]) -> Result<Vec<&'static str>, Cow<'static, str>> {
    let parts = list(text, b',', |part| {
        if part == b"all" {
            return Ok(all().collect::<Vec<_>>());
        }
        // `app` is a shield, but of the probe: a start cannot hold it.
        match SHIELDS.iter().find(|(shield, _)| shield.as_bytes() == part && *shield != ONLY_PROBED) {
            Some((_, ids)) => Ok(ids.to_vec()),
            None => known(part).map(|id| vec![id]),
        }
    });
    Ok(parts.map_err(|_| expected("check ids, identity, file, network, gpu, nodes or all", all()))?.concat())
}

/// TAKUMI_SKIP: ids that are not required for ever.
pub fn skipped(text: &[u8]) -> Result<Vec<&'static str>, Cow<'static, str>> {
    let may_skip = |id: &'static str| if ALWAYS.contains(&id) { Err("") } else { Ok(id) };
    list(text, b',', |part| known(part).and_then(may_skip))
        .map_err(|_| expected("check ids that are not always required", all().filter(|id| !ALWAYS.contains(id))))
}

fn known(part: &[u8]) -> Result<&'static str, &'static str> {
    let ids: Vec<(&str, &'static str)> = all().map(|id| (id, id)).collect();
    word(part, &ids, "")
}

fn expected(words: &str, ids: impl Iterator<Item = &'static str>) -> Cow<'static, str> {
    format!("{words}, with commas between them; the ids are {}", ids.collect::<Vec<_>>().join(", ")).into()
}
