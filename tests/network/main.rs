//! The network shield in network namespaces: `init` in one, the next router and a real tinyproxy in the second, the world beyond in
//! a third. Each check is seen held and not held, and what is skipped sends nothing.
//!
//! A test is skipped, with a line that says so, where namespaces are refused or tinyproxy, iproute2 or nftables is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod net;
mod proxy;
mod routes;
mod start;
