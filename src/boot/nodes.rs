//! The nodes before COMMAND runs, and again before each new start of it.

use super::refusal::Refusal;
use super::told_to_stop;
use crate::identity::Identity;
use crate::logging;
use crate::nodes::approvals::{self, Book};
use crate::nodes::judge::{self, Judged};
use crate::nodes::look::{self, Wish};
use crate::nodes::quarantine::{self, Way};
use crate::nodes::{Seen, message, overlay};
use crate::posture::finding::Finding;
use crate::settings::checks::Check;
use crate::settings::{Scan, Settings, value_of};
use crate::sys::{Errno, process};
use log::warn;
use std::ffi::{CStr, CString};

/// What a scan needs, kept for a reboot.
pub(super) struct Nodes {
    directory: CString,
    volumes: Vec<CString>,
    virtual_env: Option<CString>,
    command: Vec<u8>,
    mode: Scan,
    state: Option<CString>,
    book: Book,
    /// The file was read once. After the drop it cannot be; the book still counts.
    book_is_read: bool,
}

/// What may follow from a scan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `--report`: nothing.
    Report,
    /// COMMAND starts: a warning, nodes moved aside, and, as container root, what is known is kept.
    Start,
}

impl Nodes {
    /// Nothing where no nodes are to be scanned.
    pub(super) fn of(settings: &Settings, environment: &[&CStr]) -> Option<Self> {
        let directory = settings.nodes.clone()?;
        if settings.scan == Scan::Off || settings.skip.contains(&Check::NodeScan) {
            return None;
        }
        let virtual_env = value_of(environment, b"VIRTUAL_ENV").and_then(|value| CString::new(value).ok());
        Some(Nodes {
            volumes: settings.volumes.clone(),
            virtual_env,
            directory,
            command: settings.scan_command.clone(),
            mode: settings.scan,
            state: settings.state.clone(),
            book: Book::new(&settings.scan_command),
            book_is_read: false,
        })
    }

    /// Looks, judges and says what a person must know. `user`: whom COMMAND becomes; `None`: who runs already.
    pub(super) fn scan(&mut self, user: Option<&Identity>, purpose: Purpose) -> Result<Finding, Refusal> {
        let remembers = self.read_book();
        let mut stopped = || told_to_stop().unwrap_or(false);
        let seen = match self.look(&self.directory, user, None, &mut stopped) {
            Ok(seen) => seen,
            Err(look::Error::Stopped) => return Err(Refusal::ToldToStop),
            Err(error) => return Ok(self.unknown(&error)),
        };
        let judged = judge::judge(&seen, &self.book.approved);
        if purpose == Purpose::Report {
            // What a start would do: it moves them.
            let aside = if self.mode == Scan::Quarantine { self.open(&judged) } else { Vec::new() };
            return Ok(judge::finding(&judged, self.mode, &aside));
        }
        self.tell(&judged, remembers.as_ref().err());
        let aside = if self.mode == Scan::Quarantine { self.move_aside(&judged, user) } else { Vec::new() };
        if self.book.remember(&seen) && remembers.is_ok() && user.is_some() {
            self.keep();
        }
        Ok(judge::finding(&judged, self.mode, &aside))
    }

    /// What is approved by now. After the drop, where the file cannot be read, what was known at the start.
    pub(super) fn read_book(&mut self) -> Result<(), approvals::Error> {
        let state = self.state.as_deref().ok_or(approvals::Error::NoDirectory)?;
        let read = Book::read(state, &self.command)?;
        self.book = read.with_reports_of(&self.book);
        self.book_is_read = true;
        Ok(())
    }

    fn look(
        &self,
        directory: &CStr,
        user: Option<&Identity>,
        whole: Option<&str>,
        stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Seen>, look::Error> {
        let approved = &self.book.approved;
        let differs = |name: &str, digest: Option<&str>| {
            let differs = approved.get(name).is_some_and(|approval| Some(approval.digest.as_str()) != digest);
            differs || whole == Some(name)
        };
        // COMMAND makes them: asked for at each look.
        let environments = overlay::environments(&self.volumes, self.virtual_env.as_deref());
        let wish = Wish {
            directory,
            environments: &environments,
            command: &self.command,
            user,
            own: process::own_id(),
            known: &self.book.known(),
            tell_files: &differs,
        };
        look::look(&wish, stopped)
    }

    /// What is in the directory of nodes, or in quarantine, whatever follows. `whole`: whose files are told one by one.
    pub(super) fn seen(
        &self,
        user: Option<&Identity>,
        quarantined: bool,
        whole: Option<&str>,
    ) -> Result<Vec<Seen>, String> {
        let aside = [self.directory.to_bytes(), b"/", quarantine::DIRECTORY.to_bytes()].concat();
        let aside = CString::new(aside).unwrap_or_default();
        let directory = if quarantined { &aside } else { &self.directory };
        let mut seen = self.look(directory, user, whole, &mut || false).map_err(|error| error.to_string())?;
        // The environments are told once.
        seen.retain(|seen| !quarantined || !seen.name.starts_with('/'));
        Ok(seen)
    }

    /// The same, judged.
    pub(super) fn judged(&self, user: Option<&Identity>, quarantined: bool) -> Result<Vec<Judged>, String> {
        Ok(judge::judge(&self.seen(user, quarantined, None)?, &self.book.approved))
    }

    pub(super) fn directory(&self) -> &CStr {
        &self.directory
    }

    /// Keeps that a person approved it.
    pub(super) fn approve(&mut self, seen: Seen, at: u64) -> Result<(), approvals::Error> {
        let state = self.state.as_deref().ok_or(approvals::Error::NoDirectory)?;
        self.book.approve(seen, at);
        self.book.write(state)
    }

    /// Returns whether it was approved.
    pub(super) fn revoke(&mut self, name: &str) -> Result<bool, approvals::Error> {
        let state = self.state.as_deref().ok_or(approvals::Error::NoDirectory)?;
        if self.book.approved.remove(name).is_none() {
            return Ok(false);
        }
        self.book.write(state).map(|()| true)
    }

    fn unknown(&self, error: &look::Error) -> Finding {
        let fix =
            "see the reason; `init --nodes list` in the container tries again, TAKUMI_SCAN=off starts without a look";
        Finding { required: self.mode != Scan::Warn, ..Finding::unknown(Check::NodeScan, error.to_string(), fix) }
    }

    fn tell(&self, judged: &[Judged], forgets: Option<&approvals::Error>) {
        let lines = message::warning(judged);
        if let Some(error) = forgets.filter(|error| !lines.is_empty() || **error != approvals::Error::NoDirectory) {
            match self.book_is_read {
                false => warn!("no approval counts: {error}"),
                true if lines.is_empty() => (),
                true => warn!("what was approved since the container started counts when it starts again"),
            }
        }
        if lines.is_empty() || log::max_level() < log::LevelFilter::Warn {
            return;
        }
        if logging::is_json() {
            let nodes = judged.iter().filter(|judged| judged.is_open()).collect();
            let told = Told { level: "warn", message: message::HEADLINE, nodes };
            return logging::block(serde_json::to_string(&told).into_iter());
        }
        logging::block(lines.iter().map(|line| format!("init: {line}")));
    }

    /// Who is to be moved aside. The directory itself stands for what could not be listed in it.
    fn open(&self, judged: &[Judged]) -> Vec<String> {
        let open = judged.iter().filter(|judged| judged.is_open()).map(|judged| judged.name.clone());
        open.filter(|name| name.as_bytes() != self.directory.to_bytes()).collect()
    }

    /// Returns who is out of the way. Who is not stays open, and refuses the start.
    fn move_aside(&self, judged: &[Judged], user: Option<&Identity>) -> Vec<String> {
        let open = self.open(judged);
        if open.is_empty() {
            return open;
        }
        let moved = match quarantine::put(&self.directory, &open, Way::Aside, user) {
            Ok(moved) => moved,
            Err(errno) => {
                warn!("no node could be moved aside: {errno}");
                return Vec::new();
            }
        };
        let mut aside = Vec::new();
        for moved in moved {
            match moved.answer {
                Ok(path) => {
                    let back = match moved.name.starts_with('/') {
                        true => format!("mv {path} {}", moved.name),
                        false => format!("init --nodes approve {}", moved.name),
                    };
                    warn!("{} is in quarantine now, {path} (to have it back as it is: {back})", moved.name);
                    aside.push(moved.name);
                }
                Err(errno) => warn!("{} could not be moved aside: {}", moved.name, Errno(errno)),
            }
        }
        aside
    }

    fn keep(&self) {
        if let Some(error) = self.state.as_deref().and_then(|state| self.book.write(state).err()) {
            warn!("the next start scans all nodes again: {error}");
        }
    }
}

#[derive(serde::Serialize)]
struct Told<'a> {
    level: &'static str,
    message: &'static str,
    nodes: Vec<&'a Judged>,
}
