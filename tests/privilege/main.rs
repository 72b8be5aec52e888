//! The drop, from inside (COMMAND is `state_probe`) and from outside: whom COMMAND becomes, what it and its PID 1 still
//! hold, and what is refused instead of being done halfway. Beside a check stands a peer that fails it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../injection/state.rs"]
#[allow(dead_code)]
mod state;
#[path = "../injection/world.rs"]
#[allow(dead_code)]
mod world;

mod capabilities;
mod denied;
mod drop;
mod namespaces;
mod ordinary;
mod start;
mod surroundings;
mod users;
