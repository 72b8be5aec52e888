//! The sandbox in real containers: every right and every call in both directions. What is refused under it is tried with
//! TAKUMI_CONFINE=off too, and must end otherwise there; what COMMAND needs must go on under it.

mod calls;
mod files;
mod kernels;
mod modes;
mod network;
mod outside;
pub mod packages;
mod tried;
mod work;
