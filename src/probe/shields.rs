//! The shields as they are now: what `init` and COMMAND hold, what is required, and the GPU of the start.

use super::verdict::Found;
use crate::machine::status::{self, BOUNDING, SETS, Status};
use crate::machine::user_namespace::UserNamespace;
use crate::machine::{self, Wish, devices};
use crate::posture::{self, finding::Finding, gpu};
use crate::settings::checks::{ALWAYS, ONLY_AT_A_START, ONLY_PROBED, SHIELDS, shield_of};
use crate::settings::{Confine, Settings, Wanted};
use crate::sys::clock::Instant;
use crate::sys::{Errno, ProcessId, UserId, fs, in_child, io};
use crate::text::Shown;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::time::Duration;

/// The three that always hold, of `init` and of COMMAND as /proc shows them: before COMMAND runs `init` still needs what it has.
/// Who has ended holds nothing and is left out.
pub fn of_processes(found: Found, root_by_choice: bool, expected: Option<UserId>) -> Vec<Finding> {
    let processes: Vec<(&'static str, ProcessId)> = match found {
        Found::NoInit | Found::NoCommand(_) => Vec::new(),
        Found::Both(init, command) => vec![("init", init.id), ("COMMAND", command.id)],
    };
    let looked: Vec<(&str, Result<Status, Errno>)> = processes
        .into_iter()
        .map(|(who, id)| (who, status::of(id)))
        .filter(|(_, status)| !matches!(status, Err(Errno(libc::ENOENT | libc::ESRCH))))
        .collect();
    judge_processes(&looked, root_by_choice, expected)
}

fn judge_processes(
    looked: &[(&str, Result<Status, Errno>)],
    root_by_choice: bool,
    expected: Option<UserId>,
) -> Vec<Finding> {
    let each = [
        judge(ALWAYS[0], looked, |who, status| unprivileged(who, status, root_by_choice, expected)),
        judge(ALWAYS[1], looked, capabilities),
        judge(ALWAYS[2], looked, no_new_privileges),
    ];
    each.into_iter().map(|finding| Finding { required: true, ..finding }).collect()
}

/// A sentence for each process, or what is wrong with the first of them.
fn judge(
    id: &'static str,
    looked: &[(&str, Result<Status, Errno>)],
    one: impl Fn(&str, &Status) -> Result<String, Wrong>,
) -> Finding {
    let mut held = Vec::new();
    for (who, status) in looked {
        match status.as_ref().map(|status| one(who, status)) {
            Ok(Ok(sentence)) => held.push(sentence),
            Ok(Err(Wrong::Missing(detail))) => return Finding::missing(id, detail, START_AGAIN),
            Ok(Err(Wrong::Unseen)) => return unseen(id, who, None),
            Err(errno) => return unseen(id, who, Some(*errno)),
        }
    }
    match held.is_empty() {
        true => Finding::skipped(id, "there is no process to look at"),
        false => Finding::held(id, held.join("; ")),
    }
}

enum Wrong {
    Missing(String),
    Unseen,
}

const START_AGAIN: &str =
    "no start of init leaves this: restart the container, and see who else starts processes in it";

fn unseen(id: &'static str, who: &str, errno: Option<Errno>) -> Finding {
    let why = errno.map(|errno| format!(": {errno}")).unwrap_or_default();
    Finding::unknown(
        id,
        format!("/proc does not show it of {who}{why}"),
        "mount /proc in the container, without hidepid",
    )
}

fn unprivileged(who: &str, status: &Status, root_by_choice: bool, expected: Option<UserId>) -> Result<String, Wrong> {
    let users = status.users.ok_or(Wrong::Unseen)?;
    let one = users[0];
    if users.contains(&UserId(0)) && !root_by_choice {
        return Err(Wrong::Missing(format!("{who} is root")));
    }
    if users.iter().any(|&user| user != expected.unwrap_or(one)) {
        return Err(Wrong::Missing(format!("{who} is uid {one}, not the user of the start")));
    }
    let by_choice = if one == UserId(0) { ", root by choice" } else { "" };
    Ok(format!("{who} is uid {one}{by_choice}"))
}

fn capabilities(who: &str, status: &Status) -> Result<String, Wrong> {
    for (set, (name, held)) in SETS.iter().zip(status.capabilities).enumerate() {
        match held {
            None => return Err(Wrong::Unseen),
            Some(held) if held != 0 && set != BOUNDING => {
                return Err(Wrong::Missing(format!("{who} holds capabilities: {name} is {held:#x}")));
            }
            Some(_) => {}
        }
    }
    match status.capabilities[BOUNDING] {
        Some(0) | None => Ok(format!("{who} holds none")),
        // A start as an ordinary user cannot empty it, and no_new_privs makes it worthless.
        Some(left) => Ok(format!("{who} holds none (the engine left the bounding set {left:#x})")),
    }
}

fn no_new_privileges(who: &str, status: &Status) -> Result<String, Wrong> {
    match status.no_new_privileges {
        None => Err(Wrong::Unseen),
        Some(false) => Err(Wrong::Missing(format!("{who} can get privileges by starting a program"))),
        Some(true) => Ok(format!("{who} can get none")),
    }
}

/// What else must hold, as this process, the dropped user, sees it. `own`: of the processes.
pub struct Required<'a> {
    pub settings: &'a Settings,
    pub environment: &'a [&'a CStr],
    /// Of this process before its drop, as the engine started it: what the container was given.
    pub given: Option<Status>,
    /// `init` and COMMAND.
    pub running: Option<(ProcessId, ProcessId)>,
    /// GPU nodes that could be opened at the start: they must open now, whatever is required.
    pub devices: &'a [String],
}

/// Room for all findings of a child.
const MOST: usize = 64 * 1024;

impl Required<'_> {
    /// The ids that are to be judged beside the three that always are.
    fn ids(&self) -> Vec<&'static str> {
        let settings = self.settings;
        let wanted = |shield: &str, id: &&'static str| {
            settings.require.contains(id)
                || *id == CONFINED && settings.confine == Confine::Strict
                || shield == "network" && settings.egress == Wanted::Require
                || shield == "gpu" && settings.gpu == Wanted::Require
        };
        let all = SHIELDS.iter().filter(|(shield, _)| *shield != ONLY_PROBED);
        let ids = all.flat_map(|(shield, ids)| ids.iter().copied().filter(move |id| wanted(shield, id)));
        ids.filter(|id| !ALWAYS.contains(id) && *id != ONLY_AT_A_START && !settings.skip.contains(id)).collect()
    }

    /// Looks and judges until `deadline` at the latest.
    pub fn examine(&self, deadline: Instant) -> Vec<Finding> {
        // Each may take half of what is left: whatever hangs, COMMAND's server is still asked.
        let half = || Instant::now().until(deadline) / 2;
        let mut findings = Vec::new();
        if !self.devices.is_empty() {
            let now = devices::open_again(self.devices, half());
            let namespace = UserNamespace::read().ok();
            findings.push(Finding { required: true, ..gpu::still_open(&now, namespace.as_ref()) });
        }
        let mut ids = self.ids();
        ids.retain(|id| findings.iter().all(|finding| finding.id != *id));
        if !ids.is_empty() {
            findings.extend(self.examine_in_child(&ids, half()));
        }
        findings
    }

    /// In a child, since a filesystem whose server is gone holds whoever asks it.
    fn examine_in_child(&self, ids: &[&'static str], patience: Duration) -> Vec<Finding> {
        let answer = in_child::run(patience, MOST, |child| {
            let findings = serde_json::to_vec(&self.judge(ids)).unwrap_or_default();
            let _ = child.tell(&findings);
        });
        let lost = |why: String| {
            let finding = Finding::unknown(ids[0], why, "see whether a mount or a proxy of the container hangs");
            vec![Finding { required: true, ..finding }]
        };
        match answer {
            Ok(answer) if answer.late => lost(format!("no answer in {} ms", patience.as_millis())),
            Ok(answer) => {
                serde_json::from_slice(&answer.bytes).unwrap_or_else(|_| lost("it was not judged".to_string()))
            }
            Err(errno) => lost(format!("it cannot be judged: {errno}")),
        }
    }

    fn judge(&self, ids: &[&'static str]) -> Vec<Finding> {
        let wish = Wish {
            settings: self.settings,
            environment: self.environment,
            user: None,
            namespace: None,
            only: Some(ids),
        };
        let mut machine = machine::observe(&wish);
        // The container's, not that of a process that has just dropped: of COMMAND what filters its calls, and what was given.
        if let Some(given) = &self.given {
            let mut given = given.clone();
            if let Some(Ok(command)) = self.running.map(|(_, command)| status::of(command)) {
                (given.seccomp, given.seccomp_filters) = (command.seccomp, command.seccomp_filters);
            }
            machine.status = Ok(given);
        }
        let mut own = if ids.contains(&"volumes") { volumes(self.settings) } else { Vec::new() };
        if self.settings.confine != Confine::Off
            && let Some((init, command)) = self.running
            && ids.contains(&CONFINED)
        {
            own.push(confined(&status::of(init), &status::of(command)));
        }
        posture::examine(self.settings, &machine, own, Some(ids))
    }
}

const CONFINED: &str = "confined";

/// COMMAND has a filter more than `init`. Of Landlock /proc shows nothing; both were put on before COMMAND ran, and neither comes off.
fn confined(init: &Result<Status, Errno>, command: &Result<Status, Errno>) -> Finding {
    let filters = |status: &Result<Status, Errno>| match status {
        Ok(status) if status.seccomp == Some(2) => status.seccomp_filters,
        Ok(status) if status.seccomp.is_some() => Some(0),
        _ => None,
    };
    match (filters(init), filters(command)) {
        (Some(of_init), Some(of_command)) if of_command > of_init => {
            Finding::held(CONFINED, format!("COMMAND has {of_command} filters of system calls, init {of_init}"))
        }
        (Some(of_init), Some(of_command)) => Finding::missing(
            CONFINED,
            format!("COMMAND has {of_command} filters of system calls, as many as init: {of_init}"),
            START_AGAIN,
        ),
        _ => Finding::unknown(
            CONFINED,
            "/proc does not count the filters of system calls",
            "run Linux 5.9 or newer, and mount /proc without hidepid",
        ),
    }
}

/// Whether this user may write each of them; nothing is written, and nobody walks.
fn volumes(settings: &Settings) -> Vec<Finding> {
    let each = |path: &std::ffi::CString| {
        let shown = Shown(path.to_bytes());
        match io::open_path(path).and_then(|directory| fs::may_write(directory.as_fd())) {
            Ok(()) => Finding::held("volumes", format!("{shown}: writable")),
            Err(errno) => Finding::missing(
                "volumes",
                format!("{shown} cannot be written any more: {errno}"),
                "see who changed its mount or owner, then restart the container",
            ),
        }
    };
    match settings.volumes.as_slice() {
        [] => vec![Finding::skipped("volumes", "TAKUMI_VOLUMES names none")],
        volumes => volumes.iter().map(each).collect(),
    }
}

/// Puts findings into the order of the table of checks.
pub fn in_order(findings: &mut [Finding]) {
    let place = |finding: &Finding| {
        let shield = SHIELDS.iter().position(|(shield, _)| *shield == shield_of(&finding.id));
        let ids = shield.map_or(&[][..], |shield| SHIELDS[shield].1);
        (shield, ids.iter().position(|id| *id == finding.id))
    };
    findings.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::status::parse;
    use crate::posture::finding::Status as Answer;

    const DROPPED: &str =
        "Uid:\t1000\t1000\t1000\t1000\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\n";

    fn judged(init: &str, command: &str, root: bool, expected: Option<u32>) -> [Answer; 3] {
        let looked = [("init", Ok(parse(init.as_bytes()))), ("COMMAND", Ok(parse(command.as_bytes())))];
        let findings = judge_processes(&looked, root, expected.map(UserId));
        assert!(findings.iter().all(|finding| finding.required));
        [0, 1, 2].map(|index: usize| findings[index].status)
    }

    #[test]
    fn each_of_the_three_is_seen_of_both_processes() {
        use Answer::{Held, Missing, Unknown};
        let with = |from: &str, to: &str| DROPPED.replace(from, to);
        let all = [Held; 3];
        assert_eq!(judged(DROPPED, DROPPED, false, None), all);
        assert_eq!(judged(DROPPED, DROPPED, false, Some(1000)), all);
        let cases = [
            (with("Uid:\t1000\t1000\t1000\t1000", "Uid:\t0\t0\t0\t0"), [Missing, Held, Held]),
            (with("Uid:\t1000\t1000\t1000\t1000", "Uid:\t1000\t1000\t0\t1000"), [Missing, Held, Held]),
            (with("Uid:\t1000\t1000\t1000\t1000", "Uid:\t1000\t1001\t1000\t1000"), [Missing, Held, Held]),
            (with("CapInh:\t0", "CapInh:\t1"), [Held, Missing, Held]),
            (with("CapPrm:\t0", "CapPrm:\t1"), [Held, Missing, Held]),
            (with("CapEff:\t0", "CapEff:\t1"), [Held, Missing, Held]),
            (with("CapAmb:\t0", "CapAmb:\t1"), [Held, Missing, Held]),
            (with("CapBnd:\t0", "CapBnd:\ta80425fb"), all),
            (with("NoNewPrivs:\t1", "NoNewPrivs:\t0"), [Held, Held, Missing]),
            (with("NoNewPrivs:\t1", ""), [Held, Held, Unknown]),
            (with("CapAmb:\t0", ""), [Held, Unknown, Held]),
            (String::new(), [Unknown; 3]),
        ];
        for (text, expected) in cases {
            assert_eq!(judged(&text, DROPPED, false, None), expected, "init {text}");
            assert_eq!(judged(DROPPED, &text, false, None), expected, "COMMAND {text}");
        }
    }

    #[test]
    fn another_user_than_that_of_the_start_is_told() {
        assert_eq!(judged(DROPPED, DROPPED, false, Some(1001))[0], Answer::Missing);
        let root = DROPPED.replace("1000", "0");
        assert_eq!(judged(&root, &root, true, None)[0], Answer::Held);
        assert_eq!(judged(&root, &root, false, Some(0))[0], Answer::Missing);
    }

    #[test]
    fn who_is_gone_is_not_judged() {
        let findings = judge_processes(&[], false, None);
        assert!(findings.iter().all(|finding| finding.status == Answer::Skipped));
    }

    fn ids(variables: &[&CStr]) -> Vec<&'static str> {
        let settings = Settings::read(variables).unwrap();
        Required { settings: &settings, environment: &[], given: None, running: None, devices: &[] }.ids()
    }

    #[test]
    fn what_is_required_is_judged_again_and_nothing_else() {
        assert!(ids(&[]).is_empty());
        assert!(ids(&[c"TAKUMI_REQUIRE=unprivileged"]).is_empty(), "judged of the processes");
        assert_eq!(ids(&[c"TAKUMI_REQUIRE=readonly-root,limits"]), ["limits", "readonly-root"]);
        assert_eq!(ids(&[c"TAKUMI_EGRESS=require"]).len(), 5);
        assert!(ids(&[c"TAKUMI_GPU=require"]).contains(&"gpu-access"));
        assert_eq!(ids(&[c"TAKUMI_CONFINE=strict"]), ["confined"]);
        assert!(ids(&[c"TAKUMI_CONFINE=auto"]).is_empty());
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
            (&none, &one, Answer::Held),
            (&one, &two, Answer::Held),
            (&none, &none, Answer::Missing),
            (&one, &one, Answer::Missing),
            (&one, &with("Seccomp:\t2\n"), Answer::Unknown),
            (&one, &Err(Errno(libc::EACCES)), Answer::Unknown),
        ] {
            let finding = confined(init, command);
            assert_eq!(finding.status, expected, "{finding:?}");
        }
    }
}
