//! What opening a node says, asked as COMMAND's user: a mode, a device cgroup, a driver and a GPU each have their own
//! errno.

use super::nodes::GpuNode;
use crate::sys::credentials::{self, Credentials};
use crate::sys::{Errno, device, forked_task};
use std::ffi::CString;
use std::time::Duration;

/// What came of opening a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenOutcome {
    Opened,
    Failed(Errno),
    /// The kernel had not answered by the deadline.
    TimedOut,
    /// Nobody tried, and why: no child could be made or become the user, it ended early, or one before it did not
    /// answer.
    NotAttempted(Errno),
}

/// Opens each of them as that user (`None`: as who runs), and closes it again.
pub(super) fn open_all(nodes: &mut [GpuNode], user: Option<&Credentials>, timeout: Duration) {
    let devices = nodes.iter_mut().filter(|node| node.file.is_ok_and(|file| file.is_character()));
    let mut devices: Vec<(CString, &mut GpuNode)> =
        devices.filter_map(|node| Some((CString::new(node.path.as_str()).ok()?, node))).collect();
    let asked: Vec<(&CString, bool)> = devices.iter().map(|(path, node)| (path, node.kind.needs_write())).collect();
    let answers = open_each(&asked, user, timeout);
    for ((_, node), answer) in devices.iter_mut().zip(answers) {
        node.open_outcome = answer;
    }
}

/// Opens each path, for writing too where its flag is set. The answers are in the order of the paths.
pub(super) fn open_each(asked: &[(&CString, bool)], user: Option<&Credentials>, timeout: Duration) -> Vec<OpenOutcome> {
    if asked.is_empty() {
        return Vec::new();
    }
    let max_bytes = (asked.len() + 1) * ERRNO_BYTES;
    let answer = forked_task::run(timeout, max_bytes, |child| {
        let ready = child.drop_to(user).and_then(|()| child.isolate_memory());
        let write_errno =
            |answer: Result<(), Errno>| child.write_output(&answer.map_or_else(|errno| errno.0, |()| 0).to_ne_bytes());
        if write_errno(ready).is_err() || ready.is_err() {
            return;
        }
        for (path, writing) in asked {
            if write_errno(device::try_open(path, *writing)).is_err() {
                return;
            }
        }
    });
    match answer {
        Ok(answer) => decode_outcomes(&answer, asked.len()),
        Err(errno) => vec![OpenOutcome::NotAttempted(errno); asked.len()],
    }
}

const ERRNO_BYTES: usize = size_of::<i32>();

/// The first word says whether the child became the user, each further one what opening a node said; 0 is success.
fn decode_outcomes(answer: &forked_task::TaskOutput, count: usize) -> Vec<OpenOutcome> {
    let mut words = answer.bytes.as_chunks::<ERRNO_BYTES>().0.iter().map(|word| i32::from_ne_bytes(*word));
    let missing = Errno(if answer.timed_out { libc::ETIMEDOUT } else { libc::EIO });
    match words.next() {
        Some(0) => {}
        Some(errno) => return vec![OpenOutcome::NotAttempted(Errno(errno)); count],
        None => return vec![OpenOutcome::NotAttempted(missing); count],
    }
    let mut answers: Vec<OpenOutcome> = words
        .map(|word| if word == 0 { OpenOutcome::Opened } else { OpenOutcome::Failed(Errno(word)) })
        .take(count)
        .collect();
    if answer.timed_out && answers.len() < count {
        answers.push(OpenOutcome::TimedOut);
    }
    answers.resize(count, OpenOutcome::NotAttempted(missing));
    answers
}

/// Who opens them where nobody else is named: this process.
pub(super) fn effective_user() -> Option<u32> {
    credentials::user_ids().ok().map(|ids| ids.effective.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{GroupId, UserId};
    use takumi_test::require;

    fn paths(paths: &[&str]) -> Vec<CString> {
        paths.iter().map(|path| CString::new(*path).unwrap()).collect()
    }

    fn answer(words: &[i32], late: bool) -> forked_task::TaskOutput {
        forked_task::TaskOutput { bytes: words.iter().flat_map(|word| word.to_ne_bytes()).collect(), timed_out: late }
    }

    #[test]
    fn each_word_of_the_child_is_one_answer() {
        let (eacces, enxio) = (Errno(libc::EACCES), Errno(libc::ENXIO));
        assert_eq!(
            decode_outcomes(&answer(&[0, 0, eacces.0], false), 2),
            [OpenOutcome::Opened, OpenOutcome::Failed(eacces)]
        );
        assert_eq!(
            decode_outcomes(&answer(&[0, enxio.0], true), 3),
            [OpenOutcome::Failed(enxio), OpenOutcome::TimedOut, OpenOutcome::NotAttempted(Errno(libc::ETIMEDOUT))]
        );
        assert_eq!(
            decode_outcomes(&answer(&[0, 0], false), 2),
            [OpenOutcome::Opened, OpenOutcome::NotAttempted(Errno(libc::EIO))]
        );
        assert_eq!(decode_outcomes(&answer(&[libc::EPERM], false), 1), [OpenOutcome::NotAttempted(Errno(libc::EPERM))]);
        assert_eq!(decode_outcomes(&answer(&[], true), 1), [OpenOutcome::NotAttempted(Errno(libc::ETIMEDOUT))]);
        assert_eq!(decode_outcomes(&answer(&[0, 0, 0, 0], false), 1), [OpenOutcome::Opened]);
    }

    #[test]
    fn a_device_is_opened_by_the_child() {
        let paths = paths(&["/dev/null", "/dev/takumi-test-none"]);
        let asked: Vec<(&CString, bool)> = paths.iter().map(|path| (path, true)).collect();
        let answers = open_each(&asked, None, Duration::from_secs(20));
        assert_eq!(answers, [OpenOutcome::Opened, OpenOutcome::Failed(Errno(libc::ENOENT))]);
        assert_eq!(open_each(&[], None, Duration::ZERO), []);
    }

    #[test]
    fn who_cannot_be_is_not_asked_as() {
        let nobody = Credentials { user: UserId(u32::MAX), group: GroupId(u32::MAX), groups: vec![GroupId(54_321)] };
        let null = CString::new("/dev/null").unwrap();
        let answers = open_each(&[(&null, true)], Some(&nobody), Duration::from_secs(20));
        assert!(matches!(answers[..], [OpenOutcome::NotAttempted(_)]), "{answers:?}");
    }

    #[test]
    fn the_users_own_rights_are_asked_for_and_not_roots() {
        require!(root);
        use std::os::unix::fs::PermissionsExt as _;
        let file = std::env::temp_dir().join(format!("takumi-test-access-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let path = CString::new(file.to_str().unwrap()).unwrap();
        let open = |mode, owner, group, user| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&file, Some(owner), Some(group)).unwrap();
            let groups = vec![GroupId(44), GroupId(1000)];
            let user = Credentials { user: UserId(user), group: GroupId(1000), groups };
            open_each(&[(&path, true)], Some(&user), Duration::from_secs(20))[0]
        };
        let answers = [
            open(0o600, 0, 44, 1000),
            open(0o660, 0, 45, 1000),
            open(0o660, 0, 44, 1000),
            open(0o666, 0, 0, 1000),
            // Root by choice has no capability either.
            open(0o600, 7, 7, 0),
            open(0o600, 0, 7, 0),
        ];
        std::fs::remove_file(&file).unwrap();
        let no = OpenOutcome::Failed(Errno(libc::EACCES));
        assert_eq!(answers, [no, no, OpenOutcome::Opened, OpenOutcome::Opened, no, OpenOutcome::Opened]);
    }
}
