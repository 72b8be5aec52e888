//! The environment, parsed and checked as a whole before anything happens: a start with two mistakes tells both.

pub mod checks;
pub mod parse;
pub mod table;
mod values;

pub use values::{
    AccountRef, CheckMode, ConfineMode, KeepDescriptors, OwnershipMode, ScanMode, SignalRewrite, SignalScope, StopStep,
    UserSpec,
};

use crate::http::Url;
use crate::logging::Format;
use crate::path::is_within;
use crate::sys::Signal;
use crate::text::Escaped;
use checks::Check;
use log::LevelFilter;
use std::ffi::{CStr, CString};
use std::fmt;
use std::time::Duration;

/// Every setting with a value that has been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub puid: Option<u32>,
    pub pgid: Option<u32>,
    pub user: Option<UserSpec>,
    pub allow_root: bool,
    pub groups: Option<Vec<AccountRef>>,
    pub umask: Option<u32>,
    pub volumes: Vec<CString>,
    pub ownership: OwnershipMode,
    pub tmpfs: Vec<CString>,
    pub baked: Vec<CString>,
    pub gpu: CheckMode,
    pub egress: CheckMode,
    pub require: Vec<Check>,
    pub skip: Vec<Check>,
    pub confine: ConfineMode,
    pub writable: Vec<CString>,
    pub connect: Vec<u16>,
    pub signals: Vec<SignalRewrite>,
    pub scope: SignalScope,
    pub stop: Vec<StopStep>,
    pub leftover_grace: Duration,
    pub parent_death: Option<Signal>,
    pub reboot: bool,
    pub keep: KeepDescriptors,
    pub exit_ok: Vec<u8>,
    pub health_url: Option<Url>,
    pub health_timeout: Duration,
    pub env_files: Vec<CString>,
    pub secrets: Vec<Vec<u8>>,
    pub nodes: Option<CString>,
    pub state: Option<CString>,
    pub scan_command: Vec<u8>,
    pub scan: ScanMode,
    pub log: LevelFilter,
    pub log_format: Format,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            puid: None,
            pgid: None,
            user: None,
            allow_root: false,
            groups: None,
            umask: None,
            volumes: Vec::new(),
            ownership: OwnershipMode::Auto,
            tmpfs: Vec::new(),
            baked: Vec::new(),
            gpu: CheckMode::Auto,
            egress: CheckMode::Auto,
            require: Vec::new(),
            skip: Vec::new(),
            confine: ConfineMode::Off,
            writable: Vec::new(),
            connect: Vec::new(),
            signals: Vec::new(),
            scope: SignalScope::Child,
            stop: Vec::new(),
            leftover_grace: Duration::from_secs(2),
            parent_death: None,
            reboot: false,
            keep: KeepDescriptors::Listed(Vec::new()),
            exit_ok: Vec::new(),
            health_url: None,
            health_timeout: Duration::from_secs(10),
            env_files: Vec::new(),
            secrets: Vec::new(),
            nodes: None,
            state: None,
            scan_command: b"bandit".to_vec(),
            scan: ScanMode::Warn,
            log: LevelFilter::Info,
            log_format: Format::Text,
        }
    }
}

/// One setting that cannot be taken as it is.
#[derive(PartialEq, Eq, Debug)]
pub enum SettingsError {
    /// The value says nothing: name, value, what was expected.
    Value(String, Vec<u8>, String),
    /// The name is none of ours.
    Unknown(Vec<u8>, Vec<u8>),
    /// The name is set more than once in the environment.
    Duplicate(String),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Value(name, value, expected) => {
                write!(f, "cannot use {name}=\"{}\": expected {expected}", Escaped(value))
            }
            SettingsError::Unknown(name, value) => {
                let nearest = table::nearest_name(&String::from_utf8_lossy(name));
                write!(f, "unknown setting {}=\"{}\": did you mean {nearest}?", Escaped(name), Escaped(value))?;
                f.write_str(" (`init --help` lists them all)")
            }
            SettingsError::Duplicate(name) => {
                write!(f, "{name} is set more than once in the environment (set it once)")
            }
        }
    }
}

/// Whether a variable is a setting of ours or a key, which COMMAND does not get to see.
pub fn is_reserved(variable: &[u8]) -> bool {
    let name = split_variable(variable).0;
    let ours = name.starts_with(b"TAKUMI_")
        || matches!(name, b"PUID" | b"PGID" | b"UMASK")
        || name.starts_with(b"DOTENV_PRIVATE_KEY");
    ours && !name.starts_with(b"TAKUMI_LOG")
}

/// Splits `NAME=value`; a string without `=` is a name with an empty value.
pub fn split_variable(variable: &[u8]) -> (&[u8], &[u8]) {
    match variable.iter().position(|&byte| byte == b'=') {
        Some(equals) => (&variable[..equals], &variable[equals + 1..]),
        None => (variable, b""),
    }
}

/// The value of the first variable of that name.
pub fn value_of<'a>(environment: &[&'a CStr], wanted: &[u8]) -> Option<&'a [u8]> {
    environment
        .iter()
        .map(|variable| split_variable(variable.to_bytes()))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}

/// A name of TAKUMI_SECRETS: none that COMMAND does not get to see, or a key would come in by that door.
fn secret_name(name: &[u8]) -> Result<Vec<u8>, parse::Expected> {
    let name = parse::variable_name(name)?;
    if is_reserved(&name) { Err("names of COMMAND's variables, not of settings or keys") } else { Ok(name) }
}

impl Settings {
    /// Reads all settings of an environment, or says everything that is wrong with them.
    pub fn from_environment(environment: &[&CStr]) -> Result<Settings, Vec<SettingsError>> {
        let mut settings = Settings::default();
        let mut mistakes = Vec::new();
        let mut seen: Vec<&[u8]> = Vec::new();
        for variable in environment {
            let (name, value) = split_variable(variable.to_bytes());
            if !name.starts_with(b"TAKUMI_") && !matches!(name, b"PUID" | b"PGID" | b"UMASK") {
                continue;
            }
            let Some(name) = table::SETTINGS.iter().map(|setting| setting.name).find(|known| known.as_bytes() == name)
            else {
                mistakes.push(SettingsError::Unknown(name.to_vec(), value.to_vec()));
                continue;
            };
            if seen.contains(&name.as_bytes()) {
                mistakes.push(SettingsError::Duplicate(name.to_string()));
                continue;
            }
            seen.push(name.as_bytes());
            if let Err(expected) = settings.set(name, value) {
                mistakes.push(SettingsError::Value(name.to_string(), value.to_vec(), expected.into_owned()));
            }
        }
        settings.check_combinations(&mut mistakes);
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    /// How much is to be said and how, as far as that can be told: mistakes are told in the format that was asked for.
    pub fn log_settings(environment: &[&CStr]) -> (LevelFilter, Format) {
        let mut settings = Settings::default();
        for name in ["TAKUMI_LOG", "TAKUMI_LOG_FORMAT"] {
            if let Some(value) = value_of(environment, name.as_bytes()) {
                // What is wrong with it is said with the other mistakes.
                let _ = settings.set(name, value);
            }
        }
        (settings.log, settings.log_format)
    }

    fn set(&mut self, name: &str, value: &[u8]) -> Result<(), std::borrow::Cow<'static, str>> {
        use parse::*;
        const CHECK_MODES: [(&str, CheckMode); 3] =
            [("auto", CheckMode::Auto), ("require", CheckMode::Require), ("off", CheckMode::Off)];
        match name {
            "PUID" => self.puid = Some(id(value)?),
            "PGID" => self.pgid = Some(id(value)?),
            "TAKUMI_USER" => self.user = Some(user_spec(value)?),
            "TAKUMI_ALLOW_ROOT" => self.allow_root = yes_or_no(value)?,
            "TAKUMI_GROUPS" if value.is_empty() || value == b"auto" => self.groups = None,
            "TAKUMI_GROUPS" => {
                let not_root =
                    |group: AccountRef| (group != AccountRef::Id(0)).then_some(group).ok_or("groups other than gid 0");
                self.groups = Some(list(value, b',', |item| account_ref(item).and_then(not_root))?);
            }
            "UMASK" => self.umask = Some(umask(value)?),
            "TAKUMI_VOLUMES" => self.volumes = directories(value)?,
            "TAKUMI_OWNERSHIP" => {
                let words = [
                    ("auto", OwnershipMode::Auto),
                    ("chown", OwnershipMode::Chown),
                    ("share", OwnershipMode::Share),
                    ("verify", OwnershipMode::Verify),
                    ("off", OwnershipMode::Off),
                ];
                self.ownership = word(value, &words, "auto, chown, share, verify or off")?;
            }
            "TAKUMI_TMPFS" => self.tmpfs = directories(value)?,
            "TAKUMI_BAKED" => self.baked = directories(value)?,
            "TAKUMI_GPU" => self.gpu = word(value, &CHECK_MODES, "auto, require or off")?,
            "TAKUMI_EGRESS" => self.egress = word(value, &CHECK_MODES, "auto, require or off")?,
            "TAKUMI_REQUIRE" => self.require = checks::parse_required(value)?,
            "TAKUMI_SKIP" => self.skip = checks::parse_skipped(value)?,
            "TAKUMI_CONFINE" => {
                let words = [("off", ConfineMode::Off), ("auto", ConfineMode::Auto), ("strict", ConfineMode::Strict)];
                self.confine = word(value, &words, "auto, strict or off")?;
            }
            "TAKUMI_WRITABLE" => self.writable = directories(value)?,
            "TAKUMI_CONNECT" => self.connect = list(value, b',', port)?,
            "TAKUMI_SIGNALS" => self.signals = list(value, b',', signal_rewrite)?,
            "TAKUMI_SIGNAL_SCOPE" => {
                let words = [("child", SignalScope::Child), ("group", SignalScope::Group), ("all", SignalScope::All)];
                self.scope = word(value, &words, "child, group or all")?;
            }
            "TAKUMI_STOP" => self.stop = list(value, b',', stop_step)?,
            "TAKUMI_LEFTOVER_GRACE" => self.leftover_grace = duration(value)?,
            "TAKUMI_PARENT_DEATH" if value.is_empty() => self.parent_death = None,
            "TAKUMI_PARENT_DEATH" => self.parent_death = Some(signal(value)?),
            "TAKUMI_REBOOT" => self.reboot = word(value, &[("comfyui", true), ("", false)], "comfyui, or nothing")?,
            "TAKUMI_KEEP_FDS" if value == b"all" => self.keep = KeepDescriptors::All,
            "TAKUMI_KEEP_FDS" => self.keep = KeepDescriptors::Listed(list(value, b',', descriptor)?),
            "TAKUMI_EXIT_OK" => self.exit_ok = list(value, b',', exit_code)?,
            "TAKUMI_HEALTH_URL" => self.health_url = health_url(value)?,
            "TAKUMI_HEALTH_TIMEOUT" => self.health_timeout = duration(value)?,
            "TAKUMI_ENV_FILE" => self.env_files = files(value)?,
            "TAKUMI_SECRETS" => self.secrets = list(value, b',', secret_name)?,
            "TAKUMI_NODES" => self.nodes = directory(value)?,
            "TAKUMI_STATE" => self.state = directory(value)?,
            "TAKUMI_SCAN_COMMAND" if value.is_empty() => {}
            "TAKUMI_SCAN_COMMAND" => self.scan_command = value.to_vec(),
            "TAKUMI_SCAN" => {
                let words = [
                    ("off", ScanMode::Off),
                    ("warn", ScanMode::Warn),
                    ("block", ScanMode::Block),
                    ("quarantine", ScanMode::Quarantine),
                ];
                self.scan = word(value, &words, "off, warn, block or quarantine")?;
            }
            "TAKUMI_LOG" => {
                let words = [
                    ("error", LevelFilter::Error),
                    ("warn", LevelFilter::Warn),
                    ("info", LevelFilter::Info),
                    ("debug", LevelFilter::Debug),
                    ("trace", LevelFilter::Trace),
                ];
                self.log = word(value, &words, "error, warn, info, debug or trace")?;
            }
            "TAKUMI_LOG_FORMAT" => {
                self.log_format = word(value, &[("text", Format::Text), ("json", Format::Json)], "text or json")?;
            }
            // A name in the table without a line here would be a setting that nobody reads.
            _ => return Err("nothing: this setting is not read (internal error in init; please report it)".into()),
        }
        Ok(())
    }

    /// What only two settings together, or a version that lacks a protection, make wrong: who asks for a shield that is
    /// not there must not get a start without it.
    fn check_combinations(&self, mistakes: &mut Vec<SettingsError>) {
        let mut refuse = |name: &str, value: &str, expected: &str| {
            mistakes.push(SettingsError::Value(name.to_string(), value.as_bytes().to_vec(), expected.to_string()));
        };
        for &skipped in &self.skip {
            if let Some(setting) = self.required_by(skipped) {
                refuse("TAKUMI_SKIP", skipped.name(), &format!("a list without the checks that {setting} requires"));
            }
        }
        if self.health_url.is_none() && self.stop.iter().any(|rung| rung.signal.is_none()) {
            refuse("TAKUMI_STOP", "drain", "TAKUMI_HEALTH_URL to be set too: drain asks ComfyUI at its host and port");
        }
        let demands = matches!(self.scan, ScanMode::Block | ScanMode::Quarantine);
        if demands && self.nodes.is_none() {
            refuse("TAKUMI_NODES", "", "the directory of the nodes, because TAKUMI_SCAN is block or quarantine");
        }
        let within = |path: &CString, volume: &CString| is_within(path.to_bytes(), volume.to_bytes());
        if self.scan == ScanMode::Off && self.require.contains(&Check::NodeScan) {
            refuse("TAKUMI_SCAN", "off", "warn, block or quarantine, because TAKUMI_REQUIRE names node-scan");
        }
        if let Some(state) = self.state.as_ref().filter(|state| self.volumes.iter().any(|volume| within(state, volume)))
        {
            let expected = "a directory outside TAKUMI_VOLUMES, because COMMAND can write there";
            refuse("TAKUMI_STATE", &state.to_string_lossy(), expected);
        }
    }
}

#[cfg(test)]
mod tests;
