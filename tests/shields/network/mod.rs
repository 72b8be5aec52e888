//! The network shield in network namespaces: `init` in one, the next router and a real tinyproxy in the second, the world beyond in
//! a third. Each check is seen held and not held, and what is skipped sends nothing.

mod namespace;
mod net;
mod proxy;
mod routes;
mod start;
