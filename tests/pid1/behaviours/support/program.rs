//! The programs, and how each is told the same thing.

use super::check::NO_SUCH_OPTION;
use std::fmt;
use std::path::PathBuf;
use takumi_test::program::{init, installed};
use takumi_test::signal::number;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    Init,
    Tini,
    DumbInit,
}

/// Whom a forwarded signal reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Child,
    Group,
    All,
}

/// What a behaviour asks of the program, whichever it is.
#[derive(Clone, Default)]
pub struct Options {
    pub scope: Option<Scope>,
    /// Pairs of signals by number or name; an empty second one drops the signal.
    pub rewrite: Vec<(String, String)>,
    pub grace: Option<String>,
    pub exit_ok: Option<String>,
    pub subreaper: bool,
    pub parent_death: Option<String>,
    pub user: Option<String>,
    pub verbose: bool,
    pub reap_log: bool,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Program::Init => "init",
            Program::Tini => "tini",
            Program::DumbInit => "dumb-init",
        }
    }

    pub fn path(self) -> PathBuf {
        match self {
            Program::Init => init(),
            Program::Tini | Program::DumbInit => installed(self.name()),
        }
    }

    /// What its behaviours need in order to be tried.
    pub fn needs(self) -> &'static [&'static str] {
        match self {
            Program::Init => &["namespaces"],
            Program::Tini => &["namespaces", "tini"],
            Program::DumbInit => &["namespaces", "dumb-init"],
        }
    }

    /// The options on the command line, up to and with `--` where the program needs it.
    pub fn arguments(self, options: &Options) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| word.to_string()));
        match self {
            Program::Init => {}
            Program::Tini => {
                refuse_unless(options.rewrite.is_empty() && options.grace.is_none());
                match options.scope {
                    Some(Scope::Group) => add(&["-g"]),
                    Some(Scope::All) => refuse_unless(false),
                    Some(Scope::Child) | None => {}
                }
                options.exit_ok.iter().flat_map(|codes| codes.split(',')).for_each(|code| add(&["-e", code]));
                options.parent_death.iter().for_each(|signal| add(&["-p", &format!("SIG{signal}")]));
                let switches = [(options.subreaper, "-s"), (options.verbose, "-vvv"), (options.reap_log, "-w")];
                add(&switches.iter().filter(|(asked, _)| *asked).map(|(_, option)| *option).collect::<Vec<_>>());
                add(&["--"]);
            }
            Program::DumbInit => {
                refuse_unless(options.grace.is_none() && options.exit_ok.is_none() && !options.subreaper);
                refuse_unless(options.parent_death.is_none() && !options.reap_log);
                match options.scope {
                    Some(Scope::Child) => add(&["-c"]),
                    Some(Scope::All) => refuse_unless(false),
                    Some(Scope::Group) | None => {}
                }
                for (from, to) in &options.rewrite {
                    // The option takes numbers; a name stays a name, to be refused by the program itself.
                    add(&["-r", &format!("{from}:{}", if to.is_empty() { "0" } else { to })]);
                }
                if options.verbose {
                    add(&["-v"]);
                }
                add(&["--"]);
            }
        }
        if let (Program::Tini | Program::DumbInit, Some(user)) = (self, &options.user) {
            arguments.extend([installed("gosu").to_str().unwrap().to_owned(), user.clone()]);
        }
        arguments
    }

    /// The settings in the environment.
    pub fn settings(self, options: &Options) -> Vec<(&'static str, String)> {
        if self != Program::Init {
            return Vec::new();
        }
        let mut settings =
            vec![("TAKUMI_LOG", if options.verbose || options.reap_log { "trace" } else { "warn" }.into())];
        let mut set = |name, value: Option<String>| settings.extend(value.map(|value| (name, value)));
        let scope = options.scope.map(|scope| match scope {
            Scope::Child => "child",
            Scope::Group => "group",
            Scope::All => "all",
        });
        set("TAKUMI_SIGNAL_SCOPE", scope.map(str::to_owned));
        let rewrites: Vec<String> = options.rewrite.iter().map(|(from, to)| format!("{from}={to}")).collect();
        set("TAKUMI_SIGNALS", (!rewrites.is_empty()).then(|| rewrites.join(",")));
        set("TAKUMI_STOP", options.grace.as_ref().map(|time| format!("TERM:{time}")));
        set("TAKUMI_EXIT_OK", options.exit_ok.clone());
        set("TAKUMI_PARENT_DEATH", options.parent_death.clone());
        set("TAKUMI_USER", options.user.clone());
        settings
    }
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Options {
    /// The same rewrite by number, which every program that rewrites understands.
    pub fn rewrite_by_number(&mut self, from: &str, to: &str) {
        let by_number = |signal: &str| if signal.is_empty() { String::new() } else { number(signal).to_string() };
        self.rewrite.push((by_number(from), by_number(to)));
    }
}

fn refuse_unless(possible: bool) {
    if !possible {
        std::panic::panic_any(NO_SUCH_OPTION.to_string());
    }
}
