//! takumi-init: the first process of a container that starts with a few privileges and must end with none.
//!
//! `boot` is the page to read first: a start from its first line to COMMAND's exit code. The rooms below it each have one
//! duty; an arrow between them may point down this list, never up.

pub mod boot;
pub mod cli;
pub mod identity;
pub mod logging;
pub mod machine;
pub mod ownership;
pub mod privilege;
pub mod settings;
pub mod supervise;
pub mod sys;
pub mod text;
