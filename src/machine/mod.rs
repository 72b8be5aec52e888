//! Observation only: what the kernel says of this process and its surroundings. Nothing here judges or changes anything.

pub mod capabilities;
pub mod limits;
pub mod processes;
pub mod status;
pub mod user_namespace;
