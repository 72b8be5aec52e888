//! What becomes of a scanner that fails, with small programs in its place.

use super::*;
use crate::nodes::tree::{File, FileKind};
use crate::sys::{UserId, credentials, forked_task, io};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use takumi_test::poll::eventually;
use takumi_test::require;

/// A directory of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("takumi-test-scan-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(path: impl AsRef<Path>) -> CString {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap()
}

/// A scanner that is a shell's lines; its arguments are `$@`, the files from the twelfth on.
fn shell(lines: &str) -> Scanner {
    let arguments = ["/bin/sh", "-c", lines, "scanner"].map(|word| CString::new(word).unwrap());
    Scanner { program: c"/bin/sh".to_owned(), arguments: arguments.to_vec() }
}

/// The lines of one that finds nothing in any of its files, but for the receipt of our rules.
const CLEAN: &str = r#"
    shift 11
    printf '{"errors": [], "metrics": {"_totals": {}'
    for file do
        printf ', "./%s": {"SEVERITY.UNDEFINED": 1, "SEVERITY.LOW": 0, "SEVERITY.MEDIUM": 0, "SEVERITY.HIGH": 0}' "$file"
    done
    comma='}, "results": ['
    for file do
        printf '%s{"filename": "./%s", "line_number": 1, "test_id": "T100", "issue_severity": "UNDEFINED", "issue_text": "takumi 1"}' \
            "$comma" "$file"
        comma=,
    done
    echo ']}'
    exit 1
"#;

fn plain(path: &str, size: u64) -> File {
    let kind = FileKind::Plain { executable: false, magic: [0; 8] };
    File { path: path.as_bytes().to_vec(), kind, size, digest: [0; 32] }
}

fn node(folder: &Folder, files: Vec<File>) -> Tree {
    let root = io::open_directory(&text(&folder.0)).unwrap();
    Tree { name: c"node".to_owned(), root, files, digest: None, faults: Vec::new() }
}

const SLOWEST: Duration = Duration::from_secs(60);

fn run(scanner: &Scanner, files: Vec<File>, slowest: Duration) -> ScanOutcome {
    let folder = Folder::new();
    let tree = node(&folder, files);
    let files = (0..tree.files.len()).collect();
    scanner.run(&[ScanJob { tree: &tree, files }], slowest, &|| false).remove(0)
}

fn failure(lines: &str) -> String {
    run(&shell(lines), vec![plain("a.py", 1)], SLOWEST).unwrap_err()
}

const NOTHING: ScanOutcome = Ok((Vec::new(), Vec::new()));

#[test]
fn a_clean_answer_for_every_file_is_one() {
    assert_eq!(run(&shell(CLEAN), vec![plain("a.py", 1), plain("-x y/b.py", 1)], SLOWEST), NOTHING);
    assert_eq!(run(&shell("exit 9"), vec![], SLOWEST), NOTHING, "nothing to scan, nothing run");
}

#[test]
fn each_failure_has_its_words() {
    assert_eq!(failure("exit 0"), "the scanner ended with code 0 and no answer");
    assert_eq!(failure("echo hello"), "the scanner's answer cannot be trusted: it printed no JSON");
    assert!(
        failure("echo '{}'")
            .starts_with("the scanner's answer cannot be trusted: its JSON is not Bandit's format: missing field")
    );
    let lines = r#"printf 'one\nNo module\033 named x\n\n' >&2; exit 2"#;
    assert_eq!(failure(lines), "the scanner ended with code 2 and no answer: No module\\u{1b} named x");
    assert_eq!(failure("kill -SEGV $$"), "the scanner died of SIGSEGV");
    assert_eq!(failure("kill -KILL $$"), "the scanner died of SIGKILL (the container may be out of memory)");
    assert_eq!(failure("echo MemoryError >&2; exit 1"), "the scanner ran out of memory (2048 MiB)");
    assert_eq!(failure("exec cat /dev/zero"), "the scanner printed more than 67108864 bytes and was stopped");
    let missing = Scanner { program: c"/nowhere/bandit".to_owned(), arguments: vec![c"bandit".to_owned()] };
    let reason = run(&missing, vec![plain("a.py", 1)], SLOWEST).unwrap_err();
    assert_eq!(reason, "cannot start the scanner: No such file or directory");
}

#[test]
fn a_scanner_that_hangs_ends_with_all_its_children() {
    let folder = Folder::new();
    let pids = folder.0.join("pids");
    // It cannot write a file (RLIMIT_FSIZE), so that it tells by the names of empty ones.
    let lines = format!("sleep 300 & mkdir -p {0}; : >{0}/$$; : >{0}/$!; wait", pids.display());
    let reason = run(&shell(&lines), vec![plain("a.py", 1)], Duration::from_secs(2)).unwrap_err();
    assert_eq!(reason, "the scanner timed out after 2 s");
    let pids: Vec<String> =
        std::fs::read_dir(&pids).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        let alive = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        eventually(&format!("the end of {pid}"), || (!alive()).then_some(()));
    }
}

#[test]
fn one_that_closes_its_output_and_goes_on_is_late_too() {
    let reason = run(&shell("exec >&- 2>&-; sleep 300"), vec![plain("a.py", 1)], Duration::from_secs(1)).unwrap_err();
    assert_eq!(reason, "the scanner timed out after 1 s");
}

#[test]
fn it_runs_in_the_node_with_an_environment_of_its_own() {
    let folder = Folder::new();
    folder.write("marker.py", "", 0o644);
    let tree = node(&folder, vec![plain("marker.py", 0)]);
    let told = |lines: &str| {
        let outcome = shell(&format!("echo $({lines}) >&2; exit 7")).run(
            &[ScanJob { tree: &tree, files: vec![0] }],
            SLOWEST,
            &|| false,
        );
        let reason = outcome.into_iter().next().unwrap().unwrap_err();
        reason.strip_prefix("the scanner ended with code 7 and no answer: ").unwrap().to_owned()
    };
    assert_eq!(told("ls"), "marker.py");
    let environment =
        "HOME=/dev/null LANG=C.UTF-8 LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(told("tr '\\0' ' ' </proc/$$/environ"), environment);
    assert_eq!(told("grep SigBlk /proc/$$/status"), "SigBlk: 0000000000000000");
    assert_eq!(told("cut -d ' ' -f 5 /proc/$$/stat | grep -c \"^$$\\$\""), "1", "a group of its own");
    let files = told("readlink /proc/$$/fd/* | sed 's/:.*//'");
    assert!(files.starts_with("/dev/null pipe pipe") && !files.contains("marker"), "{files}");
    let options = told(r#"printf '%s ' "$@""#);
    assert_eq!(options, "-q -f json -n 1 --ignore-nosec --ini /dev/null -x // -- ./marker.py");
}

#[test]
fn its_limits_are_those_that_were_asked_for() {
    let lines =
        "echo $(ulimit -v) $(ulimit -f) $(ulimit -c) $(ulimit -n) $(ulimit -t) $(readlink /proc/self/fd/0) >&2; exit 7";
    assert_eq!(failure(lines), "the scanner ended with code 7 and no answer: 2097152 0 0 256 61 /dev/null");
}

#[test]
fn what_is_too_large_or_no_file_is_not_given_to_it() {
    let mut files = vec![plain("a.py", 1), plain("large.py", (4 << 20) + 1), plain("b.py", 4 << 20)];
    files.push(File { kind: FileKind::Link(b"/etc/shadow".to_vec()), ..plain("link.py", 11) });
    files.push(File { kind: FileKind::Other, ..plain("pipe.py", 0) });
    files.push(File { path: b"odd\xff.py".to_vec(), ..plain("", 1) });
    let (issues, unscanned) = run(&shell(CLEAN), files, SLOWEST).unwrap();
    assert_eq!(issues, []);
    let reasons = [
        "it has 4194305 bytes, over the scan limit of 4194304",
        "it is a link",
        "it is not a regular file",
        "its name is not UTF-8",
    ];
    let expected: Vec<(usize, String)> = [1, 3, 4, 5].into_iter().zip(reasons.map(str::to_owned)).collect();
    assert_eq!(unscanned, expected);
    let files = (0..9).map(|number| plain(&format!("{number}.py"), 4 << 20)).collect();
    let reason = run(&shell(CLEAN), files, SLOWEST).unwrap_err();
    assert_eq!(reason, "it has 37748736 bytes of Python, over the scan limit of 33554432");
}

#[test]
fn many_files_are_given_to_several_processes() {
    let files: Vec<File> = (0..2500).map(|number| plain(&format!("{number:04}.py"), 100)).collect();
    let lines = format!(r#"if [ $# -gt 1011 ]; then echo "too many: $#" >&2; exit 3; fi{CLEAN}"#);
    assert_eq!(run(&shell(&lines), files, SLOWEST), NOTHING);
    let long = "d/".repeat(1000);
    let files = (0..900).map(|number| plain(&format!("{long}{number}.py"), 1)).collect();
    assert_eq!(run(&shell(CLEAN), files, SLOWEST), NOTHING);
}

#[test]
fn a_file_that_breaks_the_scanner_costs_itself_alone() {
    let lines = format!(r#"for word do case $word in ./37.py) echo broken >&2; exit 2;; esac; done{CLEAN}"#);
    let files = (0..100).map(|number| plain(&format!("{number}.py"), 1)).collect();
    let broken = (37, "the scanner ended with code 2 and no answer: broken".to_owned());
    assert_eq!(run(&shell(&lines), files, SLOWEST), Ok((vec![], vec![broken])));
}

#[test]
fn many_files_that_break_it_cost_a_limited_number_of_processes() {
    let folder = Folder::new();
    let tree = node(&folder, (0..512).map(|number| plain(&format!("{number}.py"), 1)).collect());
    let count = folder.0.join("count");
    std::fs::create_dir(&count).unwrap();
    let lines = format!(": >{}/$$; exit 2", count.display());
    let outcome =
        shell(&lines).run(&[ScanJob { tree: &tree, files: (0..512).collect() }], SLOWEST, &|| false).remove(0);
    assert_eq!(outcome, Err("the scanner ended with code 2 and no answer".to_owned()));
    assert_eq!(std::fs::read_dir(&count).unwrap().count(), 25);
}

#[test]
fn each_job_has_its_own_answer_in_its_place() {
    let folders: Vec<Folder> = (0..7).map(|_| Folder::new()).collect();
    let trees: Vec<Tree> = folders.iter().map(|folder| node(folder, vec![plain("a.py", 1)])).collect();
    folders[3].write("bad", "", 0o644);
    let jobs: Vec<ScanJob> = trees.iter().map(|tree| ScanJob { tree, files: vec![0] }).collect();
    let outcomes = shell(&format!("[ ! -e bad ] || exit 5{CLEAN}")).run(&jobs, SLOWEST, &|| false);
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), number == 3, "{number}: {outcome:?}");
    }
}

#[test]
fn a_command_that_cannot_be_one_is_refused() {
    let error = |command: &[u8]| Scanner::find_anywhere(command).unwrap_err();
    assert!(error(b"bandit -r").contains("expected one word"));
    assert!(error(b"").contains("expected one word"));
    assert!(error(b"./bandit").contains("must begin with /"));
    assert_eq!(
        error(b"no-such-scanner"),
        "the scanner no-such-scanner is not in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin: install Bandit in the image, or set TAKUMI_SCAN_COMMAND"
    );
    assert!(error(b"/no/such/scanner").starts_with("the scanner /no/such/scanner does not exist: install Bandit"));
    let folder = Folder::new();
    let error = |name: &str, content: &str, mode| error(text(folder.write(name, content, mode)).as_bytes());
    assert!(
        error("sh", "#!/bin/sh\nexec bandit\n", 0o755)
            .contains("neither a program nor a Python script (it begins with \"#!/bin/sh\")")
    );
    assert!(error("none", "bandit", 0o755).contains("neither a program nor a Python script"));
    assert!(error("perl", "#!/usr/bin/env perl\n", 0o755).contains("neither a program nor a Python script"));
    assert!(
        error("option", "#!/usr/bin/env -S python3 -I\n", 0o755).contains("the scanner -S is not in /usr/local/sbin")
    );
    assert!(error("closed", "#!/usr/bin/python3\n", 0o644).contains("cannot be executed and read"));
    assert!(error("relative", "#!python3\n", 0o755).contains("neither a program nor a Python script"));
    assert!(error("gone", "#!/nowhere/python3\n", 0o755).contains("cannot read /nowhere: No such file or directory"));
}

#[test]
fn a_python_script_runs_apart_and_a_program_as_it_is() {
    let folder = Folder::new();
    let words =
        |scanner: Scanner| scanner.arguments.iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    let program = Scanner::find_anywhere(b"/bin/sh").unwrap();
    assert_eq!(program.program.to_str().unwrap(), "/bin/sh");
    assert_eq!(words(program), ["/bin/sh"]);
    std::os::unix::fs::symlink("/bin/sh", folder.0.join("python3.11")).unwrap();
    let python = folder.0.join("python3.11").to_str().unwrap().to_owned();
    let script = folder.write("bandit", &format!("#!{python} -sP\nimport sys\n"), 0o755);
    let scanner = Scanner::find_anywhere(text(&script).as_bytes()).unwrap();
    assert_eq!(scanner.program.to_str().unwrap(), python, "by its own name: a virtual environment is found by it");
    assert_eq!(words(scanner), [python.as_str(), "-I", "-B", script.to_str().unwrap()]);
}

/// What a user without power is told: `require!(root)`.
fn failure_as_user(command: &Path) -> String {
    let command = text(command);
    let answer = forked_task::run(Duration::from_secs(60), 4096, |child| {
        let dropped = credentials::set_groups(&[])
            .and_then(|()| credentials::set_group_ids(crate::sys::GroupId(1000)))
            .and_then(|()| credentials::set_user_ids(UserId(1000)));
        let words = match (dropped, Scanner::find(command.to_bytes())) {
            (Err(errno), _) => format!("not dropped: {errno}"),
            (_, Ok(_)) => "found".to_owned(),
            (_, Err(words)) => words,
        };
        let _ = child.write_output(words.as_bytes());
    });
    String::from_utf8(answer.unwrap().bytes).unwrap()
}

#[test]
fn what_command_could_change_is_no_scanner() {
    require!(root);
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let folder = Folder::new();
    let home = folder.0.join("opt");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = folder.write("opt/bin/bandit", &format!("#!{}/bin/python3\n", home.display()), 0o755);
    symlink("/bin/sh", home.join("bin/python3")).unwrap();
    let library = folder.write("opt/lib/python3.11/site-packages/bandit/__init__.py", "", 0o644);
    folder.write("opt/pyvenv.cfg", "home = /usr/bin\n", 0o644);
    let told = || failure_as_user(&script);
    assert_eq!(told(), "found");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let refused = |place: &Path, how: &str| {
        let told = told();
        let expected = format!(
            "a scanned node could change its scanner: {} {how}; in the image: chown root:root",
            place.display()
        );
        assert!(told.starts_with(&expected), "{told}\nis not\n{expected}");
    };
    let packages = home.join("lib/python3.11/site-packages");
    for place in
        [home.clone(), home.join("bin"), script.clone(), packages.clone(), library.clone(), home.join("pyvenv.cfg")]
    {
        let before = std::fs::metadata(&place).unwrap().permissions().mode();
        mode(&place, before | 0o002);
        refused(&place, "can be written by COMMAND's user");
        mode(&place, before);
        chown(&place, Some(1000), None).unwrap();
        refused(&place, "belongs to COMMAND's user (1000)");
        chown(&place, Some(1001), None).unwrap();
        refused(&place, "belongs to user 1001, not to root");
        chown(&place, Some(0), None).unwrap();
        assert_eq!(told(), "found");
    }
    // A sticky directory on the way is as good as a closed one, unless Python looks for new names in it.
    mode(&folder.0, 0o1777);
    assert_eq!(told(), "found");
    for place in [home.clone(), home.join("bin"), home.join("lib"), packages.clone(), packages.join("bandit")] {
        mode(&place, 0o1777);
        refused(&place, "can be written by COMMAND's user");
        mode(&place, 0o755);
    }
    assert_eq!(told(), "found");
    // By a link: what it leads to counts, and the way there.
    let other = Folder::new();
    mode(&other.0, 0o777);
    let far = other.write("evil.pth", "import evil\n", 0o644);
    symlink(&far, packages.join("evil.pth")).unwrap();
    refused(&other.0, "can be written by COMMAND's user");
    std::fs::remove_file(packages.join("evil.pth")).unwrap();
    let by_link = other.0.join("bandit");
    symlink(&script, &by_link).unwrap();
    assert!(failure_as_user(&by_link).contains(&format!("{} can be written", other.0.display())));
    mode(&other.0, 0o755);
    assert_eq!(failure_as_user(&by_link), "found");
    symlink("loop", other.0.join("loop")).unwrap();
    assert!(failure_as_user(&other.0.join("loop")).contains("Too many levels of symbolic links"));
}
