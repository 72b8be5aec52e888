//! takumi-init: the first process of a container that starts with a few privileges and must end with none.
//!
//! [`boot`] is the page to read first: a start from its first line to COMMAND's exit code. The rooms around it each have one duty.
//! What observes (`machine`), what judges (`posture`) and what changes (`ownership`, `privilege`, `supervise`) know as little of
//! each other as they can, [`sys`] knows nobody, and `boot` knows all.

pub mod boot;
pub mod cli;
pub mod confine;
pub mod http;
pub mod identity;
pub mod logging;
pub mod machine;
pub mod nodes;
pub mod ownership;
pub mod path;
pub mod posture;
pub mod privilege;
pub mod probe;
pub mod secrets;
pub mod settings;
pub mod supervise;
pub mod sys;
pub mod text;
