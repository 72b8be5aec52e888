//! What `init` asks of this program, and what a person reads.

use super::approvals::{Approvals, ReportCache};
use super::quarantine;
use super::response::{MAX_BYTES, Response, ScanVerdict};
use super::review::{self, ReviewRequest};
use super::verdict::{self, NodeVerdict, ReviewStatus};
use super::{ScanResult, message, virtual_env};
use crate::logging::Format;
use crate::settings::{ScanMode, Settings};
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
    Quarantine(Vec<String>),
    Restore(Vec<String>),
}

/// What an answer is made of.
pub struct VerbContext<'a> {
    pub settings: &'a Settings,
    pub virtual_env: Option<CString>,
    /// None where what was kept is no list of approvals.
    pub approvals: Option<Approvals>,
    pub reports: ReportCache,
    pub stopped: &'a dyn Fn() -> bool,
}

/// An answer, what is to be printed at once, and what is to be kept.
#[derive(Default)]
pub struct VerbResult {
    pub response: Response,
    pub printed: String,
    pub kept: Option<Vec<u8>>,
}

impl VerbContext<'_> {
    /// Does it. Errors: why it is not done, as a sentence.
    pub fn execute(mut self, verb: Verb, json: bool) -> Result<VerbResult, String> {
        match verb {
            Verb::Start => Ok(self.scan_at_start()),
            Verb::Report => {
                let verdicts = self.compare_with_approvals(&self.review(self.directory(), None));
                Ok(VerbResult {
                    response: Response { verdict: Some(self.verdict(&verdicts)), ..Response::default() },
                    ..VerbResult::default()
                })
            }
            Verb::List => self.print_nodes(self.list(), json, table_text),
            Verb::Show(name) => self.print_nodes(vec![find_node(self.list(), &name)?], json, detail_text),
            Verb::Approve(name) => self.approve(&name, json),
            Verb::Revoke(name) => {
                let approvals = self
                    .approvals
                    .as_mut()
                    .ok_or_else(|| format!("nothing can be revoked: {}", damaged_approvals(self.settings)))?;
                if approvals.approved.remove(&name).is_none() {
                    return Err(format!("{} is not approved (see init --nodes list)", SingleLine(&name)));
                }
                let kept = Some(to_json(approvals)?);
                Ok(VerbResult {
                    response: response_with_output(change_text("revoked", &name, None, json)),
                    kept,
                    ..VerbResult::default()
                })
            }
            Verb::Quarantine(names) => Ok(VerbResult { response: self.quarantine(&names), ..VerbResult::default() }),
            Verb::Restore(names) => Ok(VerbResult { response: self.restore(&names), ..VerbResult::default() }),
        }
    }

    fn scan_at_start(&self) -> VerbResult {
        let results = self.review(self.directory(), None);
        let verdicts = self.compare_with_approvals(&results);
        let names = if self.settings.scan == ScanMode::Quarantine { self.unapproved(&verdicts) } else { Vec::new() };
        let notes = if self.approvals.is_some() {
            vec![]
        } else {
            vec![format!("approvals ignored: {}", damaged_approvals(self.settings))]
        };
        let mut response = Response { verdict: Some(self.verdict(&verdicts)), notes, names, ..Response::default() };
        response.warning = match self.settings.log_format {
            Format::Json => warning_object(verdicts.iter().filter(|verdict| verdict.needs_review()).collect()),
            Format::Text => message::warning(&verdicts),
        };
        let updated = self.reports.updated_with(&results);
        let kept = if updated == self.reports { None } else { to_json(&updated).ok() };
        VerbResult { response, kept, ..VerbResult::default() }
    }

    fn directory(&self) -> &CStr {
        self.settings.nodes.as_deref().unwrap_or(c"")
    }

    fn quarantine_directory(&self) -> CString {
        let aside = [self.directory().to_bytes(), b"/", quarantine::DIRECTORY.to_bytes()].concat();
        CString::new(aside).unwrap_or_default()
    }

    /// `whole`: whose files are listed, beside those that are not what was approved.
    fn review(&self, directory: &CStr, whole: Option<&str>) -> Vec<ScanResult> {
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
            false => virtual_env::find_writable(&self.settings.volumes, self.virtual_env.as_deref()),
        };
        review::review_all(&ReviewRequest {
            directory,
            environments: &environments,
            command: &self.settings.scan_command,
            known: &self.reports.by_digest(approvals),
            lists_files: &differs,
            stopped: self.stopped,
        })
    }

    fn compare_with_approvals(&self, results: &[ScanResult]) -> Vec<NodeVerdict> {
        let none = Approvals::default();
        verdict::compare_with_approvals(results, &self.approvals.as_ref().unwrap_or(&none).approved)
    }

    /// As if all that is to be moved aside were.
    fn verdict(&self, verdicts: &[NodeVerdict]) -> ScanVerdict {
        let aside = if self.settings.scan == ScanMode::Quarantine { self.unapproved(verdicts) } else { Vec::new() };
        verdict::scan_verdict(verdicts, &aside)
    }

    /// Who is to be moved aside. The directory itself stands for what could not be listed in it.
    fn unapproved(&self, verdicts: &[NodeVerdict]) -> Vec<String> {
        let open = verdicts.iter().filter(|verdict| verdict.needs_review()).map(|verdict| verdict.name.clone());
        open.filter(|name| name.as_bytes() != self.directory().to_bytes()).collect()
    }

    fn quarantine(&self, names: &[String]) -> Response {
        let mut response = Response::default();
        for moved in quarantine::quarantine(self.directory(), names) {
            let name = moved.name;
            match moved.result {
                Ok(path) => {
                    let back = match name.starts_with('/') {
                        true => format!("mv {path} {name}"),
                        false => format!("init --nodes approve {name}"),
                    };
                    response.notes.push(format!("{name} moved to quarantine: {path} (to restore it: {back})"));
                    response.names.push(name);
                }
                Err(errno) => response.notes.push(format!("cannot move {name} to quarantine: {errno}")),
            }
        }
        response
    }

    fn restore(&self, names: &[String]) -> Response {
        let mut response = Response::default();
        for moved in quarantine::restore(self.directory(), names) {
            match moved.result {
                Ok(_) => response.names.push(moved.name),
                Err(errno) => response.notes.push(errno.to_string()),
            }
        }
        response
    }

    fn list(&self) -> Vec<ListedNode> {
        let each = |quarantined| move |verdict| ListedNode { verdict, quarantined };
        let mut all: Vec<ListedNode> =
            self.compare_with_approvals(&self.review(self.directory(), None)).into_iter().map(each(false)).collect();
        all.extend(
            self.compare_with_approvals(&self.review(&self.quarantine_directory(), None)).into_iter().map(each(true)),
        );
        all
    }

    fn print_nodes(
        &self,
        listed: Vec<ListedNode>,
        json: bool,
        text: fn(&[ListedNode]) -> String,
    ) -> Result<VerbResult, String> {
        let printed = if json { to_json_line(&listed)? } else { text(&listed) };
        Ok(VerbResult { printed, ..VerbResult::default() })
    }

    fn approve(&mut self, name: &str, json: bool) -> Result<VerbResult, String> {
        let shown = SingleLine(name).to_string();
        if self.approvals.is_none() {
            return Err(format!("nothing can be approved: {}", damaged_approvals(self.settings)));
        }
        for quarantined in [false, true] {
            let directory = if quarantined { self.quarantine_directory() } else { self.directory().into() };
            let result = self.review(&directory, Some(name)).into_iter().find(|result| result.name == name);
            let Some(result) = result else { continue };
            let Some(digest) = result.digest.clone() else {
                let why = result.report.unscanned.join("; ");
                return Err(format!("{shown} cannot be approved: parts of it cannot be read: {why}"));
            };
            let approvals = self.approvals.get_or_insert_default();
            approvals.approve(result, clock::seconds_since_1970());
            let names = if quarantined { vec![name.to_owned()] } else { Vec::new() };
            let response =
                Response { names, ..response_with_output(change_text("approved", name, Some(digest), json)) };
            return Ok(VerbResult { response, kept: Some(to_json(approvals)?), ..VerbResult::default() });
        }
        Err(format!("{shown} is not a node here (see init --nodes list)"))
    }
}

fn damaged_approvals(settings: &Settings) -> String {
    let state = settings.state.as_deref().unwrap_or_default().to_string_lossy();
    format!("{state}/nodes.json is not a list of approvals (remove it and approve the nodes again)")
}

fn to_json(kept: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(kept).map_err(|error| error.to_string())
}

fn to_json_line(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|error| error.to_string())
}

fn response_with_output(output: String) -> Response {
    Response { output, ..Response::default() }
}

/// One line of JSON, with as many nodes as an answer has room for.
fn warning_object(mut nodes: Vec<&NodeVerdict>) -> Vec<String> {
    #[derive(Serialize)]
    struct Warning<'a> {
        level: &'static str,
        message: &'static str,
        nodes: &'a [&'a NodeVerdict],
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
struct ListedNode {
    #[serde(flatten)]
    verdict: NodeVerdict,
    quarantined: bool,
}

fn find_node(listed: Vec<ListedNode>, name: &str) -> Result<ListedNode, String> {
    let found = listed.into_iter().find(|listed| listed.verdict.name == name);
    found.ok_or_else(|| format!("{} is not a node here (see init --nodes list)", SingleLine(name)))
}

#[derive(Serialize)]
struct ChangeRecord<'a> {
    name: &'a str,
    done: &'a str,
    digest: Option<String>,
}

fn change_text(what: &str, name: &str, digest: Option<String>, json: bool) -> String {
    if json {
        return to_json_line(&ChangeRecord { name, done: what, digest }).unwrap_or_default();
    }
    let name = SingleLine(name);
    match digest {
        Some(digest) => format!("{what}: {name}, sha256 {digest}\n"),
        None => format!("{what}: {name}\n"),
    }
}

fn detail_text(listed: &[ListedNode]) -> String {
    let mut text = String::new();
    for ListedNode { verdict, quarantined } in listed {
        text += &full_report(verdict);
        if *quarantined {
            text += "  in quarantine: ComfyUI does not load it (init --nodes approve restores it)\n";
        }
    }
    text
}

/// All that is known of a node.
pub fn full_report(verdict: &NodeVerdict) -> String {
    let mut lines = message::node_lines(verdict, true);
    let [high, medium, low] = verdict.report.severities;
    lines.push(format!("  Bandit counts {high} high, {medium} medium, {low} low (its own rating, not a verdict)"));
    lines.extend(verdict.digest.as_ref().map(|digest| format!("  sha256 {digest}")));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn table_text(listed: &[ListedNode]) -> String {
    if listed.is_empty() {
        return "no nodes found\n".to_string();
    }
    let name = |listed: &ListedNode| SingleLine(&listed.verdict.name).to_string();
    let width = listed.iter().map(|listed| name(listed).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for each in listed {
        let mut words = vec![message::status_text(each.verdict.status).to_string()];
        if each.quarantined {
            words.push("in quarantine".to_string());
        }
        let summary: Vec<&str> =
            each.verdict.report.behaviours.iter().map(|summary| summary.behaviour.description()).collect();
        if !summary.is_empty() && each.verdict.status != ReviewStatus::Approved {
            words.push(summary.join("; "));
        }
        text += &format!("{:width$}  {}\n", name(each), words.join(", "));
    }
    text
}
