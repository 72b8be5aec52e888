//! The GPU's checks without a GPU: nodes made with mknod, a device cgroup and modes produce each errno for real. Numbers that no
//! driver has taken stand for a driver that is not loaded, /dev/full stands for a GPU that can be opened.
//!
//! What only hardware can show (EIO, EBUSY, a driver's version) is tested with fixtures beside the judgement.

mod access;
mod child;
mod groups;
mod nodes;
mod refusal;
mod rootless;
mod stand_in;
