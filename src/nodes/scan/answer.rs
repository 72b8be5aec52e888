//! What the scanner printed, taken at its word only where it accounts for every file.

use super::super::ability::{self, Ability};
use super::{Issue, Severity};
use crate::text::Escaped;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde_json::error::Category;
use std::collections::BTreeMap;

/// What it said of the files that it was given.
pub(super) type Understood = (Vec<Issue>, Vec<(usize, String)>);

/// The parts of Bandit's JSON that count (bandit/formatters/json.py).
#[derive(Deserialize)]
struct Answer {
    results: Vec<Finding>,
    errors: Vec<Unread>,
    metrics: BTreeMap<String, Metrics>,
}

#[derive(Deserialize)]
struct Finding {
    filename: String,
    line_number: u32,
    test_id: String,
    issue_severity: Rank,
    #[serde(default)]
    issue_text: String,
}

/// A file that it could not read or parse.
#[derive(Deserialize)]
struct Unread {
    filename: String,
    reason: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Rank {
    Undefined,
    Low,
    Medium,
    High,
}

/// How many issues of each rank it counted in one file; a file that it did not get through has none of these.
#[derive(Deserialize)]
struct Metrics {
    #[serde(rename = "SEVERITY.UNDEFINED")]
    undefined: Option<u32>,
    #[serde(rename = "SEVERITY.LOW")]
    low: Option<u32>,
    #[serde(rename = "SEVERITY.MEDIUM")]
    medium: Option<u32>,
    #[serde(rename = "SEVERITY.HIGH")]
    high: Option<u32>,
}

impl Metrics {
    fn counts(&self) -> Option<[u32; 4]> {
        Some([self.undefined?, self.low?, self.medium?, self.high?])
    }
}

/// What is known of one file so far.
struct Account {
    file: usize,
    told: [u32; 4],
    counted: Option<[u32; 4]>,
    unread: Option<String>,
    ruled: bool,
}

/// Why an answer is none.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// What is wrong with it, as a sentence's end.
    Strange(String),
    /// The rules of image/bandit are not installed beside the scanner.
    NoRules,
}

impl From<String> for Refusal {
    fn from(what: String) -> Refusal {
        Refusal::Strange(what)
    }
}

/// Reads the answer of a scanner that ended with `code` (0: nothing found, 1: something) and was given these files, each an index
/// and a path.
pub(super) fn understand(printed: &[u8], code: u8, given: &[(usize, &[u8])]) -> Result<Understood, Refusal> {
    let answer: Answer = serde_json::from_slice(printed).map_err(|error| match error.classify() {
        Category::Data => format!("its JSON is not Bandit's: {}", Escaped(error.to_string().as_bytes())),
        _ => "it printed no JSON".to_owned(),
    })?;
    if (code == 1) == answer.results.is_empty() {
        return Err(format!("it ended with code {code} and tells {} issues", answer.results.len()).into());
    }
    let account = |&(file, path)| (path, Account { file, told: [0; 4], counted: None, unread: None, ruled: false });
    let mut accounts: BTreeMap<&[u8], Account> = given.iter().map(account).collect();
    let mut issues = Vec::with_capacity(answer.results.len());
    for finding in answer.results {
        let account = account_of(&mut accounts, &finding.filename)?;
        let (rank, severity) = match finding.issue_severity {
            Rank::Undefined => (0, Severity::Low),
            Rank::Low => (1, Severity::Low),
            Rank::Medium => (2, Severity::Medium),
            Rank::High => (3, Severity::High),
        };
        if let Some(told) = account.told.get_mut(rank) {
            *told = told.saturating_add(1);
        }
        if finding.test_id == RULES {
            account.ruled = true;
            issues
                .extend(places(account.file, &finding.issue_text).ok_or("its receipt of T100 is strange".to_owned())?);
            continue;
        }
        let (file, line, ability) = (account.file, finding.line_number, ability::of_test(&finding.test_id));
        issues.push(Issue { file, line, test: finding.test_id, severity: Some(severity), ability, detail: None });
    }
    for unread in answer.errors {
        account_of(&mut accounts, &unread.filename)?.unread = Some(Escaped(unread.reason.as_bytes()).to_string());
    }
    for (name, metrics) in answer.metrics {
        if name != TOTALS {
            account_of(&mut accounts, &name)?.counted = metrics.counts();
        }
    }
    // Where it parsed none of them it had no file to give a receipt for.
    let parsed = |account: &Account| account.unread.is_none() && account.counted.is_some();
    if accounts.values().any(parsed) && !accounts.values().any(|account| account.ruled) {
        return Err(Refusal::NoRules);
    }
    let unscanned = accounts.into_values().filter_map(|account| Some((account.file, account.gap()?))).collect();
    Ok((issues, unscanned))
}

/// The test of image/bandit, whose one issue for each file is a receipt with all that it found.
const RULES: &str = "T100";
const RECEIPT: &str = "takumi 1";

/// Each line of a receipt.
fn places(file: usize, receipt: &str) -> Option<Vec<Issue>> {
    let mut lines = receipt.split('\n');
    if lines.next() != Some(RECEIPT) {
        return None;
    }
    lines.map(|line| place(file, line)).collect()
}

/// `ABILITY LINE WORDS`.
fn place(file: usize, written: &str) -> Option<Issue> {
    let mut words = written.splitn(3, ' ');
    let ability = StrDeserializer::<serde::de::value::Error>::new(words.next()?);
    let ability = Some(Ability::deserialize(ability).ok()?);
    let line = words.next()?.parse().ok()?;
    let detail = Some(Escaped(words.next()?.as_bytes()).to_string());
    Some(Issue { file, line, test: RULES.to_owned(), severity: None, ability, detail })
}

/// All files together, among the files; a file of that name is `././_totals`.
const TOTALS: &str = "_totals";

/// Bandit puts one more `./` before each name.
fn account_of<'a>(accounts: &'a mut BTreeMap<&[u8], Account>, name: &str) -> Result<&'a mut Account, String> {
    let mut path = name.as_bytes();
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    accounts
        .get_mut(path)
        .ok_or_else(|| format!("it tells of a file that it was not given: {}", Escaped(name.as_bytes())))
}

impl Account {
    /// Why the file does not count as scanned.
    fn gap(self) -> Option<String> {
        match (self.unread, self.counted) {
            (Some(reason), _) => Some(reason),
            (None, None) => Some("the scanner does not say what became of it".to_owned()),
            (None, Some(_)) if !self.ruled => Some("the rules of image/bandit failed on it".to_owned()),
            (None, Some(counted)) if counted != self.told => {
                let sum = |counts: [u32; 4]| counts.iter().map(|&count| u64::from(count)).sum::<u64>();
                Some(format!("the scanner counted {} issues in it and tells {}", sum(counted), sum(self.told)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(results: &str, errors: &str, metrics: &str) -> String {
        format!(r#"{{"errors": [{errors}], "generated_at": "x", "metrics": {{{metrics}}}, "results": [{results}]}}"#)
    }

    fn finding(file: &str, line: u32, severity: &str) -> String {
        format!(
            r#"{{"code": "\ud800", "filename": "././{file}", "line_number": {line}, "test_id": "B605", "issue_severity": "{severity}", "line_range": [1]}}"#
        )
    }

    /// What our rules found in it.
    fn receipt(file: &str, lines: &str) -> String {
        format!(
            r#"{{"filename": "././{file}", "line_number": 1, "test_id": "T100", "issue_severity": "UNDEFINED", "issue_text": "takumi 1{lines}"}}"#
        )
    }

    fn metrics(file: &str, counts: [u32; 3]) -> String {
        let [low, medium, high] = counts;
        format!(
            r#""././{file}": {{"SEVERITY.UNDEFINED": 1, "SEVERITY.LOW": {low}, "SEVERITY.MEDIUM": {medium}, "SEVERITY.HIGH": {high}, "loc": 3}}"#
        )
    }

    const GIVEN: [(usize, &[u8]); 2] = [(3, b"a.py"), (7, b"sub/b.py")];
    const CLEAN: &str = r#""_totals": {"loc": 3}"#;

    fn both() -> String {
        [CLEAN.to_owned(), metrics("a.py", [0; 3]), metrics("sub/b.py", [0; 3])].join(", ")
    }

    fn receipts() -> String {
        [receipt("a.py", ""), receipt("sub/b.py", "")].join(", ")
    }

    fn strange(result: Result<Understood, Refusal>) -> String {
        match result {
            Err(Refusal::Strange(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_file_is_accounted_for() {
        let found = [finding("a.py", 4, "LOW"), receipts(), finding("a.py", 5, "HIGH")].join(", ");
        let counts = [CLEAN.to_owned(), metrics("a.py", [1, 0, 1]), metrics("sub/b.py", [0; 3])].join(", ");
        let ability = Some(Ability::RunsCommands);
        let issue = |line, severity| Issue {
            file: 3,
            line,
            test: "B605".to_owned(),
            severity: Some(severity),
            ability,
            detail: None,
        };
        let expected = vec![issue(4, Severity::Low), issue(5, Severity::High)];
        assert_eq!(understand(answer(&found, "", &counts).as_bytes(), 1, &GIVEN), Ok((expected, vec![])));
    }

    #[test]
    fn each_line_of_a_receipt_is_a_place() {
        let lines = "\\nhides-calls 3 getattr(\\u2026)\\nknown-bad 12 a miner\\u001b, it says";
        let found = [receipt("a.py", lines), receipt("sub/b.py", "")].join(", ");
        let (issues, unscanned) = understand(answer(&found, "", &both()).as_bytes(), 1, &GIVEN).unwrap();
        let place = |line, ability, detail: &str| Issue {
            file: 3,
            line,
            test: "T100".to_owned(),
            severity: None,
            ability: Some(ability),
            detail: Some(detail.to_owned()),
        };
        let expected = [
            place(3, Ability::HidesCalls, "getattr(\u{2026})"),
            place(12, Ability::KnownBad, "a miner\\u{1b}, it says"),
        ];
        assert_eq!((&issues[..], unscanned), (&expected[..], vec![]));
        for lines in ["0", "\\n", "\\nhides-calls", "\\nhides-calls x y", "\\nhides-calls 3", "\\ndances 3 x"] {
            let found = [receipt("a.py", lines), receipt("sub/b.py", "")].join(", ");
            let told = understand(answer(&found, "", &both()).as_bytes(), 1, &GIVEN);
            assert_eq!(strange(told), "its receipt of T100 is strange", "{lines}");
        }
    }

    #[test]
    fn a_scanner_without_our_rules_has_no_answer() {
        let counts = both().replace("\"SEVERITY.UNDEFINED\": 1", "\"SEVERITY.UNDEFINED\": 0");
        assert_eq!(understand(answer("", "", &counts).as_bytes(), 0, &GIVEN), Err(Refusal::NoRules));
        let found = understand(answer(&receipt("a.py", ""), "", &both()).as_bytes(), 1, &GIVEN);
        assert_eq!(found, Ok((vec![], vec![(7, "the rules of image/bandit failed on it".to_owned())])));
        // Where nothing could be parsed there is nothing to give a receipt for.
        let errors = ["a.py", "sub/b.py"].map(|file| format!(r#"{{"filename": "././{file}", "reason": "bad"}}"#));
        let found = understand(answer("", &errors.join(", "), CLEAN).as_bytes(), 0, &GIVEN).unwrap();
        assert_eq!(found.1.len(), 2);
    }

    #[test]
    fn a_file_that_it_is_silent_about_was_not_scanned() {
        let silent = answer(&receipt("a.py", ""), "", &[CLEAN.to_owned(), metrics("a.py", [0; 3])].join(", "));
        let reason = "the scanner does not say what became of it".to_owned();
        assert_eq!(understand(silent.as_bytes(), 1, &GIVEN), Ok((vec![], vec![(7, reason)])));
        let begun = r#""././sub/b.py": {"loc": 3, "nosec": 0}"#.to_owned();
        let silent = answer(&receipts(), "", &[metrics("a.py", [0; 3]), begun].join(", "));
        assert_eq!(understand(silent.as_bytes(), 1, &GIVEN).unwrap().1.len(), 1, "begun and not ended");
    }

    #[test]
    fn issues_that_were_counted_and_are_not_told_are_missed() {
        let counts = [metrics("a.py", [2, 0, 0]), metrics("sub/b.py", [0; 3])].join(", ");
        let found = [finding("a.py", 4, "LOW"), receipts()].join(", ");
        let (issues, unscanned) = understand(answer(&found, "", &counts).as_bytes(), 1, &GIVEN).unwrap();
        assert_eq!(issues.len(), 1);
        assert_eq!(unscanned, [(3, "the scanner counted 3 issues in it and tells 2".to_owned())]);
    }

    #[test]
    fn what_it_could_not_parse_has_its_reason_on_one_line() {
        let errors = r#"{"filename": "././sub/b.py", "reason": "bad\nluck"}"#;
        let silent = answer(&receipt("a.py", ""), errors, &metrics("a.py", [0; 3]));
        assert_eq!(understand(silent.as_bytes(), 1, &GIVEN), Ok((vec![], vec![(7, "bad\\nluck".to_owned())])));
    }

    #[test]
    fn what_is_no_answer_of_bandits_is_none() {
        let whole = answer(&receipts(), "", &both());
        assert_eq!(understand(whole.as_bytes(), 1, &GIVEN), Ok((vec![], vec![])));
        let error = |printed: &str, code| strange(understand(printed.as_bytes(), code, &GIVEN));
        assert_eq!(error("", 0), "it printed no JSON");
        assert_eq!(error("Traceback", 1), "it printed no JSON");
        assert_eq!(error(&whole[..whole.len() - 1], 1), "it printed no JSON");
        assert_eq!(error(&(whole.clone() + "x"), 1), "it printed no JSON");
        assert_eq!(error(&whole, 0), "it ended with code 0 and tells 2 issues");
        for odd in ["[]", "{}", r#"{"results": [], "errors": []}"#, r#"{"results": {}, "errors": [], "metrics": {}}"#] {
            assert!(error(odd, 0).starts_with("its JSON is not Bandit's: "), "{odd}");
        }
        assert!(error(&answer(&finding("a.py", 1, "WORST"), "", ""), 1).starts_with("its JSON is not Bandit's: "));
        let stranger = error(&answer("", "", &metrics("c.py", [0; 3])), 0);
        assert_eq!(stranger, "it tells of a file that it was not given: ././c.py");
        assert_eq!(error(&format!(r#"{{"more": {}"#, "[".repeat(1_000_000)), 0), "it printed no JSON");
    }
}
