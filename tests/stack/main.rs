//! ComfyUI behind its shields: the images and the stack of scripts/build.sh and scripts/up.sh, the network shield alone, the manifests for
//! Kubernetes, and what ComfyUI's libraries need on a read-only root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod comfyui;
mod egress;
mod images;
mod kubernetes;
mod python;
mod up;
