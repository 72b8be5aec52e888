//! The second lock in real containers: every right and every call in both directions. What is refused under it is tried with
//! TAKUMI_CONFINE=off too, and must end otherwise there; what COMMAND needs must go on under it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../container/engine.rs"]
#[allow(dead_code)]
mod engine;
#[path = "../container/start.rs"]
#[allow(dead_code)]
mod start;
#[path = "../container/torch.rs"]
mod torch;
#[path = "../container/wheels.rs"]
mod wheels;

mod calls;
mod files;
mod kernels;
mod modes;
mod network;
mod outside;
mod packages;
mod tried;
mod work;
