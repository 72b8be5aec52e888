//! Descriptors: the three that every program has, those that were inherited, and small files of /proc and /etc.

use super::descriptor::{self, borrowed};
use super::entries::{self, DirectoryEntry};
use super::errno::cerr;
use super::{Errno, UserId};
use nix::fcntl::{self, FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{self, AccessFlags};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub use super::descriptor::FIRST_NON_STDIO;

/// Puts a descriptor that is closed on exec into each of 0, 1 and 2 that is closed, so that nothing which is opened
/// later lands there and is written to as if it were stderr; COMMAND still finds them closed.
///
/// Errors: the kernel's, where neither /dev/null nor / can be opened.
pub fn reopen_closed_stdio() -> Result<(), Errno> {
    for number in 0..FIRST_NON_STDIO {
        if fcntl::fcntl(borrowed(number), FcntlArg::F_GETFD).is_ok() {
            continue;
        }
        let opened = open_raw(c"/dev/null", OFlag::O_RDWR).or_else(|_| open_raw(c"/", OFlag::O_PATH))?;
        let _ = opened.into_raw_fd();
    }
    Ok(())
}

fn open_raw(path: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    Ok(fcntl::open(path, flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty())?)
}

/// Opens `path` for reading, closed on exec. An answer of 0, 1 or 2 cannot be true ([`reopen_closed_stdio`]) and is
/// EBADF.
pub fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    open_with(path, OFlag::O_RDONLY)
}

/// Opens a file for reading whose place others may have had a hand in: a link as its last name is refused (`ELOOP`), a
/// FIFO is not waited for.
pub fn open_nofollow(path: &CStr) -> Result<OwnedFd, Errno> {
    open_with(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK)
}

/// Holds on to what `path` leads to without opening it (`O_PATH`): no driver, FIFO or socket notices.
pub fn open_path(path: &CStr) -> Result<OwnedFd, Errno> {
    open_with(path, OFlag::O_PATH)
}

/// Opens a directory for listing; a link is refused.
pub fn open_directory(path: &CStr) -> Result<OwnedFd, Errno> {
    open_with(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW)
}

/// Whether it opens for writing now.
pub fn may_open_for_writing(path: &CStr) -> bool {
    open_with(path, OFlag::O_WRONLY | OFlag::O_NONBLOCK).is_ok()
}

/// Opens a terminal for reading and writing.
pub fn open_terminal(path: &CStr) -> Result<OwnedFd, Errno> {
    open_with(path, OFlag::O_RDWR | OFlag::O_NONBLOCK)
}

pub(super) fn open_with(path: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    open_raw(path, flags).and_then(descriptor::reject_stdio)
}

/// A pipe that is closed on exec: where to read, where to write.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    // std's: an answer that wrote nothing is 0 there, and nix's whatever lay on the stack.
    let (reader, writer) = std::io::pipe()?;
    let ends = (descriptor::reject_stdio(reader.into()), descriptor::reject_stdio(writer.into()));
    Ok((ends.0?, ends.1?))
}

/// What of `events` there is within that time, or what is wrong with the descriptor; nothing where the time is over.
pub(super) fn poll(descriptor: BorrowedFd<'_>, events: PollFlags, time: Duration) -> Result<PollFlags, Errno> {
    let mut asked = [PollFd::new(descriptor, events)];
    // Rounded up: a rest below a millisecond is not to be spent in a busy loop.
    let time = PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
    nix::poll::poll(&mut asked, time)?;
    Ok(asked[0].revents().unwrap_or(events))
}

/// Reads what is there, at most `buffer`'s length; 0 is the end. A signal in between is tried again, a few times.
pub fn read(descriptor: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    for _ in 0..8 {
        match unistd::read(descriptor, buffer) {
            Err(nix::errno::Errno::EINTR) => continue,
            answer => return Ok(answer?.min(buffer.len())),
        }
    }
    Err(Errno(libc::EINTR))
}

/// The beginning of a small file, read into the caller's buffer without allocation: as much as fits.
pub fn read_into<'buffer>(path: &CStr, buffer: &'buffer mut [u8]) -> Result<&'buffer [u8], Errno> {
    let file = open(path)?;
    let mut filled = 0;
    while filled < buffer.len() {
        match read(&file, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(&buffer[..filled])
}

/// A whole file, at most `limit` bytes of it (EFBIG where it is longer; EIO where it ends before the size that it
/// shows).
pub fn read_whole(path: &CStr, limit: usize) -> Result<Vec<u8>, Errno> {
    read_rest(&open(path)?, limit)
}

/// [`read_whole`] of an opened file.
pub fn read_rest(file: &OwnedFd, limit: usize) -> Result<Vec<u8>, Errno> {
    let size = status(file.as_raw_fd())?.st_size.unsigned_abs() as usize;
    let mut content = vec![0; 4096];
    let mut filled = 0;
    loop {
        match read(file, &mut content[filled..])? {
            0 => break,
            count => filled += count,
        }
        if filled > limit {
            return Err(Errno(libc::EFBIG));
        }
        if filled == content.len() {
            content.resize(filled * 2, 0);
        }
    }
    content.truncate(filled);
    // Files of /proc show 0 and hold more.
    if filled < size { Err(Errno(libc::EIO)) } else { Ok(content) }
}

/// Writes to stderr in one call. A stderr that takes nothing for that long (a full pipe that nobody reads, a terminal
/// that was halted) loses the line instead of stopping PID 1, and the answer is EAGAIN.
pub fn write_stderr(line: &[u8], timeout: Duration) -> Result<(), Errno> {
    if poll(borrowed(2), PollFlags::POLLOUT, timeout)?.is_empty() {
        return Err(Errno(libc::EAGAIN));
    }
    // Between that answer and the write COMMAND may have filled the pipe: RWF_NOWAIT says EAGAIN then, where the kernel
    // has it for what stderr is (pipes since 6.3).
    let part = libc::iovec { iov_base: line.as_ptr().cast_mut().cast(), iov_len: line.len() };
    // SAFETY: the kernel reads `line`'s length from it. Offset -1 is "where it is", split in two words as the call
    // wants it.
    let answer = unsafe { libc::syscall(libc::SYS_pwritev2, 2, &part, 1, -1_i64, -1_i64, libc::RWF_NOWAIT) };
    match cerr(answer) {
        Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::EPERM)) => {
            unistd::write(borrowed(2), line)?;
            Ok(())
        }
        answer => answer.map(drop),
    }
}

/// Writes all of `text` to stdout; for `--help` and `--version`.
pub fn write_stdout(text: &[u8]) -> Result<(), Errno> {
    write_all(borrowed(1), text)
}

/// Writes all of `bytes` to an open file.
pub fn write_whole(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    write_all(file.as_fd(), bytes)
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match unistd::write(file, bytes)? {
            0 => return Err(Errno(libc::EIO)),
            count => bytes = &bytes[count.min(bytes.len())..],
        }
    }
    Ok(())
}

/// Sets the permission bits of an open file.
pub fn set_mode(file: &OwnedFd, mode: u32) -> Result<(), Errno> {
    Ok(fchmod(file, Mode::from_bits_retain(mode))?)
}

/// Closes every descriptor from `first` to `last`, both included.
pub fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: takes numbers only. No owner of a descriptor in that range may be alive: the callers are the first lines
    // of a start (nothing is open yet) and the supervisor after the spawn (nothing is open any more).
    match cerr(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }) {
        Ok(_) => Ok(()),
        Err(Errno(libc::ENOSYS)) => close_each(first, last),
        Err(errno) => Err(errno),
    }
}

/// For kernels before 5.9 and for filters: asks poll(2) which numbers are open, 1024 at a time, up to the limit of open
/// files.
fn close_each(first: u32, last: u32) -> Result<(), Errno> {
    let end = open_files_limit()?.min(u64::from(last).saturating_add(1));
    let mut number = u64::from(first);
    while number < end {
        let stop = (number + 1024).min(end);
        for open in open_descriptors_within(number as RawFd, stop as RawFd)? {
            // As in `close_range`.
            let _ = unistd::close(open);
        }
        number = stop;
    }
    Ok(())
}

fn open_files_limit() -> Result<u64, Errno> {
    // A limit that was lowered after descriptors were opened does not close them; the hard limit and 65536 cover what
    // is usual.
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.1.clamp(1024, 65_536))
}

/// Which of the numbers `first..end` (at most 1024) are open.
pub fn open_descriptors_within(first: RawFd, end: RawFd) -> Result<Vec<RawFd>, Errno> {
    let mut asked: Vec<libc::pollfd> =
        (first..end).map(|fd| libc::pollfd { fd, events: 0, revents: libc::POLLNVAL }).collect();
    // SAFETY: the array has that many entries.
    cerr(unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, 0) })?;
    Ok(asked.iter().filter(|entry| entry.revents & libc::POLLNVAL == 0).map(|entry| entry.fd).collect())
}

/// How many descriptors are open, as /proc/self/fd's size tells since Linux 6.2: a third of what listing them costs.
pub fn count_open_descriptors() -> Result<usize, Errno> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes one stat; a stat of zeroes is a valid value all the same.
    unsafe {
        cerr(libc::stat(c"/proc/self/fd".as_ptr(), status.as_mut_ptr()))?;
        Ok(status.assume_init().st_size.unsigned_abs() as usize)
    }
}

/// The descriptors from 3 on that /proc/self/fd shows, without the one that reads it.
pub fn list_open_descriptors() -> Result<Vec<RawFd>, Errno> {
    let mut found = Vec::new();
    let reader = for_each_name(c"/proc/self/fd", |name| {
        if let Some(number) = std::str::from_utf8(name).ok().and_then(|name| name.parse::<RawFd>().ok()) {
            found.push(number);
        }
    })?;
    // The reader itself is among what it reads: where it is not, or 0 to 2 are missing, the answer was not the
    // kernel's.
    if (0..FIRST_NON_STDIO).chain([reader]).any(|number| !found.contains(&number)) {
        return Err(Errno(libc::EIO));
    }
    found.retain(|&number| number >= FIRST_NON_STDIO && number != reader);
    Ok(found)
}

/// Calls `each` with the name of every entry of a directory, without allocation. Returns the number that the
/// directory's descriptor had meanwhile.
pub fn for_each_name(directory: &CStr, mut each: impl FnMut(&[u8])) -> Result<RawFd, Errno> {
    for_each_entry(directory, |name, _| each(name))
}

/// [`for_each_name`] with the kind of each entry (`DT_DIR`, `DT_SOCK` …; `DT_UNKNOWN` where the filesystem does not
/// say).
pub fn for_each_entry(directory: &CStr, each: impl FnMut(&[u8], u8)) -> Result<RawFd, Errno> {
    let directory = open_with(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    for_each_entry_of(directory.as_fd(), each)?;
    Ok(directory.as_raw_fd())
}

/// [`for_each_entry`] of an opened directory.
pub fn for_each_entry_of(directory: BorrowedFd<'_>, mut each: impl FnMut(&[u8], u8)) -> Result<(), Errno> {
    while_entries_of(directory, |name, kind| {
        each(name, kind);
        true
    })
}

/// [`for_each_entry_of`] until `each` says `false`: it has had enough.
pub fn while_entries_of(directory: BorrowedFd<'_>, mut each: impl FnMut(&[u8], u8) -> bool) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    loop {
        let mut filled = 0..entries::read(directory, &mut buffer)?;
        if filled.is_empty() {
            return Ok(());
        }
        while !filled.is_empty() {
            let entry = DirectoryEntry::parse(&buffer[filled.clone()]).ok_or(Errno(libc::EPROTO))?;
            if !each(entry.name.to_bytes(), entry.kind) {
                return Ok(());
            }
            filled.start += entry.length;
        }
    }
}

/// Majors of /dev/pts (Documentation/admin-guide/devices.txt).
const PSEUDO_TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// What a standard descriptor is, as far as a change of user matters to it.
pub struct StdioOwner {
    /// A pipe or a pseudo-terminal.
    pub transferable: bool,
    pub owner: UserId,
}

/// Looks at descriptor `number` (0 to 2).
pub fn stdio_owner(number: RawFd) -> Result<StdioOwner, Errno> {
    let status = status(number)?;
    let kind = status.st_mode & libc::S_IFMT;
    // By its number too, not by an ioctl's answer alone: /dev/null is the host's.
    let terminal = kind == libc::S_IFCHR && PSEUDO_TERMINALS.contains(&libc::major(status.st_rdev));
    let terminal = terminal && super::terminal::is_terminal(number);
    Ok(StdioOwner { transferable: kind == libc::S_IFIFO || terminal, owner: UserId(status.st_uid) })
}

pub(super) fn status(descriptor: RawFd) -> Result<libc::stat, Errno> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes one stat; a stat of zeroes is a valid value all the same.
    unsafe {
        cerr(libc::fstat(descriptor, status.as_mut_ptr()))?;
        Ok(status.assume_init())
    }
}

/// Gives an open descriptor to another user; its group stays.
pub fn chown_fd(number: RawFd, owner: UserId) -> Result<(), Errno> {
    Ok(unistd::fchown(borrowed(number), Some(owner.into()), None)?)
}

/// Whether `path` exists, whatever it is.
pub fn exists(path: &CStr) -> bool {
    unistd::access(path, AccessFlags::F_OK).is_ok()
}
