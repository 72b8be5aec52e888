//! Each way in which a node could silence its scanner, with the real one.

use crate::node::{TestNode, outcome, scan};
use crate::program;
use crate::scanners::{RULES, bandit, installed, packages, rules};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::Duration;
use takumi_init::for_tests::scan::{ScanJob, Scanner};
use takumi_test::folder::Folder;
use takumi_test::program::run;
use takumi_test::require;

/// What a miner's node does first; the third line is what is found.
const BAD: &str = "import os\n\nos.system(os.environ['X'])\n";

fn found(file: &str) -> Vec<String> {
    // `os.system` with what is not a constant: B605 HIGH.
    vec![format!("{file}:3 B605 High")]
}

/// It finds the call in that file, and has scanned all that there is.
fn is_found_in(node: &TestNode, file: &str) {
    assert_eq!(scan(&bandit(), node), (found(file), vec![]));
}

#[test]
fn a_comment_silences_nothing() {
    require!(pip3);
    let lines = "# nosec\nimport os # nosec\nos.system(os.environ['X']) # nosec B605 # nosec: all # noqa\n";
    is_found_in(&TestNode::of(&[("a.py", lines)]), "a.py");
}

#[test]
fn no_file_of_the_nodes_is_the_scanners_configuration() {
    require!(pip3);
    let ini = "[bandit]\nskips: B605,B602\ntests: B101\nexclude: /,.,*\ntargets: nothing\nlevel: 3\nconfidence: 3\nbaseline: base.json\n";
    let toml = "[tool.bandit]\nskips = [\"B605\"]\nexclude_dirs = [\".\", \"/\", \"*\"]\n";
    let yaml = "skips: [B605]\nexclude_dirs: [\"/\", \".\"]\n";
    let base = r#"{"results": [{"filename": "./a.py", "line_number": 3, "test_id": "B605"}]}"#;
    let one = [("a.py", BAD), (".bandit", ini)];
    let many = [("a.py", BAD), (".bandit", ini), ("sub/.bandit", ini), ("a.py.bandit", ini), ("setup.cfg", ini)];
    let more =
        [("tox.ini", ini), ("pyproject.toml", toml), ("bandit.yaml", yaml), ("bandit.yml", yaml), ("base.json", base)];
    is_found_in(&TestNode::of(&one), "a.py");
    is_found_in(&TestNode::of(&[&many[..], &more].concat()), "a.py");
}

#[test]
fn no_directory_is_left_out() {
    require!(pip3);
    let directories =
        [".git", ".svn", "CVS", ".bzr", ".hg", ".tox", "__pycache__", ".eggs", "x.egg", "dist", "tests", ".hidden"];
    // Bandit's own list leaves out `.git` anywhere in a path, but not where the working directory has one.
    let files: Vec<String> =
        directories.iter().flat_map(|name| [format!("{name}/a.py"), format!("sub/{name}.d/a.py")]).collect();
    let node = TestNode::of(&files.iter().map(|file| (file.as_str(), BAD)).collect::<Vec<_>>());
    let deeper = TestNode::of(&[("sub/.git/a.py", BAD)]);
    is_found_in(&deeper, "sub/.git/a.py");
    let mut expected: Vec<String> = files.iter().flat_map(|file| found(file)).collect();
    expected.sort();
    assert_eq!(scan(&bandit(), &node), (expected, vec![]));
}

#[test]
fn no_name_is_an_option_a_pattern_or_a_list() {
    require!(pip3);
    let names = [
        "-h.py", "--help.py", "--version.py", "-x a.py", "-.py", "@args.py", "a,b.py", "a*[b]?.py", " .py",
        "new\nline.py", "tab\t.py", "back\\slash.py", "quote\".py", "{}.py", "_totals.py", "%s.py",
        "\u{e9}\u{1f600}.py", "\u{202e}.py", ".py", "#.py", "a/b/../c.py",
    ];
    let node = TestNode::of(&names.map(|name| (name, BAD)));
    let mut expected: Vec<String> = names.iter().map(|name| found(&name.replace("b/../", "")).remove(0)).collect();
    expected.sort();
    let (mut issues, unscanned) = scan(&bandit(), &node);
    issues.sort();
    assert_eq!((issues, unscanned), (expected, vec![]));
}

#[test]
fn a_name_that_is_no_text_is_told_and_the_others_are_scanned() {
    require!(pip3);
    let node = TestNode::of(&[("a.py", BAD)]);
    node.write(OsStr::from_bytes(b"z\xff.py"), BAD.as_bytes());
    let unscanned = vec!["z\u{fffd}.py: its name is not UTF-8".to_owned()];
    assert_eq!(scan(&bandit(), &node), (found("a.py"), unscanned));
}

#[test]
fn nothing_of_the_nodes_is_run_or_taken_for_a_module() {
    require!(pip3);
    let trap = "open('RAN', 'w').close()\nraise SystemExit(0)\n";
    let node = TestNode::of(&[("zz.py", BAD)]);
    let modules = [
        "bandit", "takumi_rules", "ast", "json", "stevedore", "yaml", "rich", "sitecustomize", "usercustomize",
        "encodings", "os", "tokenize",
    ];
    for name in modules {
        node.write(format!("{name}.py"), trap.as_bytes());
        node.write(format!("{name}/__init__.py"), trap.as_bytes());
        node.write(format!("{name}/__main__.py"), trap.as_bytes());
    }
    node.write("trap.pth", b"import os; open('RAN', 'w').close()\n");
    node.write("pyvenv.cfg", b"home = /nowhere\n");
    // Compiled by the same Python, beside a source of no harm.
    let compile = "import py_compile, sys\nfor name in sys.argv[1:]: py_compile.compile(name + '.py'), py_compile.compile(name + '.py', name + '.pyc')";
    let python = installed().join("bin/python3");
    let compiled =
        Command::new(python).args(["-I", "-c", compile]).args(modules).current_dir(&node.0.0).status().unwrap();
    assert!(compiled.success());
    is_found_in(&node, "zz.py");
    assert!(!node.0.join("RAN").exists());
}

/// With an environment that would lead any Python astray.
fn scan_led_astray(node: &OsStr) {
    let mut tree = TestNode::of(&[("zz.py", BAD)]).tree();
    tree.root = std::fs::File::open(node).unwrap().into();
    let (issues, unscanned) = outcome(&bandit(), &tree).unwrap();
    assert_eq!((issues.len(), unscanned), (1, vec![]));
    println!("bandit was not led astray");
}

#[test]
fn no_variable_and_no_path_leads_the_scanner_astray() {
    use std::os::unix::fs::PermissionsExt;
    require!(pip3);
    if let Some(node) = std::env::var_os("LED_ASTRAY") {
        return scan_led_astray(&node);
    }
    installed();
    let node = TestNode::of(&[("zz.py", BAD)]);
    let program = format!("#!/bin/sh\n: >{}/RAN\necho '{{}}'\n", node.0.0.display());
    for name in ["python", "python3", "python3.11", "bandit", "env", "sh"] {
        node.write(format!("bin/{name}"), program.as_bytes());
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(node.0.join("bin").join(name), open).unwrap();
    }
    let trap = format!("open('{}/RAN', 'w').close()\nraise SystemExit(0)\n", node.0.0.display());
    for name in ["bandit", "takumi_rules", "ast", "sitecustomize", "usercustomize", "startup"] {
        node.write(format!("modules/{name}.py"), trap.as_bytes());
        node.write(format!("home/.local/lib/python3.11/site-packages/{name}.py"), trap.as_bytes());
    }
    let place = |name: &str| node.0.join(name);
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args(["bandit::no_variable_and_no_path_leads_the_scanner_astray", "--exact", "--nocapture"])
        .current_dir(place("modules"));
    again.env("LED_ASTRAY", &node.0.0).env("PATH", place("bin")).env("HOME", place("home"));
    again
        .env("PYTHONPATH", place("modules"))
        .env("PYTHONSTARTUP", place("modules/startup.py"))
        .env("PYTHONHOME", place("home"));
    again
        .env("PYTHONUSERBASE", place("home/.local"))
        .env("PYTHONPYCACHEPREFIX", place("modules"))
        .env("PYTHONINSPECT", "1");
    again
        .env("XDG_CACHE_HOME", place("home"))
        .env("PYTHONOPTIMIZE", "2")
        .env("PYTHONWARNINGS", "error")
        .env("NO_COLOR", "1");
    let output = again.env("PYTHONIOENCODING", "utf-16").env("BANDIT_SKIPS", "B605").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("bandit was not led astray"), "{said}");
    assert!(!place("RAN").exists());
}

#[test]
fn what_is_no_plain_file_is_never_opened() {
    require!(pip3);
    let node = TestNode::of(&[("a.py", BAD)]);
    let made = Command::new("mkfifo").arg(node.0.join("pipe.py")).status().unwrap();
    assert!(made.success());
    for (name, target) in
        [("shadow.py", "/etc/shadow"), ("out.py", "../../etc/passwd"), ("loop.py", "loop.py"), ("tty.py", "/dev/tty")]
    {
        std::os::unix::fs::symlink(target, node.0.join(name)).unwrap();
    }
    let link = |name: &str| format!("{name}.py: it is a link");
    let unscanned =
        vec![link("loop"), link("out"), "pipe.py: it is not a regular file".to_owned(), link("shadow"), link("tty")];
    assert_eq!(scan(&bandit(), &node), (found("a.py"), unscanned));
}

/// A pipe that took a file's place after the node was walked.
#[test]
fn a_file_that_became_a_pipe_costs_the_deadline() {
    require!(pip3);
    let node = TestNode::of(&[("a.py", BAD)]);
    let tree = node.tree();
    std::fs::remove_file(node.0.join("a.py")).unwrap();
    assert!(Command::new("mkfifo").arg(node.0.join("a.py")).status().unwrap().success());
    let reason = bandit()
        .run(&[ScanJob { tree: &tree, files: vec![0] }], Duration::from_secs(3), &|| false)
        .remove(0)
        .unwrap_err();
    assert_eq!(reason, "the scanner timed out after 3 s");
}

#[test]
fn a_gigabyte_is_not_read() {
    require!(pip3);
    let node = TestNode::of(&[("a.py", BAD)]);
    std::fs::File::create(node.0.join("large.py")).unwrap().set_len(1 << 30).unwrap();
    let reason = "large.py: it has 1073741824 bytes, over the scan limit of 4194304";
    assert_eq!(scan(&bandit(), &node), (found("a.py"), vec![reason.to_owned()]));
}

/// Contents that Bandit cannot parse, or dies of: it says so of each, and the others are scanned all the same.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let long = |times: usize, text: &str| text.repeat(times).into_bytes();
    vec![
        ("syntax.py", b"def (\n".to_vec()),
        ("null.py", b"import os\0\nos.system(x)\n".to_vec()),
        ("cookie.py", b"# coding: utf-8\nx = '\xff'\n".to_vec()),
        ("utf7.py", b"# coding: utf-7\nx = '+2AA-'\n".to_vec()),
        ("unknown.py", b"# coding: no-such-encoding\n".to_vec()),
        ("utf16.py", b"\xff\xfex\x00=\x001\x00\n\x00".to_vec()),
        ("nested.py", [long(10_000, "("), long(10_000, ")")].concat()),
        ("sum.py", [b"x = 1".to_vec(), long(400_000, " + 1")].concat()),
        ("minus.py", [b"x = ".to_vec(), long(5000, "-"), b"1\n".to_vec()].concat()),
        // Bandit cannot print what it found there: one such file would silence it for the whole node.
        ("surrogate.py", b"password = '\\ud800'\n".to_vec()),
    ]
}

#[test]
fn what_bandit_cannot_read_is_told_and_hides_nothing_else() {
    require!(pip3);
    let node = TestNode::of(&[("a.py", BAD), ("zz/b.py", BAD)]);
    for (name, content) in unreadable() {
        node.write(name, &content);
    }
    let (issues, unscanned) = scan(&bandit(), &node);
    assert_eq!(issues, [found("a.py"), found("zz/b.py")].concat());
    let mut told: Vec<&str> = unscanned.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    told.sort_unstable();
    let mut expected: Vec<&str> = unreadable().into_iter().map(|(name, _)| name).collect();
    expected.sort_unstable();
    assert_eq!(told, expected, "{unscanned:#?}");
    let reasons = unscanned.join("\n");
    assert!(reasons.contains("syntax.py: syntax error while parsing AST from file"), "{reasons}");
    assert!(reasons.contains("sum.py: exception while scanning file"), "{reasons}");
    assert!(
        reasons.contains("surrogate.py: the scanner ended with code 1 and no answer: RuntimeError: Unable to output"),
        "{reasons}"
    );
}

#[test]
fn an_expression_of_megabytes_has_an_outcome() {
    require!(pip3);
    let node = TestNode::of(&[("a.py", BAD)]);
    node.write("list.py", format!("x = [{}]\n", "1, ".repeat(1_390_000)).as_bytes());
    let (issues, unscanned) = scan(&bandit(), &node);
    assert_eq!(issues, found("a.py"), "{unscanned:?}");
}

/// A copy of it where every user may come (cargo's own output may lie in a closed directory), with these rules beside it.
fn moved(rules_too: bool) -> Folder {
    let folder = Folder::new();
    let copied = Command::new("cp").arg("-a").arg(installed().join(".")).arg(&folder.0).status().unwrap();
    assert!(copied.success());
    let shebang = format!("1s|^#!.*|#!{}|", folder.join("bin/python3").display());
    assert!(Command::new("sed").args(["-i", &shebang]).arg(folder.join("bin/bandit")).status().unwrap().success());
    for name in RULES {
        std::fs::remove_file(packages(&folder.0).join(name)).unwrap();
        if rules_too {
            let copied =
                Command::new("cp").arg("-r").arg(rules().join(name)).arg(packages(&folder.0)).status().unwrap();
            assert!(copied.success());
        }
    }
    folder
}

/// As it is done in a container, where it is shut in, too: found and run by a user that can change none of it.
#[test]
fn another_user_finds_and_runs_what_is_roots() {
    require!(root, setpriv, pip3);
    let tree = TestNode::of(&[("a.py", BAD)]);
    std::fs::set_permissions(&tree.0.0, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = run(program::scan(&tree.0.0, &moved(true).join("bin/bandit")).arg("--json"));
    assert!(said.code == 1 && said.stdout.contains("\"places\":[\"a.py:3\"]"), "{said:?}");
}

#[test]
fn one_that_has_not_our_rules_has_scanned_nothing() {
    require!(pip3);
    let folder = moved(false);
    let scanner = Scanner::find_anywhere(folder.join("bin/bandit").to_str().unwrap().as_bytes()).unwrap();
    for source in [BAD, "x = 1\n"] {
        let reason = outcome(&scanner, &TestNode::of(&[("a.py", source)]).tree()).unwrap_err();
        assert!(
            reason.starts_with("the scanner ran without the rules of takumi-init: install image/bandit"),
            "{reason}"
        );
    }
}
