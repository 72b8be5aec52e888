//! The identity and file shields in real containers: each check where it is held and where it is not, the report of a start, what
//! a start is refused for, and the file that it leaves for the probe.

mod file;
mod identity;
mod proc;
mod refusal;
mod rootless;
mod seen;
mod state;
mod words;
