//! `takumi-nodes` itself, and what `init` makes of one that is missing, mute or hostile.

use crate::node::TestNode;
use crate::world::NodeVolumes;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use takumi_test::container::Start;
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::poll::eventually;
use takumi_test::program::{Ended, init, installed, nodes, run};
use takumi_test::require;

/// `takumi-nodes scan` of a directory, as an ordinary user.
pub fn scan(node: &Path, scanner: &Path) -> Command {
    let mut command = Command::new(installed("setpriv"));
    command.args(["--reuid=65533", "--regid=65533", "--clear-groups", "--inh-caps=-all", "--"]).arg(nodes());
    command.arg("scan").arg(node).env("TAKUMI_SCAN_COMMAND", scanner);
    command
}

/// A scanner that anybody may run and nobody change.
fn scanner(lines: &str) -> Folder {
    let folder = Folder::new();
    let file = folder.join("scanner");
    std::fs::write(&file, format!("#!/usr/bin/python3\n{lines}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// Gives a receipt for every file that it is given, and finds nothing in it.
const CLEAN: &str = "import json, sys
counts = {f'SEVERITY.{rank}': 0 for rank in ('LOW', 'MEDIUM', 'HIGH')} | {'SEVERITY.UNDEFINED': 1}
files = sys.argv[sys.argv.index('--') + 1:]
receipt = {'line_number': 1, 'test_id': 'T100', 'issue_severity': 'UNDEFINED', 'issue_text': 'takumi 1'}
results = [receipt | {'filename': name} for name in files]
print(json.dumps({'results': results, 'errors': [], 'metrics': {name: counts for name in files + ['_totals']}}))
sys.exit(1)";

fn readable(node: &TestNode) -> &Path {
    std::fs::set_permissions(&node.0.0, PermissionsExt::from_mode(0o755)).unwrap();
    &node.0.0
}

#[test]
fn a_directory_that_is_not_installed_is_scanned_with_an_exit_code_that_says_what_came_of_it() {
    require!(root, setpriv, python3);
    let clean = scanner(CLEAN);
    let scan = |node: &TestNode| run(&mut scan(readable(node), &clean.join("scanner")));
    let none = scan(&TestNode::of(&[("a.py", "x = 1\n")]));
    assert!(none.code == 0 && none.stdout.contains(": nothing found\n"), "{none:?}");
    let some = scan(&TestNode::of(&[("requirements.txt", "x @ https://files.invalid/x.whl\n")]));
    assert!(some.code == 1 && some.stdout.contains("requirements.txt:1"), "{some:?}");
    let broken = scanner("raise SystemExit(3)");
    let node = TestNode::of(&[("a.py", "x = 1\n")]);
    let unscanned = run(&mut self::scan(readable(&node), &broken.join("scanner")));
    assert!(unscanned.code == 2 && unscanned.stdout.contains("not scanned: "), "{unscanned:?}");
    let json = run(self::scan(readable(&node), &clean.join("scanner")).arg("--json"));
    let told: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(told["standing"], "nothing-found");
    let missing = run(&mut self::scan(Path::new("/nowhere"), &clean.join("scanner")));
    assert!(missing.code == 2 && missing.stderr.contains("ERROR: cannot read /nowhere"), "{missing:?}");
}

#[test]
fn who_holds_a_capability_reads_nothing_of_a_stranger() {
    require!(root);
    let node = TestNode::of(&[("a.py", "x = 1\n")]);
    let refused = run(Command::new(nodes()).arg("scan").arg(&node.0.0));
    assert!(refused.code == 2 && refused.stderr.contains("capabilities") && refused.stdout.is_empty(), "{refused:?}");
}

#[test]
fn a_signal_ends_its_scanners_and_is_answered() {
    require!(root, setpriv, python3);
    let node = TestNode::of(&[("a.py", "x = 1\n")]);
    let hanging = scanner("import time; time.sleep(1000)");
    let path = hanging.join("scanner");
    let running = scan(readable(&node), &path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let is_scanner = |entry: std::fs::DirEntry| {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let named = words.split(|&byte| byte == 0).any(|word| word == path.as_os_str().as_encoded_bytes());
        named && entry.file_name().to_str() != Some(&running.id().to_string())
    };
    let scanners =
        || std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.path().join("cmdline").exists());
    let scanners = || scanners().map(is_scanner).filter(|&is| is).count();
    eventually("the scanner", || (scanners() > 0).then_some(()));
    assert_eq!(run(Command::new(installed("kill")).args(["-INT", &running.id().to_string()])).code, 0);
    eventually("its end", || (scanners() == 0).then_some(()));
    let ended = Ended::from(running.wait_with_output().unwrap());
    assert!(ended.code == 130 && ended.stderr.contains("stopped by signal 2"), "{ended:?}");
    assert_eq!(ended.stdout, "", "nothing was decided");
}

/// A start with another program in the place of `takumi-nodes`.
fn start_with(kept: &NodeVolumes, lines: &str) -> Ended {
    let folder = scanner(lines);
    let mount = format!("{}:/takumi-nodes:ro", folder.join("scanner").display());
    kept.start().options(&["-v", &mount]).env("TAKUMI_SCAN", "block").env("SECRET", "s3cr3t").command(&["true"]).run()
}

#[test]
fn init_believes_a_bounded_answer_and_nothing_else() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well"]);
    assert_eq!(kept.exec_nodes(&["approve", "well"]).code, 0);
    for (lines, reason) in [
        ("pass", "ended without an answer"),
        ("import os, sys; os.write(int(sys.argv[2]), b'{')", "ended without an answer"),
        ("import os, sys; os.write(int(sys.argv[2]), b'{}')", "node scan failed"),
        (
            "import os, sys\nwith open(int(sys.argv[2]), 'wb') as file: file.write(b' ' * (2 << 20))",
            "is longer than 1048576 bytes",
        ),
        ("import os; os.kill(os.getpid(), 9)", "ended without an answer"),
    ] {
        let ended = start_with(&kept, lines);
        assert!(ended.code == 125 && ended.stderr.contains(reason), "{lines}: {ended:?}");
    }
    // A line of its answer is one line, whatever stands in it.
    let forged = "import json, os, sys
answer = {'verdict': {'passed': True, 'detail': 'x'}, 'notes': ['one\\ninit: error: two \\x1b[2J']}
os.write(int(sys.argv[2]), json.dumps(answer).encode())";
    let ended = start_with(&kept, forged);
    assert!(ended.code == 0 && ended.stderr.contains(r"init: warn: one\ninit: error: two \u{1b}[2J"), "{ended:?}");
}

/// Says on stderr what it is, has and may do.
const PRISONER: &str = "import os, sys
answer, approvals, reports, kept = sys.argv[2:6]
print('variables:', *sorted(name for name in os.environ if name != 'LC_CTYPE'), file=sys.stderr)
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print('user:', os.getuid(), 'capabilities:', status['CapEff'].strip(), status['NoNewPrivs'].strip(), file=sys.stderr)
own = {'0', '1', '2', answer, approvals, reports, kept}
print('others:', *sorted(set(os.listdir('/proc/self/fd')) - own)[1:], file=sys.stderr)
for number in (approvals, reports):
    if number != '-':
        try:
            os.pwrite(int(number), b'x', 0)
            print('written', file=sys.stderr)
        except OSError as error:
            print('sealed:', error.strerror, file=sys.stderr)
try:
    open('/data/custom_nodes/x', 'w')
    print('open', file=sys.stderr)
except OSError:
    print('shut', file=sys.stderr)";

#[test]
fn the_program_gets_no_secret_no_descriptor_and_no_way_to_approve() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well"]);
    assert_eq!(kept.exec_nodes(&["approve", "well"]).code, 0);
    let said = start_with(&kept, PRISONER).stderr;
    let variables = said.lines().find_map(|line| line.strip_prefix("variables: ")).unwrap();
    assert!(variables.split(' ').all(|name| name == "VIRTUAL_ENV" || name.starts_with("TAKUMI_")), "{said}");
    assert!(!variables.contains("SECRET"), "{said}");
    assert!(said.contains("user: 1000 capabilities: 0000000000000000 1\n"), "{said}");
    assert!(said.contains("others:\n") && said.contains("sealed: Operation not permitted\n"), "{said}");
    assert!(said.contains("shut\n") && !said.contains("written") && !said.contains("open\n"), "{said}");
}

#[test]
fn an_image_without_it_says_so() {
    require!(demo);
    let image = Image::demo();
    let start = || Start::hardened(&image).env("TAKUMI_NODES", "/srv").env("TAKUMI_VOLUMES", "");
    let words = "/takumi-nodes is missing in this image, and nodes cannot be scanned without it: add it to the image, or unset TAKUMI_NODES";
    let warned = start().env("TAKUMI_LOG", "warn").command(&["true"]).run();
    assert!(warned.code == 0 && warned.stderr.contains(words), "{warned:?}");
    let blocked = start().env("TAKUMI_SCAN", "block").command(&["true"]).run();
    assert!(blocked.code == 125 && blocked.stderr.contains(words), "{blocked:?}");
    let asked = start().command(&["--nodes", "list"]).run();
    assert!(asked.code == 1 && asked.stderr.contains(words), "{asked:?}");
}

#[test]
fn init_holds_nothing_of_the_reader_and_is_smaller() {
    let contains = |file: &Path, words: &str| {
        std::fs::read(file).unwrap().windows(words.len()).any(|part| part == words.as_bytes())
    };
    // Texts that stand in the reader alone: symbols are stripped from a release.
    for words in ["names a package or version known to be malicious", "sitecustomize", "Bandit counts"] {
        assert!(contains(&nodes(), words), "the control: takumi-nodes has '{words}'");
        assert!(!contains(&init(), words), "init has '{words}'");
    }
    let size = |file: &Path| std::fs::metadata(file).unwrap().len();
    assert!(size(&init()) < size(&nodes()), "{} and {} bytes", size(&init()), size(&nodes()));
}
