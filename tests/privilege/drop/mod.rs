//! The drop, from inside (COMMAND is `state_probe`) and from outside: whom COMMAND becomes, what it and its PID 1 still
//! hold, and what is refused instead of being done halfway. Beside a check stands a peer that fails it.

mod capabilities;
mod denied;
mod namespaces;
mod ordinary;
mod root;
mod start;
mod surroundings;
mod users;
