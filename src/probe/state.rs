//! What a start leaves for the probe: /run/takumi/report.json, written by container root before the drop, so that
//! nobody in the container can change it afterwards.

use crate::machine::{processes, status};
use crate::posture::report::Report;
use crate::sys::{Errno, ProcessId, UserId, fs, io};
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::os::fd::AsFd;

pub const STATE_PATH: &CStr = c"/run/takumi/report.json";
/// How much of it is read.
const MAX_STATE_BYTES: usize = 1 << 20;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishedState {
    /// The findings of the start.
    #[serde(flatten)]
    pub report: Report,
    /// Whom COMMAND runs as.
    pub identity: UserIds,
    pub process: ProcessIdentity,
    /// Settings as they came, `NAME=value`, of those that the probe may need. None of them is a secret.
    pub settings: Vec<String>,
    /// Device nodes that COMMAND's user could open.
    pub devices: Vec<String>,
}

/// Numbers of a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserIds {
    pub user: u32,
    pub group: u32,
    pub groups: Vec<u32>,
}

/// A process that cannot be taken for another one: ids come again, start times within one boot do not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its id, as `init` sees itself.
    pub id: i32,
    /// Field 22 of its /proc/PID/stat: clock ticks since the boot.
    pub start_time: u64,
    pub boot: String,
}

impl ProcessIdentity {
    /// What is to be seen of this id now; `None` where there is none, or no /proc.
    pub fn read(id: ProcessId) -> Option<Self> {
        let mut buffer = [0; 40];
        let boot = io::read_into(c"/proc/sys/kernel/random/boot_id", &mut buffer).unwrap_or_default();
        let boot = String::from_utf8_lossy(boot.trim_ascii()).into_owned();
        Some(ProcessIdentity { id: id.0, start_time: processes::read_stat(id)?.start_ticks, boot })
    }
}

impl PublishedState {
    /// Writes the file as root: 0444, in a directory of root's. What lay there is replaced. Errors: the kernel's; EROFS
    /// where /run is not a tmpfs under a read-only root.
    pub fn write(&self) -> Result<(), Errno> {
        let run = io::open_path(c"/run")?;
        match fs::make_directory_at(run.as_fd(), c"takumi", 0o755) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno),
        }
        // A link, or a directory that somebody else made, is none of ours.
        let directory = fs::pin_directory_at(run.as_fd(), c"takumi")?;
        let of = fs::stat(directory.as_fd(), fs::Freshness::Cached)?;
        if of.uid.0 != 0 || of.mode & 0o022 != 0 {
            return Err(Errno(libc::EPERM));
        }
        match fs::unlink_at(directory.as_fd(), c"report.json") {
            Ok(()) | Err(Errno(libc::ENOENT)) => {}
            Err(errno) => return Err(errno),
        }
        let text = serde_json::to_vec(self).map_err(|_| Errno(libc::EINVAL))?;
        let file = fs::create_at(directory.as_fd(), c"report.json")?;
        io::write_whole(&file, &text)?;
        io::set_mode(&file, 0o444)
    }

    /// Reads it. `Err` says why it is not to be trusted, in a few words.
    pub fn read() -> Result<PublishedState, String> {
        let path = STATE_PATH.to_string_lossy();
        let cannot = |errno: Errno| format!("{path} cannot be read: {errno}");
        // Whoever may write the directory could put another start's file there.
        let directory = io::open_path(c"/run/takumi").map_err(cannot)?;
        let file = io::open_nofollow(STATE_PATH).map_err(cannot)?;
        for (of, is_its_kind) in
            [(directory.as_fd(), fs::Stat::is_directory as fn(&fs::Stat) -> bool), (file.as_fd(), fs::Stat::is_regular)]
        {
            let of = fs::stat(of, fs::Freshness::Cached).map_err(cannot)?;
            if of.uid.0 != 0 || of.mode & 0o022 != 0 || !is_its_kind(&of) {
                return Err(format!("{path} can be written by others than root"));
            }
        }
        let text = io::read_rest(&file, MAX_STATE_BYTES).map_err(cannot)?;
        let state: PublishedState = serde_json::from_slice(&text).map_err(|_| format!("{path} is not a report"))?;
        let init = ProcessId(state.process.id);
        let users = status::read_of(init).ok().and_then(|status| status.users);
        match ProcessIdentity::read(init) {
            Some(now) if now == state.process => {}
            _ => return Err("the report is from another start".to_string()),
        }
        if state.identity.user == 0 || users.is_none_or(|users| users.contains(&UserId(0))) {
            return Err("COMMAND runs as root and could have written the report".to_string());
        }
        Ok(state)
    }
}
