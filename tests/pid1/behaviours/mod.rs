//! How PID 1 behaves: every behaviour runs against `init` and, as controls, against tini and dumb-init.
//!
//! A test is `x01_child_exit_0`: the id of the behaviour, then the behaviour. What a control cannot do stands in
//! `known_failures.txt`; see [`support::check`]. Tests without an id are of what only `init` promises.

mod child_state;
mod coverage;
mod descriptors;
mod environment;
mod epitaph;
mod exit;
mod identity;
mod ladder;
mod leftovers;
mod lookup;
mod manners;
mod nesting;
mod prepared;
mod reaping;
mod recorder;
mod refusals;
mod signals;
mod storms;
mod support;
mod terminal;
mod traced;
