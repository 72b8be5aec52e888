//! What a node can do, in plain words, and which of the scanner's tests tell it.

use serde::{Deserialize, Serialize};

/// Something that a person wants to know before it runs. The order is that of the report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words say what each is
pub enum Behaviour {
    KnownBad,
    HidesCalls,
    EvaluatesCode,
    RunsCommands,
    Unpickles,
    InstallsPackages,
    PackagesFromElsewhere,
    Downloads,
    TurnsTlsOff,
    ChangesPermissions,
    RunsAtInstall,
    RunsBeforeComfyui,
    RunsWithPython,
    ReplacesPrograms,
    NativeCode,
    CompiledPython,
    LeavesNode,
}

impl Behaviour {
    /// As a person reads it after "it".
    pub fn description(self) -> &'static str {
        match self {
            Behaviour::KnownBad => "names a package or version known to be malicious",
            Behaviour::HidesCalls => "hides what it calls",
            Behaviour::EvaluatesCode => "evaluates code that it generates or receives",
            Behaviour::RunsCommands => "runs programs or shell commands",
            Behaviour::Unpickles => "unpickles data, which can run code",
            Behaviour::InstallsPackages => "installs packages",
            Behaviour::PackagesFromElsewhere => "installs packages from outside PyPI",
            Behaviour::Downloads => "uses the network or downloads",
            Behaviour::TurnsTlsOff => "disables TLS checks",
            Behaviour::ChangesPermissions => "changes permissions",
            Behaviour::RunsAtInstall => "runs code when it is installed",
            Behaviour::RunsBeforeComfyui => "runs code before ComfyUI starts",
            Behaviour::RunsWithPython => "runs code whenever Python starts",
            Behaviour::ReplacesPrograms => "contains programs that replace the image's",
            Behaviour::NativeCode => "contains native code (not scanned)",
            Behaviour::CompiledPython => "contains compiled Python (not scanned)",
            Behaviour::LeavesNode => "contains symlinks that point outside the node",
        }
    }
}

/// What an issue of Bandit's tells; nothing for style (asserts, random numbers, a swallowed exception).
pub fn from_bandit_test(id: &str) -> Option<Behaviour> {
    BANDIT_TESTS.iter().find(|(known, _)| *known == id).map(|(_, behaviour)| *behaviour)
}

/// Bandit 1.9.4's tests that tell what code can do. Its severity does not matter here: it rates the known miners LOW.
const BANDIT_TESTS: &[(&str, Behaviour)] = &[
    ("B102", Behaviour::EvaluatesCode),      // exec
    ("B103", Behaviour::ChangesPermissions), // chmod that lets others write or execute
    ("B104", Behaviour::Downloads),          // listens on every address
    ("B113", Behaviour::Downloads),          // requests without a timeout
    ("B201", Behaviour::EvaluatesCode),      // Flask's debugger takes code from the network
    ("B301", Behaviour::Unpickles),          // pickle, dill, shelve, jsonpickle, pandas.read_pickle
    ("B302", Behaviour::Unpickles),          // marshal
    ("B307", Behaviour::EvaluatesCode),      // eval
    ("B310", Behaviour::Downloads),          // urlopen, urlretrieve
    ("B312", Behaviour::Downloads),          // telnetlib
    ("B321", Behaviour::Downloads),          // ftplib
    ("B323", Behaviour::TurnsTlsOff),        // an unverified context
    ("B401", Behaviour::Downloads),          // import of telnetlib
    ("B402", Behaviour::Downloads),          // import of ftplib
    ("B403", Behaviour::Unpickles),          // import of pickle, dill, shelve
    ("B404", Behaviour::RunsCommands),       // import of subprocess
    ("B411", Behaviour::Downloads),          // import of xmlrpc
    ("B412", Behaviour::Downloads),          // a CGI handler
    ("B415", Behaviour::Downloads),          // import of pyghmi, which commands machines by IPMI
    ("B501", Behaviour::TurnsTlsOff),        // a request with verify=False
    ("B502", Behaviour::TurnsTlsOff),        // an old version of TLS
    ("B503", Behaviour::TurnsTlsOff),        // the same as a default
    ("B504", Behaviour::TurnsTlsOff),        // no version of TLS named
    ("B506", Behaviour::Unpickles),          // yaml.load, which makes any object
    ("B507", Behaviour::TurnsTlsOff),        // SSH without a look at the host's key
    ("B508", Behaviour::TurnsTlsOff),        // SNMP without protection
    ("B509", Behaviour::TurnsTlsOff),        // the same, weak
    ("B601", Behaviour::RunsCommands),       // paramiko, on another machine
    ("B602", Behaviour::RunsCommands),       // subprocess with a shell
    ("B603", Behaviour::RunsCommands),       // subprocess without one
    ("B604", Behaviour::RunsCommands),       // any call with shell=True
    ("B605", Behaviour::RunsCommands),       // os.system, os.popen
    ("B606", Behaviour::RunsCommands),       // os.exec*, os.spawn*
    ("B607", Behaviour::RunsCommands),       // a program by a name without a path
    ("B609", Behaviour::RunsCommands),       // a wildcard in a shell command
    ("B612", Behaviour::EvaluatesCode),      // logging.config.listen evaluates what it is sent
    ("B613", Behaviour::HidesCalls),         // characters that turn the text around
    ("B614", Behaviour::Unpickles),          // torch.load
    ("B615", Behaviour::Downloads),          // a model hub without a pinned revision
    ("B702", Behaviour::EvaluatesCode),      // Mako templates hold Python
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of Bandit 1.9.4 that say nothing of what code can do: style, weak ciphers and hashes, parsers and pages
    /// that a stranger's data could trouble.
    const NOISE: &[&str] = &[
        "B101", "B105", "B106", "B107", "B108", "B110", "B112", "B202", "B303", "B304", "B305", "B306", "B308", "B311",
        "B313", "B314", "B315", "B316", "B317", "B318", "B319", "B324", "B405", "B406", "B407", "B408", "B409", "B413",
        "B505", "B608", "B610", "B611", "B701", "B703", "B704",
    ];

    /// Every test of Bandit 1.9.4, as its extension loader lists them (plugins and blacklists).
    const LISTED: &str = "B101 B102 B103 B104 B105 B106 B107 B108 B110 B112 B113 B201 B202 B301 B302 B303 B304 B305 B306 B307 B308 \
        B310 B311 B312 B313 B314 B315 B316 B317 B318 B319 B321 B323 B324 B401 B402 B403 B404 B405 B406 B407 B408 B409 B411 B412 B413 \
        B415 B501 B502 B503 B504 B505 B506 B507 B508 B509 B601 B602 B603 B604 B605 B606 B607 B608 B609 B610 B611 B612 B613 B614 B615 \
        B701 B702 B703 B704";

    #[test]
    fn every_test_of_bandit_is_an_ability_or_noise() {
        let listed: Vec<&str> = LISTED.split_whitespace().collect();
        assert_eq!(listed.len(), 75);
        for id in &listed {
            assert_ne!(from_bandit_test(id).is_some(), NOISE.contains(id), "{id} must be in one of the two lists");
        }
        let ours = BANDIT_TESTS.iter().map(|(id, _)| id).chain(NOISE);
        assert!(ours.clone().all(|id| listed.contains(id)), "an id that Bandit does not have");
        assert_eq!(ours.count(), listed.len(), "an id stands twice");
    }

    #[test]
    fn what_the_known_miners_did_is_told() {
        for id in ["B404", "B603", "B605", "B607"] {
            assert_eq!(from_bandit_test(id), Some(Behaviour::RunsCommands));
        }
        assert_eq!(from_bandit_test("B102"), Some(Behaviour::EvaluatesCode));
        assert_eq!(from_bandit_test("B103"), Some(Behaviour::ChangesPermissions));
        assert_eq!(from_bandit_test("B310"), Some(Behaviour::Downloads));
        assert_eq!(from_bandit_test("B101"), None);
        assert_eq!(from_bandit_test(""), None);
        assert_eq!(from_bandit_test("B6050"), None);
    }
}
