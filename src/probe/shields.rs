//! The shields as they are now: what `init` and COMMAND hold, what is required, and the GPU of the start.

use super::verdict::Processes;
use crate::machine::status::{self, BOUNDING, CAPABILITY_SETS, ProcStatus};
use crate::machine::user_namespace::UserNamespace;
use crate::machine::{self, Machine, ObserveOptions, devices};
use crate::posture::{self, finding::Finding, gpu};
use crate::settings::checks::Check;
use crate::settings::{ConfineMode, Settings};
use crate::sys::clock::Instant;
use crate::sys::{Errno, ProcessId, UserId, forked_task, fs, io};
use crate::text::Escaped;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::time::Duration;

/// `init` and COMMAND as /proc shows them: before COMMAND runs `init` still needs what it has. Who has ended holds nothing and is left out.
pub fn read_statuses(found: Processes) -> Vec<(&'static str, Result<ProcStatus, Errno>)> {
    let Processes::Both(init, command) = found else { return Vec::new() };
    let statuses = [("init", init.id), ("COMMAND", command.id)].map(|(who, id)| (who, status::read_of(id)));
    let is_there = |(_, status): &(_, _)| !matches!(status, Err(Errno(libc::ENOENT | libc::ESRCH)));
    statuses.into_iter().filter(is_there).collect()
}

/// The three that always hold, of each of them.
pub fn process_findings(
    statuses: &[(&str, Result<ProcStatus, Errno>)],
    root_by_choice: bool,
    expected: Option<UserId>,
) -> Vec<Finding> {
    let each = [
        finding_of_all(Check::Unprivileged, statuses, |who, status| {
            check_unprivileged(who, status, root_by_choice, expected)
        }),
        finding_of_all(Check::Capabilities, statuses, check_capabilities),
        finding_of_all(Check::NoNewPrivileges, statuses, check_no_new_privileges),
    ];
    each.into_iter().map(|finding| Finding { required: true, ..finding }).collect()
}

/// A sentence for each process, or what is wrong with the first of them.
fn finding_of_all(
    check: Check,
    statuses: &[(&str, Result<ProcStatus, Errno>)],
    one: impl Fn(&str, &ProcStatus) -> Result<String, Violation>,
) -> Finding {
    let mut held = Vec::new();
    for (who, status) in statuses {
        match status.as_ref().map(|status| one(who, status)) {
            Ok(Ok(sentence)) => held.push(sentence),
            Ok(Err(Violation::Failed(detail))) => return Finding::fail(check, detail, RESTART_FIX),
            Ok(Err(Violation::Unreadable)) => return unreadable_finding(check, who, None),
            Err(errno) => return unreadable_finding(check, who, Some(*errno)),
        }
    }
    match held.is_empty() {
        true => Finding::skipped(check, "there is no process to check"),
        false => Finding::pass(check, held.join("; ")),
    }
}

enum Violation {
    Failed(String),
    Unreadable,
}

const RESTART_FIX: &str =
    "init never leaves this behind: restart the container, and find out what else starts processes in it";

fn unreadable_finding(check: Check, who: &str, errno: Option<Errno>) -> Finding {
    let why = errno.map(|errno| format!(": {errno}")).unwrap_or_default();
    Finding::unknown(
        check,
        format!("/proc does not show this of {who}{why}"),
        "mount /proc in the container, without hidepid",
    )
}

fn check_unprivileged(
    who: &str,
    status: &ProcStatus,
    root_by_choice: bool,
    expected: Option<UserId>,
) -> Result<String, Violation> {
    let users = status.users.ok_or(Violation::Unreadable)?;
    let one = users[0];
    if users.contains(&UserId(0)) && !root_by_choice {
        return Err(Violation::Failed(format!("{who} is root")));
    }
    if users.iter().any(|&user| user != expected.unwrap_or(one)) {
        return Err(Violation::Failed(format!("{who} is uid {one}, not the user of the start")));
    }
    let by_choice = if one == UserId(0) { ", root allowed by TAKUMI_ALLOW_ROOT" } else { "" };
    Ok(format!("{who} is uid {one}{by_choice}"))
}

fn check_capabilities(who: &str, status: &ProcStatus) -> Result<String, Violation> {
    for (set, (name, held)) in CAPABILITY_SETS.iter().zip(status.capabilities).enumerate() {
        match held {
            None => return Err(Violation::Unreadable),
            Some(held) if held != 0 && set != BOUNDING => {
                return Err(Violation::Failed(format!("{who} has capabilities: {name} is {held:#x}")));
            }
            Some(_) => {}
        }
    }
    match status.capabilities[BOUNDING] {
        Some(0) | None => Ok(format!("{who} has none")),
        // A start as an ordinary user cannot empty it, and no_new_privs makes it worthless.
        Some(left) => Ok(format!("{who} has none (the engine left bounding set {left:#x})")),
    }
}

fn check_no_new_privileges(who: &str, status: &ProcStatus) -> Result<String, Violation> {
    match status.no_new_privileges {
        None => Err(Violation::Unreadable),
        Some(false) => Err(Violation::Failed(format!("{who} can gain privileges by exec"))),
        Some(true) => Ok(format!("{who} cannot gain any")),
    }
}

/// What else must hold, as this process, the dropped user, sees it. `own`: of the processes.
pub struct RequiredChecks<'a> {
    pub settings: &'a Settings,
    pub environment: &'a [&'a CStr],
    /// Of this process before its drop, as the engine started it: what the container was given.
    pub given: Option<ProcStatus>,
    pub running: Option<(ProcessId, ProcessId)>,
    /// GPU nodes that could be opened at the start: they must open now, whatever is required.
    pub devices: &'a [String],
}

/// Room for all findings of a child.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

impl RequiredChecks<'_> {
    /// What is to be judged beside the three that always are. Nodes are left to the starts, which have all the time
    /// that a scan takes.
    fn selected(&self) -> Vec<Check> {
        let again = |check: &Check| *check != Check::NodeScan && !Check::ALWAYS.contains(check);
        let required = Check::at_start().filter(|check| self.settings.required_by(*check).is_some());
        required.filter(again).collect()
    }

    /// Looks and judges until `deadline` at the latest.
    pub fn evaluate_until(&self, deadline: Instant) -> Vec<Finding> {
        // Each may take half of what is left: whatever hangs, COMMAND's server is still asked.
        let half = || Instant::now().until(deadline) / 2;
        let mut findings = Vec::new();
        if !self.devices.is_empty() {
            let now = devices::reopen(self.devices, half());
            let namespace = UserNamespace::read().ok();
            findings.push(Finding { required: true, ..gpu::verify_still_open(&now, namespace.as_ref()) });
        }
        let mut checks = self.selected();
        checks.retain(|check| findings.iter().all(|finding| finding.id != *check));
        if !checks.is_empty() {
            findings.extend(self.evaluate_in_child(&checks, half()));
        }
        findings
    }

    /// In a child, since a filesystem whose server is gone holds whoever asks it.
    fn evaluate_in_child(&self, checks: &[Check], patience: Duration) -> Vec<Finding> {
        let answer = forked_task::run(patience, MAX_ANSWER_BYTES, |child| {
            let findings = evaluate(self.settings, &self.observe(checks), checks);
            let _ = child.write_output(&serde_json::to_vec(&findings).unwrap_or_default());
        });
        let lost = |why: String| {
            let finding = Finding::unknown(checks[0], why, "check whether a mount or the proxy of the container hangs");
            vec![Finding { required: true, ..finding }]
        };
        match answer {
            Ok(answer) if answer.timed_out => lost(format!("no answer in {} ms", patience.as_millis())),
            Ok(answer) => serde_json::from_slice(&answer.bytes).unwrap_or_else(|_| lost("no result".to_string())),
            Err(errno) => lost(format!("cannot fork: {errno}")),
        }
    }

    fn observe(&self, checks: &[Check]) -> Observed<'_> {
        let mut machine = machine::observe(&ObserveOptions {
            settings: self.settings,
            environment: self.environment,
            user: None,
            namespace: None,
            only: Some(checks),
        });
        let running = self.running.map(|(init, command)| [init, command].map(status::read_of));
        // The container's, not that of a process that has just dropped: of COMMAND what filters its calls, and what was
        // given.
        if let Some(given) = &self.given {
            let mut given = given.clone();
            if let Some([_, Ok(command)]) = &running {
                (given.seccomp, given.seccomp_filters) = (command.seccomp, command.seccomp_filters);
            }
            machine.status = Ok(given);
        }
        let may_write = |path: &CStr| io::open_path(path).and_then(|directory| fs::may_write(directory.as_fd()));
        let volumes = self.settings.volumes.iter().filter(|_| checks.contains(&Check::Volumes));
        let volumes = volumes.map(|path| (path.as_c_str(), may_write(path))).collect();
        Observed { machine, running, volumes }
    }
}

/// What the dropped user sees.
struct Observed<'a> {
    machine: Machine,
    running: Option<[Result<ProcStatus, Errno>; 2]>,
    /// Whether this user may write each; nothing is written, and nobody walks.
    volumes: Vec<(&'a CStr, Result<(), Errno>)>,
}

fn evaluate(settings: &Settings, observed: &Observed, checks: &[Check]) -> Vec<Finding> {
    let mut own: Vec<Finding> = observed.volumes.iter().map(|(path, answer)| volume_finding(path, *answer)).collect();
    if let Some([init, command]) = &observed.running
        && settings.confine != ConfineMode::Off
    {
        own.push(confined_finding(init, command));
    }
    posture::examine(settings, &observed.machine, own, Some(checks))
}

/// COMMAND has a filter more than `init`. Of Landlock /proc shows nothing; both were put on before COMMAND ran, and
/// neither comes off.
fn confined_finding(init: &Result<ProcStatus, Errno>, command: &Result<ProcStatus, Errno>) -> Finding {
    let filters = |status: &Result<ProcStatus, Errno>| match status {
        Ok(status) if status.seccomp == Some(2) => status.seccomp_filters,
        Ok(status) if status.seccomp.is_some() => Some(0),
        _ => None,
    };
    match (filters(init), filters(command)) {
        (Some(of_init), Some(of_command)) if of_command > of_init => {
            Finding::pass(Check::Confined, format!("COMMAND has {of_command} seccomp filters, init {of_init}"))
        }
        (Some(of_init), Some(of_command)) => Finding::fail(
            Check::Confined,
            format!("COMMAND has no seccomp filter of its own: {of_command}, as many as init ({of_init})"),
            RESTART_FIX,
        ),
        _ => Finding::unknown(
            Check::Confined,
            "/proc does not show the number of seccomp filters",
            "run Linux 5.9 or newer, and mount /proc without hidepid",
        ),
    }
}

fn volume_finding(path: &CStr, answer: Result<(), Errno>) -> Finding {
    let shown = Escaped(path.to_bytes());
    match answer {
        Ok(()) => Finding::pass(Check::Volumes, format!("{shown}: writable")),
        Err(errno) => Finding::fail(
            Check::Volumes,
            format!("{shown} is no longer writable: {errno}"),
            "find out what changed its mount or owner, then restart the container",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::status::parse;
    use crate::posture::engines::hardened;
    use crate::posture::finding::CheckStatus as Answer;

    const DROPPED: &str =
        "Uid:\t1000\t1000\t1000\t1000\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\n";

    fn statuses_of(init: &str, command: &str, root: bool, expected: Option<u32>) -> [Answer; 3] {
        let statuses = [("init", Ok(parse(init.as_bytes()))), ("COMMAND", Ok(parse(command.as_bytes())))];
        let findings = process_findings(&statuses, root, expected.map(UserId));
        assert!(findings.iter().all(|finding| finding.required));
        [0, 1, 2].map(|index: usize| findings[index].status)
    }

    #[test]
    fn each_of_the_three_is_seen_of_both_processes() {
        use Answer::{Fail, Pass, Unknown};
        let with = |from: &str, to: &str| DROPPED.replace(from, to);
        let all = [Pass; 3];
        assert_eq!(statuses_of(DROPPED, DROPPED, false, None), all);
        assert_eq!(statuses_of(DROPPED, DROPPED, false, Some(1000)), all);
        let cases = [
            (with("Uid:\t1000\t1000\t1000\t1000", "Uid:\t0\t0\t0\t0"), [Fail, Pass, Pass]),
            (with("Uid:\t1000\t1000\t1000\t1000", "Uid:\t1000\t1000\t0\t1000"), [Fail, Pass, Pass]),
            (with("Uid:\t1000\t1000\t1000\t1000", "Uid:\t1000\t1001\t1000\t1000"), [Fail, Pass, Pass]),
            (with("CapInh:\t0", "CapInh:\t1"), [Pass, Fail, Pass]),
            (with("CapPrm:\t0", "CapPrm:\t1"), [Pass, Fail, Pass]),
            (with("CapEff:\t0", "CapEff:\t1"), [Pass, Fail, Pass]),
            (with("CapAmb:\t0", "CapAmb:\t1"), [Pass, Fail, Pass]),
            (with("CapBnd:\t0", "CapBnd:\ta80425fb"), all),
            (with("NoNewPrivs:\t1", "NoNewPrivs:\t0"), [Pass, Pass, Fail]),
            (with("NoNewPrivs:\t1", ""), [Pass, Pass, Unknown]),
            (with("CapAmb:\t0", ""), [Pass, Unknown, Pass]),
            (String::new(), [Unknown; 3]),
        ];
        for (text, expected) in cases {
            assert_eq!(statuses_of(&text, DROPPED, false, None), expected, "init {text}");
            assert_eq!(statuses_of(DROPPED, &text, false, None), expected, "COMMAND {text}");
        }
    }

    #[test]
    fn another_user_than_that_of_the_start_is_told() {
        assert_eq!(statuses_of(DROPPED, DROPPED, false, Some(1001))[0], Answer::Fail);
        let root = DROPPED.replace("1000", "0");
        assert_eq!(statuses_of(&root, &root, true, None)[0], Answer::Pass);
        assert_eq!(statuses_of(&root, &root, false, Some(0))[0], Answer::Fail);
    }

    #[test]
    fn who_is_gone_is_not_judged() {
        let findings = process_findings(&[], false, None);
        assert!(findings.iter().all(|finding| finding.status == Answer::Skipped));
    }

    fn checks(variables: &[&CStr]) -> Vec<Check> {
        let settings = Settings::from_environment(variables).unwrap();
        RequiredChecks { settings: &settings, environment: &[], given: None, running: None, devices: &[] }.selected()
    }

    #[test]
    fn what_is_required_is_judged_again_and_nothing_else() {
        assert!(checks(&[]).is_empty());
        assert!(checks(&[c"TAKUMI_REQUIRE=unprivileged"]).is_empty(), "judged of the processes");
        assert_eq!(checks(&[c"TAKUMI_REQUIRE=readonly-root,limits"]), [Check::Limits, Check::ReadonlyRoot]);
        assert_eq!(checks(&[c"TAKUMI_EGRESS=require"]).len(), 5);
        assert!(checks(&[c"TAKUMI_GPU=require"]).contains(&Check::GpuAccess));
        assert_eq!(checks(&[c"TAKUMI_CONFINE=strict"]), [Check::Confined]);
        assert!(checks(&[c"TAKUMI_CONFINE=auto"]).is_empty());
    }

    #[test]
    fn a_judgement_is_made_of_what_was_seen_and_asks_nobody() {
        let settings = Settings::from_environment(&[c"TAKUMI_VOLUMES=/no/such/place", c"TAKUMI_CONFINE=auto"]).unwrap();
        let init = || Ok(parse(b"Seccomp:\t0\n"));
        let volumes = vec![(settings.volumes[0].as_c_str(), Ok(()))];
        let observed = Observed { machine: hardened(), running: Some([init(), init()]), volumes };
        let judged = evaluate(&settings, &observed, &[Check::ReadonlyRoot, Check::Volumes, Check::Confined]);
        let answers: Vec<_> = judged.iter().map(|finding| (finding.id, finding.status)).collect();
        let expected =
            [(Check::ReadonlyRoot, Answer::Pass), (Check::Volumes, Answer::Pass), (Check::Confined, Answer::Fail)];
        assert_eq!(answers, expected);
    }

    #[test]
    fn command_must_have_a_filter_more_than_init() {
        let with = |text: &str| Ok(parse(text.as_bytes()));
        let (none, one, two) = (
            with("Seccomp:\t0\n"),
            with("Seccomp:\t2\nSeccomp_filters:\t1\n"),
            with("Seccomp:\t2\nSeccomp_filters:\t2\n"),
        );
        for (init, command, expected) in [
            (&none, &one, Answer::Pass),
            (&one, &two, Answer::Pass),
            (&none, &none, Answer::Fail),
            (&one, &one, Answer::Fail),
            (&one, &with("Seccomp:\t2\n"), Answer::Unknown),
            (&one, &Err(Errno(libc::EACCES)), Answer::Unknown),
        ] {
            let finding = confined_finding(init, command);
            assert_eq!(finding.status, expected, "{finding:?}");
        }
    }
}
