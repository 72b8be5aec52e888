//! What `takumi-nodes` answers to `init`: all that `init` understands of nodes. The rest is bytes that it keeps.

use serde::{Deserialize, Serialize};

/// The longest answer that `init` reads.
pub const MAX_BYTES: usize = 1 << 20;

/// JSON, on the descriptor that the command line names.
#[derive(Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// What a scan came to; none where nothing was scanned.
    pub verdict: Option<ScanVerdict>,
    /// The warning for a person, ready to be printed: lines of text, or one line of JSON.
    pub warning: Vec<String>,
    /// Further lines for the log.
    pub notes: Vec<String>,
    /// Nodes that are to be moved aside or back, or that were.
    pub names: Vec<String>,
    /// To be printed once everything else is done.
    pub output: String,
    /// Why nothing was done.
    pub error: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ScanVerdict {
    /// No node needs a review.
    pub passed: bool,
    pub detail: String,
}
