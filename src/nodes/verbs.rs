//! What `init` asks of this program, and what a person reads.

use super::answer::{Answer, MAX_BYTES, Verdict};
use super::approvals::{Approvals, Reports};
use super::judge::{self, Judged, Standing};
use super::quarantine::{self, Way};
use super::review::{self, Request};
use super::{Seen, message, overlay};
use crate::logging::Format;
use crate::settings::{Scan, Settings};
use crate::sys::clock;
use crate::text::SingleLine;
use serde::Serialize;
use std::ffi::{CStr, CString};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verb {
    Start,
    Report,
    List,
    Show(String),
    Approve(String),
    Revoke(String),
    Rename(Way, Vec<String>),
}

/// What an answer is made of.
pub struct Nodes<'a> {
    pub settings: &'a Settings,
    pub virtual_env: Option<CString>,
    /// None where what was kept is no list of approvals.
    pub approvals: Option<Approvals>,
    pub reports: Reports,
    pub stopped: &'a dyn Fn() -> bool,
}

/// An answer, what is to be printed at once, and what is to be kept.
#[derive(Default)]
pub struct Done {
    pub answer: Answer,
    pub printed: String,
    pub kept: Option<Vec<u8>>,
}

impl Nodes<'_> {
    /// Does it. Errors: why it is not done, as a sentence.
    pub fn answer(mut self, verb: Verb, json: bool) -> Result<Done, String> {
        match verb {
            Verb::Start => Ok(self.start()),
            Verb::Report => {
                let judged = self.judge(&self.review(self.directory(), None));
                Ok(Done {
                    answer: Answer { verdict: Some(self.verdict(&judged)), ..Answer::default() },
                    ..Done::default()
                })
            }
            Verb::List => self.printed(self.list(), json, table),
            Verb::Show(name) => self.printed(vec![find(self.list(), &name)?], json, shown),
            Verb::Approve(name) => self.approve(&name, json),
            Verb::Revoke(name) => {
                let approvals = self
                    .approvals
                    .as_mut()
                    .ok_or_else(|| format!("nothing can be revoked: {}", damaged(self.settings)))?;
                if approvals.approved.remove(&name).is_none() {
                    return Err(format!("{} is not approved (see init --nodes list)", SingleLine(&name)));
                }
                let kept = Some(written(approvals)?);
                Ok(Done { answer: output(done("revoked", &name, None, json)), kept, ..Done::default() })
            }
            Verb::Rename(way, names) => Ok(Done { answer: self.rename(way, &names), ..Done::default() }),
        }
    }

    fn start(&self) -> Done {
        let seen = self.review(self.directory(), None);
        let judged = self.judge(&seen);
        let names = if self.settings.scan == Scan::Quarantine { self.open(&judged) } else { Vec::new() };
        let notes = if self.approvals.is_some() {
            vec![]
        } else {
            vec![format!("no approval counts: {}", damaged(self.settings))]
        };
        let mut answer = Answer { verdict: Some(self.verdict(&judged)), notes, names, ..Answer::default() };
        answer.warning = match self.settings.log_format {
            Format::Json => warning_object(judged.iter().filter(|judged| judged.is_open()).collect()),
            Format::Text => message::warning(&judged),
        };
        let renewed = self.reports.renewed(&seen);
        let kept = if renewed == self.reports { None } else { written(&renewed).ok() };
        Done { answer, kept, ..Done::default() }
    }

    fn directory(&self) -> &CStr {
        self.settings.nodes.as_deref().unwrap_or(c"")
    }

    fn aside(&self) -> CString {
        let aside = [self.directory().to_bytes(), b"/", quarantine::DIRECTORY.to_bytes()].concat();
        CString::new(aside).unwrap_or_default()
    }

    /// `whole`: whose files are listed, beside those that are not what was approved.
    fn review(&self, directory: &CStr, whole: Option<&str>) -> Vec<Seen> {
        let none = Approvals::default();
        let approvals = self.approvals.as_ref().unwrap_or(&none);
        let differs = |name: &str, digest: Option<&str>| {
            let approval = approvals.approved.get(name);
            approval.is_some_and(|approval| Some(approval.digest.as_str()) != digest) || whole == Some(name)
        };
        let is_aside = directory != self.directory();
        // The environments are told once.
        let environments = match is_aside {
            true => Vec::new(),
            false => overlay::environments(&self.settings.volumes, self.virtual_env.as_deref()),
        };
        review::review(&Request {
            directory,
            environments: &environments,
            command: &self.settings.scan_command,
            known: &self.reports.known(approvals),
            lists_files: &differs,
            stopped: self.stopped,
        })
    }

    fn judge(&self, seen: &[Seen]) -> Vec<Judged> {
        let none = Approvals::default();
        judge::judge(seen, &self.approvals.as_ref().unwrap_or(&none).approved)
    }

    /// As if all that is to be moved aside were.
    fn verdict(&self, judged: &[Judged]) -> Verdict {
        let aside = if self.settings.scan == Scan::Quarantine { self.open(judged) } else { Vec::new() };
        judge::verdict(judged, &aside)
    }

    /// Who is to be moved aside. The directory itself stands for what could not be listed in it.
    fn open(&self, judged: &[Judged]) -> Vec<String> {
        let open = judged.iter().filter(|judged| judged.is_open()).map(|judged| judged.name.clone());
        open.filter(|name| name.as_bytes() != self.directory().to_bytes()).collect()
    }

    fn rename(&self, way: Way, names: &[String]) -> Answer {
        let mut answer = Answer::default();
        for moved in quarantine::rename_all(self.directory(), names, way) {
            let name = moved.name;
            match moved.answer {
                Ok(_) if way == Way::Back => answer.names.push(name),
                Ok(path) => {
                    let back = match name.starts_with('/') {
                        true => format!("mv {path} {name}"),
                        false => format!("init --nodes approve {name}"),
                    };
                    answer
                        .notes
                        .push(format!("{name} is in quarantine now, {path} (to have it back as it is: {back})"));
                    answer.names.push(name);
                }
                Err(errno) if way == Way::Back => answer.notes.push(errno.to_string()),
                Err(errno) => answer.notes.push(format!("{name} could not be moved aside: {errno}")),
            }
        }
        answer
    }

    fn list(&self) -> Vec<Listed> {
        let each = |quarantined| move |judged| Listed { judged, quarantined };
        let mut all: Vec<Listed> =
            self.judge(&self.review(self.directory(), None)).into_iter().map(each(false)).collect();
        all.extend(self.judge(&self.review(&self.aside(), None)).into_iter().map(each(true)));
        all
    }

    fn printed(&self, listed: Vec<Listed>, json: bool, text: fn(&[Listed]) -> String) -> Result<Done, String> {
        let printed = if json { object(&listed)? } else { text(&listed) };
        Ok(Done { printed, ..Done::default() })
    }

    fn approve(&mut self, name: &str, json: bool) -> Result<Done, String> {
        let shown = SingleLine(name).to_string();
        if self.approvals.is_none() {
            return Err(format!("nothing can be approved: {}", damaged(self.settings)));
        }
        for quarantined in [false, true] {
            let directory = if quarantined { self.aside() } else { self.directory().into() };
            let seen = self.review(&directory, Some(name)).into_iter().find(|seen| seen.name == name);
            let Some(seen) = seen else { continue };
            let Some(digest) = seen.digest.clone() else {
                let why = seen.report.unscanned.join("; ");
                return Err(format!("{shown} cannot be approved, since not everything in it can be read: {why}"));
            };
            let approvals = self.approvals.get_or_insert_default();
            approvals.approve(seen, clock::seconds_since_1970());
            let names = if quarantined { vec![name.to_owned()] } else { Vec::new() };
            let answer = Answer { names, ..output(done("approved", name, Some(digest), json)) };
            return Ok(Done { answer, kept: Some(written(approvals)?), ..Done::default() });
        }
        Err(format!("{shown} is no node here (see init --nodes list)"))
    }
}

fn damaged(settings: &Settings) -> String {
    let state = settings.state.as_deref().unwrap_or_default().to_string_lossy();
    format!("{state}/nodes.json is no list of approvals (remove it, and approve the nodes again)")
}

fn written(kept: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(kept).map_err(|error| error.to_string())
}

fn object(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|error| error.to_string())
}

fn output(output: String) -> Answer {
    Answer { output, ..Answer::default() }
}

/// One line of JSON, with as many nodes as an answer has room for.
fn warning_object(mut nodes: Vec<&Judged>) -> Vec<String> {
    #[derive(Serialize)]
    struct Warning<'a> {
        level: &'static str,
        message: &'static str,
        nodes: &'a [&'a Judged],
    }
    while !nodes.is_empty() {
        let warning = Warning { level: "warn", message: message::HEADLINE, nodes: &nodes };
        match serde_json::to_string(&warning) {
            Ok(line) if line.len() <= MAX_BYTES / 4 => return vec![line],
            _ => nodes.truncate(nodes.len() / 2),
        }
    }
    Vec::new()
}

/// A node, and whether it is in quarantine.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    judged: Judged,
    quarantined: bool,
}

fn find(listed: Vec<Listed>, name: &str) -> Result<Listed, String> {
    let found = listed.into_iter().find(|listed| listed.judged.name == name);
    found.ok_or_else(|| format!("{} is no node here (see init --nodes list)", SingleLine(name)))
}

#[derive(Serialize)]
struct Change<'a> {
    name: &'a str,
    done: &'a str,
    digest: Option<String>,
}

fn done(what: &str, name: &str, digest: Option<String>, json: bool) -> String {
    if json {
        return object(&Change { name, done: what, digest }).unwrap_or_default();
    }
    let name = SingleLine(name);
    match digest {
        Some(digest) => format!("{what}: {name}, sha256 {digest}\n"),
        None => format!("{what}: {name}\n"),
    }
}

fn shown(listed: &[Listed]) -> String {
    let mut text = String::new();
    for Listed { judged, quarantined } in listed {
        text += &every_line(judged);
        if *quarantined {
            text += "  in quarantine: ComfyUI does not load it (init --nodes approve puts it back)\n";
        }
    }
    text
}

/// All that is known of a node.
pub fn every_line(judged: &Judged) -> String {
    let mut lines = message::of_node(judged, true);
    let [high, medium, low] = judged.report.severities;
    lines
        .push(format!("  Bandit counts {high} high, {medium} medium, {low} low (its own rating, which is no verdict)"));
    lines.extend(judged.digest.as_ref().map(|digest| format!("  sha256 {digest}")));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no nodes are there\n".to_string();
    }
    let name = |listed: &Listed| SingleLine(&listed.judged.name).to_string();
    let width = listed.iter().map(|listed| name(listed).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for each in listed {
        let mut words = vec![message::standing(each.judged.standing).to_string()];
        if each.quarantined {
            words.push("in quarantine".to_string());
        }
        let can: Vec<&str> = each.judged.report.can.iter().map(|can| can.ability.words()).collect();
        if !can.is_empty() && each.judged.standing != Standing::Approved {
            words.push(can.join("; "));
        }
        text += &format!("{:width$}  {}\n", name(each), words.join(", "));
    }
    text
}
