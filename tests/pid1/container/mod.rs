//! `init` in real containers: hardened as scripts/up.sh starts them, beside the classic stack of tini, entrypoint.sh and gosu.

mod identity;
mod manners;
mod podman;
mod scripts;
mod stopping;
mod volumes;
