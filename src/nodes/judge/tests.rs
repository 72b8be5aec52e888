use super::*;
use crate::nodes::{Can, Severity};

fn can(ability: Ability) -> Can {
    Can { ability, count: 1, severity: Some(Severity::Low), places: vec!["a.py:1".into()] }
}

fn seen(name: &str, digest: Option<&str>, abilities: &[Ability]) -> Seen {
    let report = Report { can: abilities.iter().copied().map(can).collect(), ..Report::default() };
    Seen { name: name.into(), digest: digest.map(Into::into), files: BTreeMap::new(), report }
}

fn approved(seen: Seen) -> BTreeMap<String, Approval> {
    let Seen { name, digest, files, report } = seen;
    [(name, Approval { digest: digest.unwrap(), at: 0, files, report })].into()
}

fn standing(seen: &Seen, approved: &BTreeMap<String, Approval>) -> Standing {
    judge(std::slice::from_ref(seen), approved)[0].standing
}

#[test]
fn an_approval_is_of_the_very_content() {
    let node = seen("a", Some("1"), &[Ability::RunsCommands]);
    let none = BTreeMap::new();
    let book = approved(node.clone());
    assert_eq!(standing(&node, &none), Standing::New);
    assert_eq!(standing(&node, &book), Standing::Approved);
    assert_eq!(standing(&seen("a", Some("2"), &[]), &book), Standing::Changed);
    // Its name is part of what was approved; a digest that is not there is nobody's.
    assert_eq!(standing(&Seen { name: "b".into(), ..node.clone() }, &book), Standing::New);
    assert_eq!(standing(&seen("a", None, &[]), &book), Standing::Changed);
    assert_eq!(standing(&seen("b", None, &[]), &book), Standing::Unscanned);
}

#[test]
fn what_was_not_scanned_is_not_approved_and_not_empty() {
    let mut node = seen("a", Some("1"), &[]);
    assert_eq!(standing(&node, &BTreeMap::new()), Standing::NothingFound);
    node.report.unscanned.push("Bandit is missing".into());
    assert_eq!(standing(&node, &BTreeMap::new()), Standing::Unscanned);
    assert_eq!(standing(&node, &approved(node.clone())), Standing::Approved);
}

#[test]
fn a_change_is_named() {
    let mut before = seen("a", Some("1"), &[Ability::RunsCommands]);
    before.files = [("kept", "1"), ("gone", "2"), ("other", "3")].map(|(a, b)| (a.into(), b.into())).into();
    let mut after = seen("a", Some("2"), &[Ability::RunsCommands, Ability::Unpickles]);
    after.files = [("kept", "1"), ("new", "2"), ("other", "4")].map(|(a, b)| (a.into(), b.into())).into();
    let judged = judge(&[after], &approved(before));
    let changes = judged[0].changes.clone().unwrap();
    assert_eq!(
        (changes.added, changes.removed, changes.altered),
        (vec!["new".into()], vec!["gone".into()], vec!["other".into()])
    );
    assert_eq!(changes.abilities, [Ability::Unpickles]);
}

#[test]
fn the_verdict_names_who_is_not_approved() {
    let nodes = [seen("a", Some("1"), &[Ability::RunsCommands]), seen("b", Some("2"), &[])];
    let judged = judge(&nodes, &BTreeMap::new());
    let open = verdict(&judged, &[]);
    assert!(!open.passed && open.detail.contains("not approved: a ("), "{open:?}");
    let aside = verdict(&judged, &["a".to_string()]);
    assert!(aside.passed && aside.detail.contains("1 moved aside (a)"), "{aside:?}");
    assert!(verdict(&[], &[]).passed);
}
