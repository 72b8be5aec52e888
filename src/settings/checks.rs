//! The checks by shield, and which of them a person may require or skip.

use super::parse::list;
use super::{CheckMode, ConfineMode, ScanMode, Settings};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

macro_rules! table {
    ($($shield:ident $its_name:literal { $($check:ident $name:literal,)* })*) => {
        /// What checks together protect.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum Shield { $($shield,)* }

        impl Shield {
            pub const ALL: &[Shield] = &[$(Shield::$shield,)*];

            /// As it is shown and required.
            pub const fn name(self) -> &'static str {
                match self { $(Shield::$shield => $its_name,)* }
            }

            pub const fn checks(self) -> &'static [Check] {
                match self { $(Shield::$shield => &[$(Check::$check,)*],)* }
            }
        }

        /// One question that a finding answers. Their order is that of a report.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum Check { $($($check,)*)* }

        impl Check {
            pub const ALL: &[Check] = &[$($(Check::$check,)*)*];

            /// As it is shown, required and skipped.
            pub const fn name(self) -> &'static str {
                match self { $($(Check::$check => $name,)*)* }
            }

            /// The shield that it belongs to.
            pub const fn shield(self) -> Shield {
                match self { $($(Check::$check => Shield::$shield,)*)* }
            }
        }
    };
}

// By the table: what serde derives from the variants is 14 kB of PID 1.
macro_rules! named {
    ($($type:ident)*) => {
        $(impl From<$type> for &'static str {
            fn from(named: $type) -> Self {
                named.name()
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(name: String) -> Result<Self, String> {
                $type::ALL.iter().find(|known| known.name() == name).copied().ok_or(name)
            }
        })*
    };
}

named! { Shield Check }

table! {
    Identity "identity" {
        UserNamespace "user-namespace", Unprivileged "unprivileged", Capabilities "capabilities",
        NoNewPrivileges "no-new-privileges", Seccomp "seccomp", Apparmor "apparmor",
        PrivilegedContainer "privileged-container", HostNamespaces "host-namespaces", RuntimeSocket "runtime-socket",
        Limits "limits",
    }
    File "file" {
        ReadonlyRoot "readonly-root", Tmpfs "tmpfs", BakedPaths "baked-paths", DangerousMounts "dangerous-mounts",
        MaskedPaths "masked-paths", Volumes "volumes", Confined "confined",
    }
    Network "network" {
        DefaultRoute "default-route", ProxyEnvironment "proxy-environment", ProxyReachable "proxy-reachable",
        ProxyDenies "proxy-denies", DirectEgress "direct-egress",
    }
    Gpu "gpu" {
        GpuNodes "gpu-nodes", GpuAccess "gpu-access", GpuDriver "gpu-driver", GpuLibraries "gpu-libraries",
    }
    Nodes "nodes" {
        NodeScan "node-scan",
    }
    App "app" {
        Process "process", Http "http",
    }
}

impl Check {
    /// Required whatever the settings say; none of them may be skipped.
    pub const ALWAYS: [Check; 3] = [Check::Unprivileged, Check::Capabilities, Check::NoNewPrivileges];

    /// What a start looks at: all but the shield that is the probe's alone.
    pub fn at_start() -> impl Iterator<Item = Check> {
        Check::ALL.iter().copied().filter(|check| check.shield() != Shield::App)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Settings {
    /// Whether a start is refused while this check does not pass.
    pub fn requires(&self, check: Check) -> bool {
        Check::ALWAYS.contains(&check) || self.required_by(check).is_some()
    }

    /// The setting that requires it.
    pub fn required_by(&self, check: Check) -> Option<&'static str> {
        match check.shield() {
            _ if self.require.contains(&check) => Some("TAKUMI_REQUIRE"),
            _ if check == Check::Confined && self.confine == ConfineMode::Strict => Some("TAKUMI_CONFINE=strict"),
            Shield::Network if self.egress == CheckMode::Require => Some("TAKUMI_EGRESS=require"),
            Shield::Gpu if self.gpu == CheckMode::Require => Some("TAKUMI_GPU=require"),
            Shield::Nodes if matches!(self.scan, ScanMode::Block | ScanMode::Quarantine) => {
                Some("TAKUMI_SCAN=block or quarantine")
            }
            _ => None,
        }
    }
}

/// TAKUMI_REQUIRE: the checks that its words stand for.
pub fn parse_required(text: &[u8]) -> Result<Vec<Check>, Cow<'static, str>> {
    let parts = list(text, b',', |part| {
        if part == b"all" {
            return Ok(Check::at_start().collect());
        }
        // `app` is a shield, but of the probe: a start cannot hold it.
        match Shield::ALL.iter().find(|shield| shield.name().as_bytes() == part && **shield != Shield::App) {
            Some(shield) => Ok(shield.checks().to_vec()),
            None => parse_check(part).map(|check| vec![check]),
        }
    });
    let words = "check ids, identity, file, network, gpu, nodes or all";
    Ok(parts.map_err(|_| expected_checks(words, Check::at_start()))?.concat())
}

/// TAKUMI_SKIP: checks that are not required for ever.
pub fn parse_skipped(text: &[u8]) -> Result<Vec<Check>, Cow<'static, str>> {
    let may_skip = |check: &Check| !Check::ALWAYS.contains(check);
    list(text, b',', |part| parse_check(part).and_then(|check| may_skip(&check).then_some(check).ok_or("")))
        .map_err(|_| expected_checks("check ids that are not always required", Check::at_start().filter(may_skip)))
}

fn parse_check(part: &[u8]) -> Result<Check, &'static str> {
    Check::at_start().find(|check| check.name().as_bytes() == part).ok_or("")
}

fn expected_checks(words: &str, checks: impl Iterator<Item = Check>) -> Cow<'static, str> {
    let names: Vec<&str> = checks.map(Check::name).collect();
    format!("{words}, with commas between them; the ids are {}", names.join(", ")).into()
}
