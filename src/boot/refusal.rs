//! Why COMMAND does not run, in one line each.

use crate::posture::finding::Finding;
use crate::problem::Problem;
use crate::settings::SettingsError;
use crate::supervise::child;
use crate::sys::Errno;
use crate::{confine, secrets};
use log::error;

/// A start that ends before COMMAND runs.
#[derive(Debug)]
pub(super) enum Refusal {
    Settings(Vec<SettingsError>),
    Secrets(Vec<secrets::Error>),
    RequiredChecksFailed(Vec<Finding>),
    Problem(Problem),
    StopRequested,
    Confine(confine::Error),
    Child(child::Error),
}

impl<Error: Into<Problem>> From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Problem(error.into())
    }
}

impl Refusal {
    /// A call of the kernel that must not fail.
    pub(super) fn system(what: &str, errno: Errno) -> Self {
        let fix = "a seccomp filter or a sandbox refuses it; start without that rule";
        Refusal::Problem(Problem::new(format!("cannot {what}: {errno}"), fix))
    }

    pub(super) fn no_command() -> Self {
        let usage = "no COMMAND given; usage: init [--] COMMAND [ARG]...";
        Refusal::Problem(Problem::new(
            usage,
            "set CMD in the image, or type it after the image's name; see init --help",
        ))
    }

    pub(super) fn directory_outside() -> Self {
        let fix = "update the engine (CVE-2024-21626), or set WORKDIR";
        Refusal::Problem(Problem::new("the working directory is outside the container", fix))
    }

    /// Says it and returns the exit code: 125, and for COMMAND itself 126 and 127.
    pub(super) fn log(&self) -> u8 {
        match self {
            Refusal::Settings(mistakes) => mistakes.iter().for_each(|mistake| error!("{mistake}")),
            Refusal::Secrets(errors) => errors.iter().for_each(|error| error!("{error}")),
            Refusal::RequiredChecksFailed(findings) => findings.iter().for_each(|finding| {
                let fix = finding.fix.as_deref().unwrap_or_default();
                error!("required check failed: {}: {} ({fix})", finding.id, finding.detail);
            }),
            Refusal::Problem(problem) => error!("{problem}"),
            Refusal::StopRequested => error!("stopped before COMMAND was started (nothing is lost; start it again)"),
            Refusal::Confine(error) => error!("{error}"),
            Refusal::Child(error) => error!("{error}"),
        }
        match self {
            Refusal::Child(error) => error.exit_code(),
            _ => 125,
        }
    }
}
