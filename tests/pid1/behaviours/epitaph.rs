//! Why COMMAND died: one line, by its substance.

use super::prepared::Prepared;
use super::recorder::{RECORDER, Record, recording, with_recorder};
use super::signals::ready;
use super::support::{Program, ProgramEnd, Scratch, Start, check_init, eventually};
use std::path::PathBuf;
use std::process::Command;
use takumi_test::folder::fresh_name;
use takumi_test::require;
use takumi_test::requirement::memory_groups;

#[test]
fn a_fault_is_named() {
    check_init(|program| {
        for (way, code, words) in [
            ("segv", 139, ["SIGSEGV", "11"]),
            ("abort", 134, ["SIGABRT", "6"]),
            ("ill", 132, ["SIGILL", "4"]),
            ("fpe", 136, ["SIGFPE", "8"]),
            ("bus", 135, ["SIGBUS", "7"]),
        ] {
            let ended = dies(program, way).run();
            ended.expect(code);
            let line = the_line(&ended);
            words.iter().for_each(|word| assert!(line.contains(word), "{way}: {line}"));
            assert!(!line.contains("/dev/shm") && !line.contains("out of memory"), "{way}: {line}");
        }
    });
}

#[test]
fn a_bus_error_in_a_full_dev_shm_says_so() {
    check_init(|program| {
        let small = SmallFilesystem::mount();
        let ended = dies(program, "fill-shm").bind(&small.path, "/dev/shm").run();
        ended.expect(135);
        let line = the_line(&ended);
        ["SIGBUS", "/dev/shm", "shm"].iter().for_each(|word| assert!(line.contains(word), "{line}"));
    });
}

#[test]
fn out_of_memory_is_told_with_the_limit() {
    require!(memory_groups);
    let group = MemoryGroup::make();
    check_init(|program| {
        // An engine's container sees its own group at the top, a process of the host sees it below.
        let top = group.path.parent().unwrap().display();
        for view in [String::new(), format!("mount --bind $group {top}")] {
            let script = format!("group={}; echo $$ > $group/cgroup.procs; {view}\nexec \"$@\"", group.path.display());
            let mut running = below(program, &script, "PROBE die eat-memory");
            assert_eq!(running.exit(), 137, "{}", running.errors());
            let line = one_line(&running.errors());
            let words = ["SIGKILL", "out of memory"];
            words.iter().for_each(|word| assert!(line.to_lowercase().contains(&word.to_lowercase()), "{view}: {line}"));
            // 64 MiB, however it is written.
            assert!(["64", "67108864", "65536"].iter().any(|limit| line.contains(limit)), "{view}: {line}");
        }
        // The control: in the same group, killed by somebody.
        let script = format!("echo $$ > {}/cgroup.procs\nexec \"$@\"", group.path.display());
        let mut running = below(program, &script, "PROBE record --to RECORD");
        running.record().await_said("child", "ready");
        running.child().signal(libc::SIGKILL);
        assert_eq!(running.exit(), 137);
        assert!(!says_out_of_memory(&running.errors()), "{}", running.errors());
    });
}

/// The files of cgroup 2 as plain files, counted up by hand: this proves how they are read, not that the kernel writes them so.
#[test]
fn out_of_memory_by_the_files_of_cgroup_2() {
    check_init(|program| {
        for (kills, told) in [(1, true), (0, false)] {
            let events = "/sys/fs/cgroup/memory.events";
            let script = format!(
                "mount -t tmpfs none /sys/fs/cgroup; printf 'oom 0\\noom_kill 0\\n' > {events}
                 echo 134217728 > /sys/fs/cgroup/memory.max\nexec \"$@\""
            );
            let mut running = below(program, &script, "PROBE record --to RECORD");
            running.record().await_said("child", "ready");
            let inside = format!("/proc/{}/root{events}", running.program().0);
            // The counters of COMMAND's beginning are read once it has had its start; the time of reading tells (relatime).
            eventually("init has read the counters", || {
                let read = std::fs::metadata(&inside).ok()?;
                (read.accessed().ok()? > read.modified().ok()?).then_some(())
            });
            std::fs::write(inside, format!("oom {kills}\noom_kill {kills}\n")).unwrap();
            running.child().signal(libc::SIGKILL);
            assert_eq!(running.exit(), 137);
            let line = one_line(&running.errors());
            assert_eq!(says_out_of_memory(&line), told, "{line}");
            assert_eq!(line.contains("128 MiB"), told, "{line}");
        }
    });
}

#[test]
fn a_kill_by_somebody_is_a_warning() {
    check_init(|program| {
        let running = ready(recording(program, ""));
        running.child().signal(libc::SIGKILL);
        let ended = running.wait();
        ended.expect(137);
        let line = the_line(&ended);
        assert!(line.contains("SIGKILL") && line.contains('9'), "{line}");
    });
}

#[test]
fn a_sender_outside_is_called_so() {
    check_init(|program| {
        for sent in ["USR1", "ALRM"] {
            let start = Start::new(program).probe("ready pause").setting("TAKUMI_SIGNALS", "ALRM=USR1");
            let running = start.spawn().ready();
            running.signal(sent);
            let ended = running.wait();
            ended.expect(138);
            let line = the_line(&ended);
            ["SIGUSR1", "10", "outside"].iter().for_each(|word| assert!(line.contains(word), "{sent}: {line}"));
        }
    });
}

#[test]
fn a_sender_inside_is_named() {
    check_init(|program| {
        // The sender lives on, so that its name can be looked up.
        let ended = Start::new(program).probe("fork { pid kill:USR1:1 pause } pause").run();
        ended.expect(138);
        let line = the_line(&ended);
        let pid = ended.stdout.trim().trim_start_matches("pid ");
        ["SIGUSR1", "probe", "1000", pid].iter().for_each(|word| assert!(line.contains(word), "{word}: {line}"));
        assert!(!line.contains("outside"), "{line}");
    });
}

#[test]
fn a_stop_that_was_asked_for_is_no_warning() {
    check_init(|program| {
        for (level, lines) in [("warn", 0), ("info", 1)] {
            let running = Start::new(program).probe("ready pause").env("TAKUMI_LOG", level).spawn().ready();
            running.signal("TERM");
            let ended = running.wait();
            ended.expect(143);
            let told = ended.stderr.lines().filter(|line| line.contains("SIGTERM") && line.contains("15")).count();
            assert_eq!(told, lines, "{level}: {}", ended.stderr);
        }
    });
}

#[test]
fn a_ladder_that_had_to_kill_is_no_warning() {
    check_init(|program| {
        let running = ready(recording(program, "").setting("TAKUMI_STOP", "TERM:100ms"));
        running.signal("TERM");
        let ended = running.wait();
        ended.expect(137);
        assert!(!says_out_of_memory(&ended.stderr), "{}", ended.stderr);
    });
}

#[test]
fn an_exit_needs_no_words() {
    check_init(|program| {
        for code in [0, 1, 137] {
            let ended = Start::new(program).probe(&format!("exit:{code}")).run();
            ended.expect(code);
            assert_eq!(ended.stderr, "", "{code}");
        }
    });
}

#[test]
fn in_json_it_is_one_object() {
    check_init(|program| {
        let ended = dies(program, "segv").setting("TAKUMI_LOG_FORMAT", "json").run();
        let line: serde_json::Value = serde_json::from_str(&the_line(&ended)).expect("one object");
        assert!(line.is_object() && line.to_string().contains("SIGSEGV"), "{line}");
    });
}

#[test]
fn a_death_while_stopped_is_told() {
    check_init(|program| {
        let running = ready(recording(program, ""));
        running.child().signal(libc::SIGSTOP);
        eventually("a stop", || (running.child().state() == Some('T')).then_some(()));
        running.child().signal(libc::SIGKILL);
        assert!(the_line(&running.wait()).contains("SIGKILL"));
    });
}

fn dies(program: Program, way: &str) -> Start {
    with_recorder(program).command([RECORDER, "die", way])
}

/// As PID 1 with mounts of its own, after what `script` arranges; it ends in `exec "$@"`.
fn below(program: Program, script: &str, command: &str) -> Prepared {
    let scratch = Scratch::new();
    let file = scratch.file("arrange", 0o755, format!("set -e; {script}\n"));
    let wrapper = format!("unshare --pid --fork --mount --mount-proc --kill-child sh {file}");
    let running = Prepared::start_command(program, &wrapper, &[], command);
    // The shell needs its file until the program runs, or is gone again already.
    eventually("the program", || {
        let name = running.first().children().first().map(|program| program.name());
        let begun = name.as_ref().is_some_and(|name| !["unshare", "sh", ""].contains(&name.as_str()));
        (begun || running.first().state() == Some('Z')).then_some(())
    });
    running
}

fn the_line(ended: &ProgramEnd) -> String {
    one_line(&ended.stderr)
}

fn one_line(errors: &str) -> String {
    assert_eq!(errors.lines().count(), 1, "{errors:?}");
    errors.trim().to_owned()
}

fn says_out_of_memory(errors: &str) -> bool {
    errors.to_lowercase().contains("out of memory")
}

/// A memory cgroup of 64 MiB.
struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    fn make() -> Self {
        let group = MemoryGroup { path: memory_groups().unwrap().join(fresh_name("memory")) };
        std::fs::create_dir(&group.path).unwrap();
        // Of the versions 1 and 2 of control groups; with swap to go to nothing runs out.
        let limits = [("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"), ("memory.swap.max", "0")];
        for (file, limit) in limits.map(|(file, limit)| (group.path.join(file), limit)) {
            if file.exists() {
                std::fs::write(file, limit).unwrap();
            }
        }
        group
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let removed = || std::fs::remove_dir(&self.path).ok();
        if std::thread::panicking() {
            let _ = removed();
        } else {
            // Busy for a moment after its last process is gone.
            eventually("the group's end", removed);
        }
    }
}

/// Where four MiB are all there is.
struct SmallFilesystem {
    path: String,
    _scratch: Scratch,
}

impl SmallFilesystem {
    fn mount() -> Self {
        let scratch = Scratch::new();
        let path = scratch.path("");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m,mode=1777", "tmpfs", &path]).status();
        assert!(mounted.unwrap().success());
        SmallFilesystem { path, _scratch: scratch }
    }
}

impl Drop for SmallFilesystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", &self.path]).status();
    }
}
