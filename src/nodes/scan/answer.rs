//! What the scanner printed, taken at its word only where it accounts for every file.

use super::{Issue, Severity};
use crate::text::Shown;
use serde::Deserialize;
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
}

/// Reads the answer of a scanner that ended with `code` (0: nothing found, 1: something) and was given these files, each an index
/// and a path. Errors: what is wrong with it, as a sentence's end.
pub(super) fn understand(printed: &[u8], code: u8, given: &[(usize, &[u8])]) -> Result<Understood, String> {
    let answer: Answer = serde_json::from_slice(printed).map_err(|error| match error.classify() {
        Category::Data => format!("its JSON is not Bandit's: {}", Shown(error.to_string().as_bytes())),
        _ => "it printed no JSON".to_owned(),
    })?;
    if (code == 1) == answer.results.is_empty() {
        return Err(format!("it ended with code {code} and tells {} issues", answer.results.len()));
    }
    let account = |&(file, path)| (path, Account { file, told: [0; 4], counted: None, unread: None });
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
        issues.push(Issue { file: account.file, line: finding.line_number, test: finding.test_id, severity });
    }
    for unread in answer.errors {
        account_of(&mut accounts, &unread.filename)?.unread = Some(Shown(unread.reason.as_bytes()).to_string());
    }
    for (name, metrics) in answer.metrics {
        if name != TOTALS {
            account_of(&mut accounts, &name)?.counted = metrics.counts();
        }
    }
    let unscanned = accounts.into_values().filter_map(|account| Some((account.file, account.gap()?))).collect();
    Ok((issues, unscanned))
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
        .ok_or_else(|| format!("it tells of a file that it was not given: {}", Shown(name.as_bytes())))
}

impl Account {
    /// Why the file does not count as scanned.
    fn gap(self) -> Option<String> {
        match (self.unread, self.counted) {
            (Some(reason), _) => Some(reason),
            (None, None) => Some("the scanner does not say what became of it".to_owned()),
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

    fn metrics(file: &str, counts: [u32; 3]) -> String {
        let [low, medium, high] = counts;
        format!(
            r#""././{file}": {{"SEVERITY.UNDEFINED": 0, "SEVERITY.LOW": {low}, "SEVERITY.MEDIUM": {medium}, "SEVERITY.HIGH": {high}, "loc": 3}}"#
        )
    }

    const GIVEN: [(usize, &[u8]); 2] = [(3, b"a.py"), (7, b"sub/b.py")];
    const CLEAN: &str = r#""_totals": {"loc": 3}"#;

    #[test]
    fn every_file_is_accounted_for() {
        let found = [finding("a.py", 4, "LOW"), finding("a.py", 5, "HIGH")].join(", ");
        let counts = [CLEAN.to_owned(), metrics("a.py", [1, 0, 1]), metrics("sub/b.py", [0; 3])].join(", ");
        let issue = |line, severity| Issue { file: 3, line, test: "B605".to_owned(), severity };
        let expected = vec![issue(4, Severity::Low), issue(5, Severity::High)];
        assert_eq!(understand(answer(&found, "", &counts).as_bytes(), 1, &GIVEN), Ok((expected, vec![])));
    }

    #[test]
    fn a_file_that_it_is_silent_about_was_not_scanned() {
        let silent = answer("", "", &[CLEAN.to_owned(), metrics("a.py", [0; 3])].join(", "));
        let reason = "the scanner does not say what became of it".to_owned();
        assert_eq!(understand(silent.as_bytes(), 0, &GIVEN), Ok((vec![], vec![(7, reason)])));
        let begun = r#""././sub/b.py": {"loc": 3, "nosec": 0}"#.to_owned();
        let silent = answer("", "", &[metrics("a.py", [0; 3]), begun].join(", "));
        assert_eq!(understand(silent.as_bytes(), 0, &GIVEN).unwrap().1.len(), 1, "begun and not ended");
    }

    #[test]
    fn issues_that_were_counted_and_are_not_told_are_missed() {
        let counts = [metrics("a.py", [2, 0, 0]), metrics("sub/b.py", [0; 3])].join(", ");
        let (issues, unscanned) =
            understand(answer(&finding("a.py", 4, "LOW"), "", &counts).as_bytes(), 1, &GIVEN).unwrap();
        assert_eq!(issues.len(), 1);
        assert_eq!(unscanned, [(3, "the scanner counted 2 issues in it and tells 1".to_owned())]);
    }

    #[test]
    fn what_it_could_not_parse_has_its_reason_on_one_line() {
        let errors = r#"{"filename": "././sub/b.py", "reason": "bad\nluck"}"#;
        let silent = answer("", errors, &metrics("a.py", [0; 3]));
        assert_eq!(understand(silent.as_bytes(), 0, &GIVEN), Ok((vec![], vec![(7, "bad\\nluck".to_owned())])));
    }

    #[test]
    fn what_is_no_answer_of_bandits_is_none() {
        let whole = answer("", "", &[metrics("a.py", [0; 3]), metrics("sub/b.py", [0; 3])].join(", "));
        assert_eq!(understand(whole.as_bytes(), 0, &GIVEN), Ok((vec![], vec![])));
        let error = |printed: &str, code| understand(printed.as_bytes(), code, &GIVEN).unwrap_err();
        assert_eq!(error("", 0), "it printed no JSON");
        assert_eq!(error("Traceback", 1), "it printed no JSON");
        assert_eq!(error(&whole[..whole.len() - 1], 0), "it printed no JSON");
        assert_eq!(error(&(whole.clone() + "x"), 0), "it printed no JSON");
        assert_eq!(error(&whole, 1), "it ended with code 1 and tells 0 issues");
        for odd in ["[]", "{}", r#"{"results": [], "errors": []}"#, r#"{"results": {}, "errors": [], "metrics": {}}"#] {
            assert!(error(odd, 0).starts_with("its JSON is not Bandit's: "), "{odd}");
        }
        assert!(error(&answer(&finding("a.py", 1, "WORST"), "", ""), 1).starts_with("its JSON is not Bandit's: "));
        let stranger = error(&answer("", "", &metrics("c.py", [0; 3])), 0);
        assert_eq!(stranger, "it tells of a file that it was not given: ././c.py");
        assert_eq!(error(&format!(r#"{{"more": {}"#, "[".repeat(1_000_000)), 0), "it printed no JSON");
    }
}
