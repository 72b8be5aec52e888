//! What `init --report --json` said, and how it ended.

use std::ops::Deref;
use takumi_test::program::Ended;
use takumi_test::report::Report;

/// A report, and the program's end.
#[derive(Debug)]
pub struct ReportRun {
    pub report: Report,
    pub ended: Ended,
}

impl ReportRun {
    #[track_caller]
    pub fn of(ended: Ended) -> ReportRun {
        ReportRun { report: Report::of(&ended), ended }
    }
}

impl Deref for ReportRun {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}
