//! COMMAND's start: where it is looked for, whose terminal it gets, and what is said when there is none.

use crate::privilege::Dropped;
use crate::settings::value_of;
use crate::sys::spawn::{self, Sandbox, SpawnError, SpawnPlan};
use crate::sys::{Errno, ProcessId, SignalSet, io, process, terminal};
use crate::text::Escaped;
use log::debug;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// What is to be started, and the state that it must find as `init` found it.
pub struct Command<'a> {
    /// Its arguments, its name first.
    pub arguments: &'a [&'a CStr],
    /// Its environment, finished.
    pub environment: &'a [&'a CStr],
    /// What was blocked when `init` started.
    pub mask: SignalSet,
    /// Whether SIGCHLD was ignored then.
    pub sigchld_ignored: bool,
    pub umask: Option<u32>,
    /// Whether the environment needs a LISTEN_PID that names COMMAND.
    pub listen_pid: bool,
    pub sandbox: Option<&'a Sandbox>,
}

#[derive(Debug)]
pub struct Child {
    /// Its process, which leads a group of the same number.
    pub id: ProcessId,
    /// The terminal whose foreground it has.
    pub terminal: Option<Terminal>,
}

/// A controlling terminal that had `init` in its foreground.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Terminal {
    /// One of the standard descriptors.
    Standard(RawFd),
    /// None of them: opened when it is needed, so that PID 1 holds nothing open.
    Controlling,
}

/// Why COMMAND does not run.
#[derive(Debug)]
pub enum Error {
    /// Before exec: the start failed.
    Start(SpawnError),
    Exec {
        /// COMMAND as it was given.
        name: CString,
        /// Where it was found, or tried last.
        tried: CString,
        /// Whether anything is there.
        found: bool,
        errno: Errno,
    },
}

impl Error {
    /// 125 before exec, 127 where COMMAND was not found, 126 where it was and could not be executed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Start(_) => 125,
            Error::Exec { found: false, .. } => 127,
            Error::Exec { .. } => 126,
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Start(SpawnError::Fork(errno)) => {
                write!(f, "cannot fork for COMMAND: {errno}")?;
                match errno.0 {
                    libc::EAGAIN => {
                        f.write_str(" (the limit of processes is reached: raise --pids-limit or --ulimit nproc)")
                    }
                    libc::ENOMEM => f.write_str(" (raise --memory)"),
                    _ => f.write_str(" (a seccomp filter or a limit refuses it)"),
                }
            }
            Error::Start(SpawnError::Prepare(what, errno)) => {
                write!(
                    f,
                    "cannot {what} for COMMAND: {errno} (a seccomp filter or a sandbox refuses it; start without that rule)"
                )
            }
            Error::Start(SpawnError::Exec(_, errno)) => write!(f, "cannot execute COMMAND: {errno}"),
            Error::Exec { name, tried, found, errno } => {
                write!(f, "cannot execute {}: ", Escaped(name.to_bytes()))?;
                match (errno.0, found) {
                    (libc::ENOENT | libc::ENOTDIR, false) if name.to_bytes().contains(&b'/') => {
                        write!(f, "{errno} (check the path in CMD or in the arguments of docker run)")
                    }
                    (libc::ENOENT | libc::ENOTDIR, false) => {
                        write!(f, "not found on PATH (name its path, or set PATH in the image)")
                    }
                    (libc::ENOENT, true) => {
                        write!(
                            f,
                            "{} exists, but its interpreter (the #! line or the ELF loader) does not",
                            Escaped(tried.to_bytes())
                        )?;
                        f.write_str(" (install it in the image)")
                    }
                    (libc::EACCES, _) => {
                        write!(f, "{} cannot be executed: {errno}", Escaped(tried.to_bytes()))?;
                        f.write_str(
                            " (it must be a file with the execute bit for COMMAND's user, not on a noexec mount)",
                        )
                    }
                    (libc::ENOEXEC, _) => {
                        write!(
                            f,
                            "{}: {errno} (not a program for this machine: built for another one, or truncated?)",
                            Escaped(tried.to_bytes())
                        )
                    }
                    (libc::E2BIG, _) => write!(f, "{errno} (shorten the arguments or the environment)"),
                    _ => write!(f, "{}: {errno}", Escaped(tried.to_bytes())),
                }
            }
        }
    }
}

/// The probe learns from this process's own name, which nobody else can write, who COMMAND is: `init:7`, or `init` for
/// nobody.
pub fn publish_pid(command: Option<ProcessId>) {
    use std::io::Write as _;
    let mut name = *b"init\0\0\0\0\0\0\0\0\0\0\0\0";
    if let Some(command) = command {
        let _ = write!(&mut name[4..], ":{command}\0");
    }
    if let Some(name) = CStr::from_bytes_until_nul(&name).ok()
        && let Err(errno) = process::set_name(name)
    {
        debug!("`init --check` will not find COMMAND: {errno}");
    }
}

/// Starts COMMAND as what this process has become.
pub fn start(_: &Dropped, command: &Command) -> Result<Child, Error> {
    let name = command.arguments.first().copied().unwrap_or_default();
    let candidates = candidates(name, value_of(command.environment, b"PATH"));
    let (terminal, opened) = foreground_terminal();
    let descriptor = match terminal {
        Some(Terminal::Standard(number)) => Some(number),
        _ => opened.as_ref().map(|opened| opened.as_raw_fd()),
    };
    let spawned = spawn::spawn(&SpawnPlan {
        candidates: &candidates,
        arguments: command.arguments,
        environment: command.environment,
        mask: command.mask,
        sigchld_ignored: command.sigchld_ignored,
        terminal: descriptor,
        umask: command.umask,
        listen_pid: command.listen_pid,
        sandbox: command.sandbox,
    });
    match spawned {
        Ok(id) => Ok(Child { id, terminal }),
        Err(SpawnError::Exec(index, errno)) => {
            reclaim_terminal(terminal);
            let existing = candidates.iter().find(|path| errno.0 == libc::ENOENT && io::exists(path));
            let tried = existing.or(candidates.get(index)).cloned().unwrap_or_default();
            let found = existing.is_some() || !matches!(errno.0, libc::ENOENT | libc::ENOTDIR);
            Err(Error::Exec { name: name.into(), tried, found, errno })
        }
        Err(failure) => {
            reclaim_terminal(terminal);
            Err(Error::Start(failure))
        }
    }
}

/// glibc's own search path where PATH is not set.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Where execvp would look for `name`.
fn candidates(name: &CStr, path: Option<&[u8]>) -> Vec<CString> {
    let name = name.to_bytes();
    let join = |directory: &[u8]| {
        let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        CString::new([directory, separator, name].concat()).unwrap_or_default()
    };
    if name.is_empty() || name.contains(&b'/') {
        return vec![join(b"")];
    }
    path.unwrap_or(DEFAULT_PATH).split(|&byte| byte == b':').map(join).collect()
}

/// The controlling terminal, if `init` is its foreground job: one that is another's must not be taken (`init … &` in a
/// shell).
fn foreground_terminal() -> (Option<Terminal>, Option<OwnedFd>) {
    for number in 0..io::FIRST_NON_STDIO {
        if let Ok(group) = terminal::foreground(number) {
            return ((group == process::self_process_group()).then_some(Terminal::Standard(number)), None);
        }
    }
    match io::open_terminal(c"/dev/tty") {
        Ok(opened) if terminal::foreground(opened.as_raw_fd()) == Ok(process::self_process_group()) => {
            (Some(Terminal::Controlling), Some(opened))
        }
        _ => (None, None),
    }
}

impl Terminal {
    fn with_descriptor<Answer>(self, act: impl FnOnce(RawFd) -> Answer) -> Option<Answer> {
        match self {
            Terminal::Standard(number) => Some(act(number)),
            Terminal::Controlling => io::open_terminal(c"/dev/tty").ok().map(|opened| act(opened.as_raw_fd())),
        }
    }

    /// Puts `group` into the foreground, if `init`'s own group is there.
    pub fn set_foreground(self, group: ProcessId) {
        self.with_descriptor(|descriptor| {
            if terminal::foreground(descriptor) == Ok(process::self_process_group()) {
                let _ = terminal::set_foreground(descriptor, group);
            }
        });
    }

    /// Takes the foreground for `init`'s own group. SIGTTOU is blocked, as every signal is.
    pub fn reclaim_foreground(self) {
        self.with_descriptor(|descriptor| terminal::set_foreground(descriptor, process::self_process_group()));
    }
}

fn reclaim_terminal(terminal: Option<Terminal>) {
    if let Some(terminal) = terminal {
        terminal.reclaim_foreground();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &CStr, path: Option<&[u8]>) -> Vec<String> {
        candidates(name, path).into_iter().map(|path| path.into_string().unwrap()).collect()
    }

    #[test]
    fn a_program_is_looked_for_as_execvp_does() {
        assert_eq!(tried(c"app", Some(b"/a:/b")), ["/a/app", "/b/app"]);
        assert_eq!(tried(c"app", Some(b"/a::/b")), ["/a/app", "app", "/b/app"]);
        assert_eq!(tried(c"app", Some(b"")), ["app"]);
        assert_eq!(tried(c"app", None), ["/bin/app", "/usr/bin/app"]);
        assert_eq!(tried(c"./app", Some(b"/a")), ["./app"]);
        assert_eq!(tried(c"", Some(b"/a")), [""]);
    }
}
