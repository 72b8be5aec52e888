//! The network shield: the egress proxy with its list and its packet filter, the gateway, and the compose file that joins them,
//! in real containers on networks of the test's own.
//!
//! "The internet" is a part of TEST-NET-2 or TEST-NET-3 on a bridge; nothing leaves the machine.

mod attempts;
mod compose;
mod filter;
mod gateway;
mod lists;
mod outcomes;
mod proxy;
mod refusals;
mod world;
