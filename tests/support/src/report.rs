//! The JSON of `--report` and `--check`, as a stranger reads it.

use crate::program::Ended;
use serde::Deserialize;

/// What `--report --json` prints.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Of the format.
    pub version: u32,
    /// `pass`, `weak` or `refused`; of `--check` there is none.
    pub verdict: Option<String>,
    /// In their order.
    pub findings: Vec<Finding>,
}

/// One check's answer.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Finding {
    /// Of the check.
    pub id: String,
    /// Its shield.
    pub shield: String,
    /// In one word.
    pub status: String,
    /// Whether a start is refused without it.
    pub required: bool,
    /// What is so.
    pub detail: String,
    /// What to do.
    pub fix: Option<String>,
}

impl Report {
    /// Reads it, or fails with the text.
    #[track_caller]
    pub fn parse(json: &str) -> Report {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: '{json}'"))
    }

    /// What a run of `--report --json` printed.
    #[track_caller]
    pub fn of(ended: &Ended) -> Report {
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// The one finding of this id. One that is neither `pass` nor `skipped` has a fix, and no other has one.
    #[track_caller]
    pub fn finding(&self, id: &str) -> &Finding {
        let mut found = self.findings.iter().filter(|finding| finding.id == id);
        let finding = found.next().unwrap_or_else(|| panic!("no {id} in {self:?}"));
        assert!(found.next().is_none(), "{id} stands twice in {self:?}");
        let well = matches!(finding.status.as_str(), "pass" | "skipped");
        assert_eq!(finding.fix.is_some(), !well, "{finding:?}");
        finding
    }

    /// The finding has this status, and these words in its detail.
    #[track_caller]
    pub fn says(&self, id: &str, status: &str, words: &str) -> &Finding {
        self.finding(id).expect(status, words)
    }

    /// The finding has this status and this whole detail.
    #[track_caller]
    pub fn is(&self, id: &str, status: &str, detail: &str) -> &Report {
        let finding = self.finding(id);
        assert_eq!((finding.status.as_str(), finding.detail.as_str()), (status, detail), "{finding:?}");
        self
    }

    /// It is missing, with this whole detail.
    #[track_caller]
    pub fn missing(&self, id: &str, detail: &str) -> &Report {
        self.is(id, "fail", detail)
    }

    /// They all are held.
    #[track_caller]
    pub fn held(&self, ids: &[&str]) -> &Report {
        for id in ids {
            self.says(id, "pass", "");
        }
        self
    }
}

impl Finding {
    /// Whether a start is refused for it.
    pub fn refuses(&self) -> bool {
        self.required && self.fix.is_some()
    }

    /// These words are in what to do.
    #[track_caller]
    pub fn fixed_by(&self, words: &str) -> &Finding {
        assert!(self.fix.as_ref().is_some_and(|fix| fix.contains(words)), "expected '{words}': {self:?}");
        self
    }

    /// It has this status, and these words in its detail.
    #[track_caller]
    pub fn expect(&self, status: &str, words: &str) -> &Finding {
        assert!(self.status == status && self.detail.contains(words), "expected {status} ({words}): {self:?}");
        self
    }
}
