//! What a node can do, in plain words, and which of the scanner's tests tell it.

use serde::{Deserialize, Serialize};

/// Something that a person wants to know before it runs. The order is that of the report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words say what each is
pub enum Ability {
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

impl Ability {
    /// As a person reads it after "it".
    pub fn words(self) -> &'static str {
        match self {
            Ability::KnownBad => "names a package or version known to be malicious",
            Ability::HidesCalls => "hides what it calls",
            Ability::EvaluatesCode => "evaluates code that it generates or receives",
            Ability::RunsCommands => "runs programs or shell commands",
            Ability::Unpickles => "unpickles data, which can run code",
            Ability::InstallsPackages => "installs packages",
            Ability::PackagesFromElsewhere => "installs packages from outside PyPI",
            Ability::Downloads => "uses the network or downloads",
            Ability::TurnsTlsOff => "disables TLS checks",
            Ability::ChangesPermissions => "changes permissions",
            Ability::RunsAtInstall => "runs code when it is installed",
            Ability::RunsBeforeComfyui => "runs code before ComfyUI starts",
            Ability::RunsWithPython => "runs code whenever Python starts",
            Ability::ReplacesPrograms => "contains programs that replace the image's",
            Ability::NativeCode => "contains native code (not scanned)",
            Ability::CompiledPython => "contains compiled Python (not scanned)",
            Ability::LeavesNode => "contains symlinks that point outside the node",
        }
    }
}

/// What an issue of Bandit's tells; nothing for style (asserts, random numbers, a swallowed exception).
pub fn of_test(id: &str) -> Option<Ability> {
    TESTS.iter().find(|(known, _)| *known == id).map(|(_, ability)| *ability)
}

/// Bandit 1.9.4's tests that tell what code can do. Its severity does not matter here: it rates the known miners LOW.
const TESTS: &[(&str, Ability)] = &[
    ("B102", Ability::EvaluatesCode),      // exec
    ("B103", Ability::ChangesPermissions), // chmod that lets others write or execute
    ("B104", Ability::Downloads),          // listens on every address
    ("B113", Ability::Downloads),          // requests without a timeout
    ("B201", Ability::EvaluatesCode),      // Flask's debugger takes code from the network
    ("B301", Ability::Unpickles),          // pickle, dill, shelve, jsonpickle, pandas.read_pickle
    ("B302", Ability::Unpickles),          // marshal
    ("B307", Ability::EvaluatesCode),      // eval
    ("B310", Ability::Downloads),          // urlopen, urlretrieve
    ("B312", Ability::Downloads),          // telnetlib
    ("B321", Ability::Downloads),          // ftplib
    ("B323", Ability::TurnsTlsOff),        // an unverified context
    ("B401", Ability::Downloads),          // import of telnetlib
    ("B402", Ability::Downloads),          // import of ftplib
    ("B403", Ability::Unpickles),          // import of pickle, dill, shelve
    ("B404", Ability::RunsCommands),       // import of subprocess
    ("B411", Ability::Downloads),          // import of xmlrpc
    ("B412", Ability::Downloads),          // a CGI handler
    ("B415", Ability::Downloads),          // import of pyghmi, which commands machines by IPMI
    ("B501", Ability::TurnsTlsOff),        // a request with verify=False
    ("B502", Ability::TurnsTlsOff),        // an old version of TLS
    ("B503", Ability::TurnsTlsOff),        // the same as a default
    ("B504", Ability::TurnsTlsOff),        // no version of TLS named
    ("B506", Ability::Unpickles),          // yaml.load, which makes any object
    ("B507", Ability::TurnsTlsOff),        // SSH without a look at the host's key
    ("B508", Ability::TurnsTlsOff),        // SNMP without protection
    ("B509", Ability::TurnsTlsOff),        // the same, weak
    ("B601", Ability::RunsCommands),       // paramiko, on another machine
    ("B602", Ability::RunsCommands),       // subprocess with a shell
    ("B603", Ability::RunsCommands),       // subprocess without one
    ("B604", Ability::RunsCommands),       // any call with shell=True
    ("B605", Ability::RunsCommands),       // os.system, os.popen
    ("B606", Ability::RunsCommands),       // os.exec*, os.spawn*
    ("B607", Ability::RunsCommands),       // a program by a name without a path
    ("B609", Ability::RunsCommands),       // a wildcard in a shell command
    ("B612", Ability::EvaluatesCode),      // logging.config.listen evaluates what it is sent
    ("B613", Ability::HidesCalls),         // characters that turn the text around
    ("B614", Ability::Unpickles),          // torch.load
    ("B615", Ability::Downloads),          // a model hub without a pinned revision
    ("B702", Ability::EvaluatesCode),      // Mako templates hold Python
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of Bandit 1.9.4 that say nothing of what code can do: style, weak ciphers and hashes, parsers and pages that a
    /// stranger's data could trouble.
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
            assert_ne!(of_test(id).is_some(), NOISE.contains(id), "{id} must be in one of the two lists");
        }
        let ours = TESTS.iter().map(|(id, _)| id).chain(NOISE);
        assert!(ours.clone().all(|id| listed.contains(id)), "an id that Bandit does not have");
        assert_eq!(ours.count(), listed.len(), "an id stands twice");
    }

    #[test]
    fn what_the_known_miners_did_is_told() {
        for id in ["B404", "B603", "B605", "B607"] {
            assert_eq!(of_test(id), Some(Ability::RunsCommands));
        }
        assert_eq!(of_test("B102"), Some(Ability::EvaluatesCode));
        assert_eq!(of_test("B103"), Some(Ability::ChangesPermissions));
        assert_eq!(of_test("B310"), Some(Ability::Downloads));
        assert_eq!(of_test("B101"), None);
        assert_eq!(of_test(""), None);
        assert_eq!(of_test("B6050"), None);
    }
}
