//! Why COMMAND does not run, in one line each.

use crate::identity::resolve;
use crate::posture::finding::Finding;
use crate::settings::Mistake;
use crate::supervise::child;
use crate::sys::{Errno, GroupId, UserId};
use crate::{confine, ownership, privilege, secrets};
use log::error;

/// A start that ends before COMMAND runs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("")]
    Settings(Vec<Mistake>),
    #[error("")]
    Secrets(Vec<secrets::Error>),
    #[error("")]
    Weak(Vec<Finding>),
    #[error(
        "no COMMAND to start: usage: init [--] COMMAND [ARG]... (give it in CMD or after the image's name; see init --help)"
    )]
    NoCommand,
    #[error("cannot {0}: {1} (a seccomp filter or a sandbox refuses it; start without that rule)")]
    System(&'static str, Errno),
    #[error(
        "init was started with more privilege than its caller has: it must be neither setuid nor setgid nor have file capabilities (chmod 0711 /init, setcap -r /init)"
    )]
    SetUserId,
    #[error(
        "cannot become {0}: init was started as uid {1}, gid {2} (start the container as root, or leave PUID, PGID, TAKUMI_USER and TAKUMI_GROUPS unset)"
    )]
    NotRoot(String, UserId, GroupId),
    #[error("cannot read {0}: {1} (make it readable, or remove it and name ids)")]
    AccountFile(&'static str, Errno),
    #[error(
        "the working directory lies outside the container (an engine with CVE-2024-21626? update it, or set WORKDIR)"
    )]
    DirectoryOutside,
    #[error("told to stop before COMMAND ran (nothing is lost: start again)")]
    ToldToStop,
    #[error(transparent)]
    Identity(#[from] resolve::Error),
    #[error(transparent)]
    Ownership(#[from] ownership::Error),
    #[error(transparent)]
    Privilege(#[from] privilege::Error),
    #[error(transparent)]
    Confine(#[from] confine::Error),
    #[error(transparent)]
    Child(#[from] child::Error),
}

impl Refusal {
    /// Says it and returns the exit code: 125, and for COMMAND itself 126 and 127.
    pub(super) fn tell(&self) -> u8 {
        match self {
            Refusal::Settings(mistakes) => mistakes.iter().for_each(|mistake| error!("{mistake}")),
            Refusal::Secrets(errors) => errors.iter().for_each(|error| error!("{error}")),
            Refusal::Weak(findings) => findings.iter().for_each(|finding| {
                let fix = finding.fix.as_deref().unwrap_or_default();
                error!("required and not held: {}: {} ({fix})", finding.id, finding.detail);
            }),
            refusal => error!("{refusal}"),
        }
        match self {
            Refusal::Child(error) => error.code(),
            _ => 125,
        }
    }
}
