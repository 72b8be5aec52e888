//! Judgement only: what was observed becomes findings. Nothing here reads or changes anything.

pub mod confined;
#[cfg(test)]
mod engines;
pub mod file;
pub mod finding;
pub mod gpu;
pub mod identity;
pub mod network;
pub mod ports;
pub mod report;

use crate::machine::Machine;
use crate::settings::checks::{self, SHIELDS};
use crate::settings::{Confine, Scan, Settings, Wanted};
use finding::Finding;

/// Every finding, in the order of the table of checks. `own`: what the caller knows itself (whom COMMAND becomes, what the drop
/// lacks, the volumes). `only`: these checks alone.
pub fn examine(
    settings: &Settings,
    machine: &Machine,
    own: Vec<Finding>,
    only: Option<&[&'static str]>,
) -> Vec<Finding> {
    let mut own = own;
    let mut findings = Vec::with_capacity(32);
    let of_starts = SHIELDS.iter().filter(|(shield, _)| *shield != checks::ONLY_PROBED);
    for (shield, id) in of_starts.flat_map(|(shield, ids)| ids.iter().map(move |&id| (*shield, id))) {
        if only.is_some_and(|only| !only.contains(&id)) {
            continue;
        }
        let known: Vec<Finding> = own.extract_if(.., |finding| finding.id == id).collect();
        if settings.skip.contains(&id) {
            findings.push(Finding::skipped(id, "TAKUMI_SKIP names it"));
        } else if !known.is_empty() {
            findings.extend(known);
        } else {
            findings.push(judge(shield, id, settings, machine));
        }
    }
    for finding in &mut findings {
        finding.required |= is_required(settings, &finding.id, &finding.shield);
    }
    findings
}

fn judge(shield: &str, id: &'static str, settings: &Settings, machine: &Machine) -> Finding {
    match shield {
        _ if id == "confined" => confined::judge(settings, machine),
        "identity" => identity::judge(id, machine),
        "file" => file::judge(id, settings, machine),
        "network" => network::judge(id, settings, machine.network.as_ref()),
        "gpu" => gpu::judge(id, settings, machine),
        "nodes" => nodes(settings),
        _ => Finding::unknown(id, "no check has this id", "this is a defect of init: please report it"),
    }
}

/// Where nobody has looked at the nodes: there are none to look at, or it is too early.
fn nodes(settings: &Settings) -> Finding {
    match settings.nodes {
        None => Finding::skipped("node-scan", "TAKUMI_NODES names no directory"),
        Some(_) if settings.scan == Scan::Off => Finding::skipped("node-scan", "TAKUMI_SCAN is off"),
        Some(_) => Finding::held("node-scan", "looked at before COMMAND starts"),
    }
}

fn is_required(settings: &Settings, id: &str, shield: &str) -> bool {
    checks::ALWAYS.contains(&id)
        || settings.require.contains(&id)
        || id == "confined" && settings.confine == Confine::Strict
        || shield == "network" && settings.egress == Wanted::Require
        || shield == "gpu" && settings.gpu == Wanted::Require
        || id == "node-scan" && matches!(settings.scan, Scan::Block | Scan::Quarantine)
}
