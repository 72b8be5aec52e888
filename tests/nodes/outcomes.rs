//! Whatever a node or the scanner is, the start has an answer in time.

use crate::world::NodeVolumes;
use takumi_test::engine::{ask, engine};
use takumi_test::folder::Folder;
use takumi_test::poll::eventually;
use takumi_test::require;

/// Makes one node of each kind that cannot be scanned, and says what is expected of it.
const ODD: &str = "import os
nodes = b'/data/custom_nodes/'
def node(name):
    os.makedirs(nodes + name)
    return nodes + name + b'/'
many = node(b'many')
for number in range(500):
    os.mkdir(many + b'%d' % number)
    for other in range(200):
        os.close(os.open(many + b'%d/%d' % (number, other), os.O_CREAT))
with open(node(b'huge') + b'big.py', 'wb') as file:
    file.truncate(1 << 30)
with open(node(b'broken') + b'old.py', 'w') as file:
    file.write('print \"Python 2\"\\n')
with open(node(b'name') + b'\\xff\\xfe.py', 'w') as file:
    file.write('import os\\nos.system(\"true\")\\n')
os.mkfifo(node(b'pipe') + b'x.py')
os.symlink('/etc', nodes + b'link')
with open(node(b'closed') + b'x.py', 'w') as file:
    os.fchmod(file.fileno(), 0)
deep = node(b'deep')
for level in range(200):
    deep += b'd/'
    os.mkdir(deep)
";

#[test]
fn each_odd_node_has_an_outcome_of_its_own_and_the_start_goes_on() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well"]);
    kept.shell(&format!("python3 - <<'END'\n{ODD}END\n"));
    let ended = kept.list_as_json(&[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for (node, words) in [
        ("many", "more than 50000"),
        ("huge", "big.py"),
        ("broken", "old.py: "),
        ("name", "\\xff\\xfe.py: its name is not UTF-8"),
        ("pipe", "x.py: a socket, a pipe or a device"),
        ("link", "link is a link to /etc"),
        ("closed", "cannot read x.py: Permission denied"),
        ("deep", "more than 64 directories deep"),
    ] {
        let told = ended.stderr.split("init:   ").find(|part| part.starts_with(&format!("{node}: not approved")));
        let told = told.map(|first| {
            let rest = &ended.stderr[ended.stderr.find(first).unwrap()..];
            rest.lines().skip(1).take_while(|line| line.starts_with("init:     ")).collect::<Vec<_>>().join("\n")
        });
        assert!(told.as_deref().is_some_and(|told| told.contains(words)), "{node}: {words}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("well: "), "{}", ended.stderr);
    let refused = kept.list_as_json(&[("TAKUMI_SCAN", "block")]);
    assert_eq!(refused.code, 125, "{refused:?}");
    // What could not be read whole cannot be approved; what could, can.
    let asked = kept.exec_nodes(&["approve", "many"]);
    assert!(asked.code == 1 && asked.stderr.contains("cannot be approved"), "{asked:?}");
    assert_eq!(kept.exec_nodes(&["approve", "broken"]).code, 0);
    assert!(!kept.list_as_json(&[]).stderr.contains("broken"));
}

/// Root's, in a directory of root's, on the read-only root: as a scanner has to be.
fn program(lines: &str) -> Folder {
    let folder = Folder::new();
    let scanner = folder.join("scanner");
    std::fs::write(&scanner, format!("#!/usr/bin/python3\n{lines}\n")).unwrap();
    std::fs::set_permissions(scanner, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// Says as its last word what it is and may do.
const SHUT_IN: &str = "import os, sys
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
try:
    os.mkdir('/tmp/scanner')
    write = 'open'
except PermissionError:
    write = 'shut'
sets = {status[name].strip().strip('0') for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb')}
capability = 'no capability' if sets == {''} and status['NoNewPrivs'].strip() == '1' else 'capabilities'
filters = int(status['Seccomp_filters']) - FILTERS
sys.exit(f'seen: user {os.getuid()}, {write}, {capability}, {filters} more filter')";

#[test]
fn a_scanner_that_is_missing_or_strange_leaves_nodes_unscanned() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well", "miner"]);
    // The engine's own.
    let filters = kept.shell("sed -n 's/^Seccomp_filters:[^0-9]*//p' /proc/self/status");
    for (lines, words) in [
        (
            "import os, sys; sys.exit('environment: ' + ' '.join(sorted(os.environ)))",
            "environment: HOME LANG LC_ALL PATH",
        ),
        // Behind a lock of its own: /tmp is everybody's to write, and the app's user it is.
        (SHUT_IN, "seen: user 1000, shut, no capability, 1 more filter"),
        ("print('{}')", "not scanned: "),
        ("print('garbage')", "not scanned: "),
        ("import os; os.kill(os.getpid(), 9)", "died of SIGKILL"),
        ("import time; time.sleep(1000)", "timed out after 40 s"),
    ] {
        let folder = program(&lines.replace("FILTERS", &filters));
        let ended = kept.start_with_scanner(&folder.0).env("SECRET", "s3cr3t").command(&["true"]).run();
        assert_eq!(ended.code, 0, "{lines}: {ended:?}");
        assert!(ended.stderr.contains("well: not approved, and not scanned"), "{lines}: {}", ended.stderr);
        assert!(ended.stderr.contains(words) && !ended.stderr.contains("s3cr3t"), "{lines}: {}", ended.stderr);
        // What is looked at beside Bandit is seen all the same.
        assert!(ended.stderr.contains("requirements.txt:3"), "{lines}: {}", ended.stderr);
    }
    let missing = kept.list_as_json(&[("TAKUMI_SCAN_COMMAND", "nobandit"), ("TAKUMI_SCAN", "block")]);
    assert!(missing.code == 125 && missing.stderr.contains("install Bandit in the image"), "{missing:?}");
    // One that COMMAND could exchange is none.
    kept.shell("printf '#!/usr/bin/python3\\n' > /data/bandit; chmod 755 /data/bandit");
    let own = kept.list_as_json(&[("TAKUMI_SCAN_COMMAND", "/data/bandit")]);
    assert!(own.code == 0 && own.stderr.contains("well: not approved, and not scanned"), "{own:?}");
}

#[test]
fn a_stop_is_heard_while_a_scanner_hangs() {
    require!(comfyui);
    let kept = NodeVolumes::with(&["well"]);
    let folder = program("import time; time.sleep(1000)");
    let container = kept.start_with_scanner(&folder.0).command(&["echo", "ran"]).spawn();
    eventually("the scanner", || {
        let listed = engine(&["top", &container.name]).output().ok()?;
        String::from_utf8_lossy(&listed.stdout).contains("/opt/scanner/scanner").then_some(())
    });
    ask(&["kill", "--signal", "TERM", &container.name]);
    let ended = container.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (125, ""), "{ended:?}");
    assert!(ended.stderr.contains("stopped before COMMAND was started"), "{ended:?}");
}
