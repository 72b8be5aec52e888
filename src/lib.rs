//! takumi-init: the first process of a container that starts with a few privileges and must end with none, and the two programs beside it.
//!
//! [`boot`] is the page to read first: a start from its first line to COMMAND's exit code. The rooms around it each have one duty.
//! What observes (`machine`), what judges (`posture`) and what changes (`ownership`, `privilege`, `supervise`) know as little of
//! each other as they can, [`sys`] knows nobody, and `boot` knows all.

pub(crate) mod boot;
pub(crate) mod cli;
pub(crate) mod confine;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod logging;
pub(crate) mod machine;
pub(crate) mod nodes;
pub(crate) mod ownership;
pub(crate) mod path;
pub(crate) mod posture;
pub(crate) mod privilege;
pub(crate) mod probe;
pub(crate) mod problem;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod supervise;
pub(crate) mod sys;
pub(crate) mod text;

/// What each program's `main` calls.
pub mod programs {
    pub use crate::cli::run as init;
    pub use crate::nodes::program::run as takumi_nodes;
    pub use crate::secrets::tool::run as takumi_secrets;
}

/// What tests of a room's own need: no promise to anybody.
#[doc(hidden)]
pub mod for_tests {
    pub use crate::nodes::{behaviour, scan, tree};
}

#[doc(hidden)]
pub use sys::entry as program_entry;
