//! Judgement only: what was observed becomes findings. Nothing here reads or changes anything.

pub mod confined;
#[cfg(test)]
pub(crate) mod engines;
pub mod file;
pub mod finding;
pub mod gpu;
pub mod identity;
pub mod network;
pub mod ports;
pub mod report;

use crate::machine::Machine;
use crate::settings::checks::Check;
use crate::settings::{ScanMode, Settings};
use finding::Finding;

/// Every finding of a start, in the order of the table of checks. `own`: what the caller knows itself (whom COMMAND
/// becomes, what the drop lacks, what came of volumes and nodes). `only`: these checks alone.
pub fn examine(settings: &Settings, machine: &Machine, mut own: Vec<Finding>, only: Option<&[Check]>) -> Vec<Finding> {
    let mut findings = Vec::with_capacity(32);
    for check in Check::at_start().filter(|check| only.is_none_or(|only| only.contains(check))) {
        let known: Vec<Finding> = own.extract_if(.., |finding| finding.id == check).collect();
        if settings.skip.contains(&check) {
            findings.push(Finding::skipped(check, "skipped by TAKUMI_SKIP"));
        } else if known.is_empty() {
            findings.extend(evaluate_check(check, settings, machine));
        } else {
            findings.extend(known);
        }
    }
    for finding in &mut findings {
        finding.required |= settings.requires(finding.id);
    }
    findings
}

/// One check. `None`: the machine does not show it, and who asks knows it.
fn evaluate_check(check: Check, settings: &Settings, machine: &Machine) -> Option<Finding> {
    Some(match check {
        Check::Unprivileged | Check::Capabilities | Check::NoNewPrivileges | Check::Process | Check::Http => {
            return None;
        }
        Check::UserNamespace => identity::user_namespace(machine),
        Check::Seccomp => identity::seccomp(machine),
        Check::Apparmor => identity::apparmor(machine),
        Check::PrivilegedContainer => identity::privileged_container(machine),
        Check::HostNamespaces => identity::host_namespaces(machine),
        Check::RuntimeSocket => identity::runtime_socket(machine),
        Check::Limits => identity::limits(machine),
        Check::ReadonlyRoot => file::evaluate_with_mounts(check, machine, file::readonly_root),
        Check::Tmpfs => file::evaluate_with_mounts(check, machine, file::tmpfs),
        Check::BakedPaths => file::evaluate_with_mounts(check, machine, file::baked_paths),
        Check::DangerousMounts => file::evaluate_with_mounts(check, machine, file::dangerous_mounts),
        Check::MaskedPaths => file::evaluate_with_mounts(check, machine, file::masked_paths),
        Check::Volumes if settings.volumes.is_empty() => Finding::skipped(check, "TAKUMI_VOLUMES is empty"),
        Check::Volumes => Finding::unknown(check, "checked at a start", START_HINT),
        Check::Confined => confined::evaluate(settings, machine),
        Check::DefaultRoute => network::evaluate_if_enabled(check, settings, machine, network::default_route),
        Check::ProxyEnvironment => network::evaluate_if_enabled(check, settings, machine, network::proxy_environment),
        Check::ProxyReachable => network::evaluate_if_enabled(check, settings, machine, network::proxy_reachable),
        Check::ProxyDenies => network::evaluate_if_enabled(check, settings, machine, network::proxy_denies),
        Check::DirectEgress => network::evaluate_if_enabled(check, settings, machine, network::direct_egress),
        Check::GpuNodes => gpu::evaluate_if_present(check, settings, machine, gpu::nodes),
        Check::GpuAccess => gpu::evaluate_if_present(check, settings, machine, gpu::access),
        Check::GpuDriver => gpu::evaluate_if_present(check, settings, machine, gpu::driver),
        Check::GpuLibraries => gpu::evaluate_if_present(check, settings, machine, gpu::libraries),
        Check::NodeScan if settings.nodes.is_none() => Finding::skipped(check, "TAKUMI_NODES is not set"),
        Check::NodeScan if settings.scan == ScanMode::Off => Finding::skipped(check, "TAKUMI_SCAN is off"),
        Check::NodeScan => Finding::unknown(check, "scanned at a start", START_HINT),
    })
}

const START_HINT: &str = "start the container: this is checked before COMMAND runs";

#[cfg(test)]
mod tests {
    use super::*;
    use finding::CheckStatus;

    /// A finding says only what somebody looked at.
    #[test]
    fn what_a_start_alone_looks_at_is_unknown_until_it_has_answered() {
        let nodes = [c"TAKUMI_NODES=/data/custom_nodes", c"TAKUMI_VOLUMES=/data"];
        let settings = Settings::from_environment(&nodes).unwrap();
        let status = |own, check| {
            let findings = examine(&settings, &engines::hardened(), own, Some(&[check]));
            assert!(findings[0].passed() || findings[0].fix.is_some());
            findings[0].status
        };
        for check in [Check::NodeScan, Check::Volumes] {
            assert_eq!(status(Vec::new(), check), CheckStatus::Unknown);
            assert_eq!(status(vec![Finding::pass(check, "looked at")], check), CheckStatus::Pass);
            let none = examine(&Settings::default(), &engines::hardened(), Vec::new(), Some(&[check]));
            assert_eq!(none[0].status, CheckStatus::Skipped);
        }
    }
}
