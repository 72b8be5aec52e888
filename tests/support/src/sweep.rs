//! Removes what tests left that are over: everything of this project's tests has the pid of its test, or of its run, in the name,
//! `takumi-test-KIND-PID-…`. A test removes what it made; this is for those that were killed.

use crate::engine::engine;
use std::path::Path;
use std::process::{Command, Stdio};

/// Removes all that belongs to processes of whom `is_over` says so.
pub fn sweep(is_over: impl Fn(u32) -> bool) {
    let over = |name: &str| owner(name).is_some_and(&is_over);
    for (kind, form, remove) in [
        ("container", "{{.Names}}", &["rm", "--force", "--volumes"][..]),
        ("network", "{{.Name}}", &["network", "rm"]),
        ("volume", "{{.Name}}", &["volume", "rm", "--force"]),
        ("image", "{{.Repository}}", &["image", "rm", "--force"]),
    ] {
        let all: &[&str] = if kind == "container" { &["--all"] } else { &[] };
        let Ok(listed) = engine(&[&[kind, "ls", "--format", form], all].concat()).stderr(Stdio::null()).output() else {
            continue;
        };
        for name in String::from_utf8_lossy(&listed.stdout).lines().filter(|name| over(name)) {
            run_and_report(kind, name, &mut engine(&[remove, &[name]].concat()));
        }
    }
    for space in names("/run/netns").iter().filter(|name| over(name)) {
        run_and_report("network namespace", space, Command::new("ip").args(["netns", "del", space]));
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    for user in passwd.lines().filter_map(|line| line.split(':').next()).filter(|name| over(name)) {
        let _ = Command::new("pkill").args(["-KILL", "-u", user]).status();
        run_and_report("user", user, Command::new("userdel").args(["-f", user]));
    }
    let temporary = std::env::temp_dir();
    for name in names(&temporary).iter().filter(|name| over(name)) {
        let path = temporary.join(name);
        unmount_below(&path);
        let _ = Command::new("chattr").args(["-R", "-f", "-i", "-a"]).arg(&path).output();
        let _ = Command::new("rm").arg("-rf").arg(&path).status();
    }
}

/// Whether nobody has this pid any more.
pub fn is_gone(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

/// The pid in a name.
fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("takumi-test-")?;
    rest.split('-').find_map(|word| word.parse().ok())
}

fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The innermost first.
fn unmount_below(path: &Path) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let points: Vec<&Path> = points.filter(|point| point.starts_with(path)).collect();
    for point in points.iter().rev() {
        let _ = Command::new("umount").arg("-l").arg(point).status();
    }
}

fn run_and_report(kind: &str, name: &str, remove: &mut Command) {
    let done = remove.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success());
    let word = if done { "removed" } else { "could not remove" };
    eprintln!("{word} the {kind} {name} of a test that is over");
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn the_pid_of_a_name_is_its_first_number() {
        assert_eq!(owner("takumi-test-container-12-3"), Some(12));
        assert_eq!(owner("takumi-test-image-of-nodes-12-0a"), Some(12));
        assert_eq!(owner("takumi-test-stack-7-1_comfyui_1"), Some(7));
        assert_eq!(owner("takumi-test-of-nobody"), None);
        assert_eq!(owner("takumi-comfyui-12-3"), None);
    }
}
