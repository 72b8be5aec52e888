//! What the scanner printed, taken at its word only where it accounts for every file.

use super::super::behaviour::{self, Behaviour};
use super::{Issue, Severity};
use crate::text::Escaped;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde_json::error::Category;
use std::collections::BTreeMap;

/// What it said of the files that it was given.
pub(super) type ParsedOutput = (Vec<Issue>, Vec<(usize, String)>);

/// The parts of Bandit's JSON that count (bandit/formatters/json.py).
#[derive(Deserialize)]
struct BanditOutput {
    results: Vec<BanditIssue>,
    errors: Vec<BanditError>,
    metrics: BTreeMap<String, Metrics>,
}

#[derive(Deserialize)]
struct BanditIssue {
    filename: String,
    line_number: u32,
    test_id: String,
    issue_severity: BanditSeverity,
    #[serde(default)]
    issue_text: String,
}

/// A file that it could not read or parse.
#[derive(Deserialize)]
struct BanditError {
    filename: String,
    reason: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum BanditSeverity {
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
struct FileAccount {
    file: usize,
    reported: [u32; 4],
    counted: Option<[u32; 4]>,
    error: Option<String>,
    has_receipt: bool,
}

/// Why an answer is none.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum OutputError {
    /// What is wrong with it, as a sentence's end.
    Untrusted(String),
    /// The rules of image/bandit are not installed beside the scanner.
    RulesMissing,
}

impl From<String> for OutputError {
    fn from(what: String) -> OutputError {
        OutputError::Untrusted(what)
    }
}

/// Reads the answer of a scanner that ended with `code` (0: nothing found, 1: something) and was given these files,
/// each an index and a path.
pub(super) fn parse_output(printed: &[u8], code: u8, given: &[(usize, &[u8])]) -> Result<ParsedOutput, OutputError> {
    let answer: BanditOutput = serde_json::from_slice(printed).map_err(|error| match error.classify() {
        Category::Data => format!("its JSON is not Bandit's format: {}", Escaped(error.to_string().as_bytes())),
        _ => "it printed no JSON".to_owned(),
    })?;
    if (code == 1) == answer.results.is_empty() {
        return Err(format!("it ended with code {code} but reports {} issues", answer.results.len()).into());
    }
    let account =
        |&(file, path)| (path, FileAccount { file, reported: [0; 4], counted: None, error: None, has_receipt: false });
    let mut accounts: BTreeMap<&[u8], FileAccount> = given.iter().map(account).collect();
    let mut issues = Vec::with_capacity(answer.results.len());
    for finding in answer.results {
        let account = find_account(&mut accounts, &finding.filename)?;
        let (rank, severity) = match finding.issue_severity {
            BanditSeverity::Undefined => (0, Severity::Low),
            BanditSeverity::Low => (1, Severity::Low),
            BanditSeverity::Medium => (2, Severity::Medium),
            BanditSeverity::High => (3, Severity::High),
        };
        if let Some(told) = account.reported.get_mut(rank) {
            *told = told.saturating_add(1);
        }
        if finding.test_id == RULES_TEST {
            account.has_receipt = true;
            issues.extend(
                parse_receipt(account.file, &finding.issue_text).ok_or("its T100 entry is malformed".to_owned())?,
            );
            continue;
        }
        let (file, line, behaviour) =
            (account.file, finding.line_number, behaviour::from_bandit_test(&finding.test_id));
        issues.push(Issue { file, line, test_id: finding.test_id, severity: Some(severity), behaviour, detail: None });
    }
    for unread in answer.errors {
        find_account(&mut accounts, &unread.filename)?.error = Some(Escaped(unread.reason.as_bytes()).to_string());
    }
    for (name, metrics) in answer.metrics {
        if name != TOTALS {
            find_account(&mut accounts, &name)?.counted = metrics.counts();
        }
    }
    // Where it parsed none of them it had no file to give a receipt for.
    let parsed = |account: &FileAccount| account.error.is_none() && account.counted.is_some();
    if accounts.values().any(parsed) && !accounts.values().any(|account| account.has_receipt) {
        return Err(OutputError::RulesMissing);
    }
    let unscanned =
        accounts.into_values().filter_map(|account| Some((account.file, account.unscanned_reason()?))).collect();
    Ok((issues, unscanned))
}

/// The test of image/bandit, whose one issue for each file is a receipt with all that it found.
const RULES_TEST: &str = "T100";
const RECEIPT_HEADER: &str = "takumi 1";

/// Each line of a receipt.
fn parse_receipt(file: usize, receipt: &str) -> Option<Vec<Issue>> {
    let mut lines = receipt.split('\n');
    if lines.next() != Some(RECEIPT_HEADER) {
        return None;
    }
    lines.map(|line| parse_receipt_line(file, line)).collect()
}

fn parse_receipt_line(file: usize, written: &str) -> Option<Issue> {
    let mut words = written.splitn(3, ' ');
    let behaviour = StrDeserializer::<serde::de::value::Error>::new(words.next()?);
    let behaviour = Some(Behaviour::deserialize(behaviour).ok()?);
    let line = words.next()?.parse().ok()?;
    let detail = Some(Escaped(words.next()?.as_bytes()).to_string());
    Some(Issue { file, line, test_id: RULES_TEST.to_owned(), severity: None, behaviour, detail })
}

/// All files together, among the files; a file of that name is `././_totals`.
const TOTALS: &str = "_totals";

/// Bandit puts one more `./` before each name.
fn find_account<'a>(accounts: &'a mut BTreeMap<&[u8], FileAccount>, name: &str) -> Result<&'a mut FileAccount, String> {
    let mut path = name.as_bytes();
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    accounts
        .get_mut(path)
        .ok_or_else(|| format!("it reports a file that it was not given: {}", Escaped(name.as_bytes())))
}

impl FileAccount {
    /// Why the file does not count as scanned.
    fn unscanned_reason(self) -> Option<String> {
        match (self.error, self.counted) {
            (Some(reason), _) => Some(reason),
            (None, None) => Some("the scanner did not report on it".to_owned()),
            (None, Some(_)) if !self.has_receipt => Some("the rules of image/bandit failed on it".to_owned()),
            (None, Some(counted)) if counted != self.reported => {
                let sum = |counts: [u32; 4]| counts.iter().map(|&count| u64::from(count)).sum::<u64>();
                Some(format!("the scanner counted {} issues in it but reports {}", sum(counted), sum(self.reported)))
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

    fn strange(result: Result<ParsedOutput, OutputError>) -> String {
        match result {
            Err(OutputError::Untrusted(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_file_is_accounted_for() {
        let found = [finding("a.py", 4, "LOW"), receipts(), finding("a.py", 5, "HIGH")].join(", ");
        let counts = [CLEAN.to_owned(), metrics("a.py", [1, 0, 1]), metrics("sub/b.py", [0; 3])].join(", ");
        let behaviour = Some(Behaviour::RunsCommands);
        let issue = |line, severity| Issue {
            file: 3,
            line,
            test_id: "B605".to_owned(),
            severity: Some(severity),
            behaviour,
            detail: None,
        };
        let expected = vec![issue(4, Severity::Low), issue(5, Severity::High)];
        assert_eq!(parse_output(answer(&found, "", &counts).as_bytes(), 1, &GIVEN), Ok((expected, vec![])));
    }

    #[test]
    fn each_line_of_a_receipt_is_a_place() {
        let lines = "\\nhides-calls 3 getattr(\\u2026)\\nknown-bad 12 a miner\\u001b, it says";
        let found = [receipt("a.py", lines), receipt("sub/b.py", "")].join(", ");
        let (issues, unscanned) = parse_output(answer(&found, "", &both()).as_bytes(), 1, &GIVEN).unwrap();
        let place = |line, behaviour, detail: &str| Issue {
            file: 3,
            line,
            test_id: "T100".to_owned(),
            severity: None,
            behaviour: Some(behaviour),
            detail: Some(detail.to_owned()),
        };
        let expected = [
            place(3, Behaviour::HidesCalls, "getattr(\u{2026})"),
            place(12, Behaviour::KnownBad, "a miner\\u{1b}, it says"),
        ];
        assert_eq!((&issues[..], unscanned), (&expected[..], vec![]));
        for lines in ["0", "\\n", "\\nhides-calls", "\\nhides-calls x y", "\\nhides-calls 3", "\\ndances 3 x"] {
            let found = [receipt("a.py", lines), receipt("sub/b.py", "")].join(", ");
            let told = parse_output(answer(&found, "", &both()).as_bytes(), 1, &GIVEN);
            assert_eq!(strange(told), "its T100 entry is malformed", "{lines}");
        }
    }

    #[test]
    fn a_scanner_without_our_rules_has_no_answer() {
        let counts = both().replace("\"SEVERITY.UNDEFINED\": 1", "\"SEVERITY.UNDEFINED\": 0");
        assert_eq!(parse_output(answer("", "", &counts).as_bytes(), 0, &GIVEN), Err(OutputError::RulesMissing));
        let found = parse_output(answer(&receipt("a.py", ""), "", &both()).as_bytes(), 1, &GIVEN);
        assert_eq!(found, Ok((vec![], vec![(7, "the rules of image/bandit failed on it".to_owned())])));
        // Where nothing could be parsed there is nothing to give a receipt for.
        let errors = ["a.py", "sub/b.py"].map(|file| format!(r#"{{"filename": "././{file}", "reason": "bad"}}"#));
        let found = parse_output(answer("", &errors.join(", "), CLEAN).as_bytes(), 0, &GIVEN).unwrap();
        assert_eq!(found.1.len(), 2);
    }

    #[test]
    fn a_file_that_it_is_silent_about_was_not_scanned() {
        let silent = answer(&receipt("a.py", ""), "", &[CLEAN.to_owned(), metrics("a.py", [0; 3])].join(", "));
        let reason = "the scanner did not report on it".to_owned();
        assert_eq!(parse_output(silent.as_bytes(), 1, &GIVEN), Ok((vec![], vec![(7, reason)])));
        let begun = r#""././sub/b.py": {"loc": 3, "nosec": 0}"#.to_owned();
        let silent = answer(&receipts(), "", &[metrics("a.py", [0; 3]), begun].join(", "));
        assert_eq!(parse_output(silent.as_bytes(), 1, &GIVEN).unwrap().1.len(), 1, "begun and not ended");
    }

    #[test]
    fn issues_that_were_counted_and_are_not_told_are_missed() {
        let counts = [metrics("a.py", [2, 0, 0]), metrics("sub/b.py", [0; 3])].join(", ");
        let found = [finding("a.py", 4, "LOW"), receipts()].join(", ");
        let (issues, unscanned) = parse_output(answer(&found, "", &counts).as_bytes(), 1, &GIVEN).unwrap();
        assert_eq!(issues.len(), 1);
        assert_eq!(unscanned, [(3, "the scanner counted 3 issues in it but reports 2".to_owned())]);
    }

    #[test]
    fn what_it_could_not_parse_has_its_reason_on_one_line() {
        let errors = r#"{"filename": "././sub/b.py", "reason": "bad\nluck"}"#;
        let silent = answer(&receipt("a.py", ""), errors, &metrics("a.py", [0; 3]));
        assert_eq!(parse_output(silent.as_bytes(), 1, &GIVEN), Ok((vec![], vec![(7, "bad\\nluck".to_owned())])));
    }

    #[test]
    fn what_is_no_answer_of_bandits_is_none() {
        let whole = answer(&receipts(), "", &both());
        assert_eq!(parse_output(whole.as_bytes(), 1, &GIVEN), Ok((vec![], vec![])));
        let error = |printed: &str, code| strange(parse_output(printed.as_bytes(), code, &GIVEN));
        assert_eq!(error("", 0), "it printed no JSON");
        assert_eq!(error("Traceback", 1), "it printed no JSON");
        assert_eq!(error(&whole[..whole.len() - 1], 1), "it printed no JSON");
        assert_eq!(error(&(whole.clone() + "x"), 1), "it printed no JSON");
        assert_eq!(error(&whole, 0), "it ended with code 0 but reports 2 issues");
        for odd in ["[]", "{}", r#"{"results": [], "errors": []}"#, r#"{"results": {}, "errors": [], "metrics": {}}"#] {
            assert!(error(odd, 0).starts_with("its JSON is not Bandit's format: "), "{odd}");
        }
        assert!(
            error(&answer(&finding("a.py", 1, "WORST"), "", ""), 1).starts_with("its JSON is not Bandit's format: ")
        );
        let stranger = error(&answer("", "", &metrics("c.py", [0; 3])), 0);
        assert_eq!(stranger, "it reports a file that it was not given: ././c.py");
        assert_eq!(error(&format!(r#"{{"more": {}"#, "[".repeat(1_000_000)), 0), "it printed no JSON");
    }
}
