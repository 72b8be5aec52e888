use super::*;
use crate::nodes::{BehaviourSummary, Severity};

fn summary(behaviour: Behaviour) -> BehaviourSummary {
    BehaviourSummary { behaviour, count: 1, severity: Some(Severity::Low), places: vec!["a.py:1".into()] }
}

fn result(name: &str, digest: Option<&str>, behaviours: &[Behaviour]) -> ScanResult {
    let report = NodeReport { behaviours: behaviours.iter().copied().map(summary).collect(), ..NodeReport::default() };
    ScanResult { name: name.into(), digest: digest.map(Into::into), files: BTreeMap::new(), report }
}

fn approved(result: ScanResult) -> BTreeMap<String, Approval> {
    let ScanResult { name, digest, files, report } = result;
    [(name, Approval { digest: digest.unwrap(), at: 0, files, report })].into()
}

fn status(result: &ScanResult, approved: &BTreeMap<String, Approval>) -> ReviewStatus {
    compare_with_approvals(std::slice::from_ref(result), approved)[0].status
}

#[test]
fn an_approval_is_of_the_very_content() {
    let node = result("a", Some("1"), &[Behaviour::RunsCommands]);
    let none = BTreeMap::new();
    let approvals = approved(node.clone());
    assert_eq!(status(&node, &none), ReviewStatus::New);
    assert_eq!(status(&node, &approvals), ReviewStatus::Approved);
    assert_eq!(status(&result("a", Some("2"), &[]), &approvals), ReviewStatus::Changed);
    // Its name is part of what was approved; a digest that is not there is nobody's.
    assert_eq!(status(&ScanResult { name: "b".into(), ..node.clone() }, &approvals), ReviewStatus::New);
    assert_eq!(status(&result("a", None, &[]), &approvals), ReviewStatus::Changed);
    assert_eq!(status(&result("b", None, &[]), &approvals), ReviewStatus::Unscanned);
}

#[test]
fn what_was_not_scanned_is_not_approved_and_not_empty() {
    let mut node = result("a", Some("1"), &[]);
    assert_eq!(status(&node, &BTreeMap::new()), ReviewStatus::NothingFound);
    node.report.unscanned.push("Bandit is missing".into());
    assert_eq!(status(&node, &BTreeMap::new()), ReviewStatus::Unscanned);
    assert_eq!(status(&node, &approved(node.clone())), ReviewStatus::Approved);
}

#[test]
fn a_change_is_named() {
    let mut before = result("a", Some("1"), &[Behaviour::RunsCommands]);
    before.files = [("kept", "1"), ("gone", "2"), ("other", "3")].map(|(a, b)| (a.into(), b.into())).into();
    let mut after = result("a", Some("2"), &[Behaviour::RunsCommands, Behaviour::Unpickles]);
    after.files = [("kept", "1"), ("new", "2"), ("other", "4")].map(|(a, b)| (a.into(), b.into())).into();
    let verdicts = compare_with_approvals(&[after], &approved(before));
    let changes = verdicts[0].changes.clone().unwrap();
    assert_eq!(
        (changes.added, changes.removed, changes.altered),
        (vec!["new".into()], vec!["gone".into()], vec!["other".into()])
    );
    assert_eq!(changes.behaviours, [Behaviour::Unpickles]);
}

#[test]
fn the_verdict_names_who_is_not_approved() {
    let nodes = [result("a", Some("1"), &[Behaviour::RunsCommands]), result("b", Some("2"), &[])];
    let verdicts = compare_with_approvals(&nodes, &BTreeMap::new());
    let open = scan_verdict(&verdicts, &[]);
    assert!(!open.passed && open.detail.contains("not approved: a ("), "{open:?}");
    let aside = scan_verdict(&verdicts, &["a".to_string()]);
    assert!(aside.passed && aside.detail.contains("1 moved aside (a)"), "{aside:?}");
    assert!(scan_verdict(&[], &[]).passed);
}
