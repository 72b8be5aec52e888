//! Volumes, on a real kernel: `init` starts as root with TAKUMI_VOLUMES and what it left of the owners is read back.
//! Beside a check stands `chown -R`, which does what `init` must not.

#[macro_use]
mod support;

mod capabilities;
mod creation;
mod escape;
mod filesystems;
mod interruption;
mod podman;
mod race;
mod report;
mod right;
mod shape;
mod share;
