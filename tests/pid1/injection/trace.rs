//! What strace's log says: which calls stand between the start of a program and COMMAND's, and which were injected.

use std::collections::HashMap;

/// Who makes a call: the program that was started, or a process that it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Starter,
    Child,
}

/// One place to inject: the `index`-th call of its name in the process, counted as strace's `when=` counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    pub role: Role,
    pub call: String,
    pub number: i64,
    pub index: u32,
    /// In libc's own start, where any code that is not zero will do.
    pub before_main: bool,
}

/// One line of the log that is a system call.
struct Line<'a> {
    process: &'a str,
    number: i64,
    call: &'a str,
    rest: &'a str,
}

fn calls(log: &str) -> impl Iterator<Item = Line<'_>> {
    log.lines().filter_map(|line| {
        let (process, rest) = line.split_once(' ')?;
        let rest = rest.trim_start();
        // With -n: `[ 59] execve(`.
        let (number, rest) = match rest.strip_prefix('[') {
            Some(numbered) => {
                let (number, rest) = numbered.split_once(']')?;
                (number.trim().parse().ok()?, rest.trim_start())
            }
            None => (-1, rest),
        };
        let (call, rest) = rest.split_once('(')?;
        call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(Line {
            process,
            number,
            call,
            rest,
        })
    })
}

fn starts(line: &Line<'_>, program: &str) -> bool {
    line.call == "execve" && line.rest.starts_with(&format!("\"{program}\""))
}

fn starts_command(line: &Line<'_>, probe: &str) -> bool {
    starts(line, probe) && line.rest.contains("\"report\"") && !line.rest.contains("\"launch\"")
}

/// Every call after the start of `program` and before COMMAND's, which is `probe`'s.
pub fn points(log: &str, program: &str, probe: &str) -> Vec<Point> {
    let mut counts: HashMap<(String, String), u32> = HashMap::new();
    let mut starter = None;
    let mut in_main = false;
    let mut points = Vec::new();
    for line in calls(log) {
        let count = counts.entry((line.process.to_owned(), line.call.to_owned())).or_default();
        *count += 1;
        if starter.is_none() {
            starter = starts(&line, program).then(|| line.process.to_owned());
            continue;
        }
        let role = if starter.as_deref() == Some(line.process) { Role::Starter } else { Role::Child };
        in_main |= line.call == "rt_sigprocmask";
        points.push(Point {
            role,
            call: line.call.to_owned(),
            number: line.number,
            index: *count,
            before_main: !in_main,
        });
        if starts_command(&line, probe) {
            break;
        }
    }
    points.sort();
    points.dedup();
    points
}

/// Whether the log shows an injection where it was meant: in that process, after `program` was started.
pub fn hit(log: &str, role: Role, program: &str, probe: &str) -> bool {
    let mut starter = None;
    for line in calls(log) {
        if starter.is_none() {
            starter = starts(&line, program).then_some(line.process);
        } else if line.rest.contains("(INJECTED)") && (starter == Some(line.process)) == (role == Role::Starter) {
            return true;
        } else if starts_command(&line, probe) && command_ran(log, probe) {
            return false;
        }
    }
    false
}

/// Whether COMMAND's exec succeeded.
pub fn command_ran(log: &str, probe: &str) -> bool {
    calls(log).any(|line| {
        starts_command(&line, probe)
            && !line.rest.contains("INJECTED")
            && (line.rest.ends_with("= 0") || line.rest.contains("<detached") || line.rest.contains("<unfinished"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
        7 [ 59] execve(\"/x/init\", [\"/x/init\"], 0x7ffd /* 3 vars */) = 0\n\
        7 [ 12] brk(NULL) = 0x5555\n\
        7 [ 14] rt_sigprocmask(SIG_BLOCK, [], NULL, 8) = 0\n\
        7 [ 12] brk(NULL) = 0x5555\n\
        8 [ 14] rt_sigprocmask(SIG_SETMASK, [], NULL, 8) = -1 EPERM (Operation not permitted) (INJECTED)\n\
        7 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
        8 [ 59] execve(\"/x/probe\", [\"/x/probe\", \"report\", \"f\"], 0x7ffd /* 3 vars */ <detached ...>\n\
        7 [ 61] wait4(-1, NULL, 0, NULL) = 8\n";

    #[test]
    fn points_are_the_calls_between_the_two_starts_counted_per_process() {
        let found: Vec<_> = points(LOG, "/x/init", "/x/probe")
            .into_iter()
            .map(|point| (point.role, point.call, point.index, point.before_main))
            .collect();
        let point = |role, call: &str, index, before| (role, call.to_owned(), index, before);
        assert_eq!(
            found,
            [
                point(Role::Starter, "brk", 1, true),
                point(Role::Starter, "brk", 2, false),
                point(Role::Starter, "rt_sigprocmask", 1, false),
                point(Role::Child, "execve", 1, false),
                point(Role::Child, "rt_sigprocmask", 1, false),
            ]
        );
    }

    #[test]
    fn a_hit_belongs_to_the_process_that_the_log_shows() {
        assert!(hit(LOG, Role::Child, "/x/init", "/x/probe"));
        assert!(!hit(LOG, Role::Starter, "/x/init", "/x/probe"));
        assert!(command_ran(LOG, "/x/probe"));
        assert!(!command_ran(&LOG.replace("<detached ...>", "= -1 ENOENT"), "/x/probe"));
    }
}
