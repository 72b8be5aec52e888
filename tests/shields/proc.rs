//! /proc: not there, and closed to others.

use crate::engine::Image;
use crate::seen::{hardened, run};
use crate::start::Start;
use takumi_init::posture::finding::Status;
use takumi_init::posture::report::Report;

fn prepared(image: &Image) -> Start<'_> {
    hardened(image).fresh_data()
}

/// PID 1 does this to /proc, with a capability for it, and then becomes `init`.
fn after<'a>(start: Start<'a>, call: &str, init: &str) -> Start<'a> {
    let program = format!(
        "import ctypes, os\nif ctypes.CDLL(None).{call} != 0: raise SystemExit(99)\nos.execv('/init', ['/init', {init}])"
    );
    start
        .options(&["--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined", "--entrypoint", "python3"])
        .command(&["-c", &program])
}

const NO_PROC: &str = "umount2(b'/proc', 2)";
/// MS_REMOUNT.
const HIDEPID: &str = "mount(b'proc', b'/proc', b'proc', 32, b'hidepid=2')";

#[test]
fn without_proc_nothing_is_taken_for_held() {
    let Some(image) = Image::demo() else { return };
    let (code, json, stderr) = run(&after(prepared(&image), NO_PROC, "'--report', '--json'"));
    assert_eq!(code, 0, "{stderr}");
    let report: Report = serde_json::from_str(&json).unwrap();
    for finding in report.findings.iter().filter(|finding| finding.shield == "identity" || finding.shield == "file") {
        let own =
            ["unprivileged", "capabilities", "no-new-privileges", "volumes", "confined"].contains(&&finding.id[..]);
        // Not every cgroup file is in /proc, and no limit of core files is: what it has it shows.
        let expected = if own || finding.id == "limits" { finding.status } else { Status::Unknown };
        assert_eq!(finding.status, expected, "{finding:?}");
    }
    // What is required and cannot be seen refuses; what nobody requires does not.
    let required = prepared(&image).env("TAKUMI_REQUIRE", "seccomp,apparmor,readonly-root");
    let (code, stdout, stderr) = run(&after(required, NO_PROC, "'--', 'echo', 'ran'"));
    assert_eq!((code, &stdout[..], stderr.lines().count()), (125, "", 3), "{stderr}");
    let (code, stdout, stderr) = run(&after(prepared(&image), NO_PROC, "'--', 'echo', 'ran'"));
    assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
}

#[test]
fn a_proc_that_hides_others_changes_nothing() {
    let Some(image) = Image::demo() else { return };
    let changed = |call| {
        let (code, json, stderr) = run(&after(prepared(&image), call, "'--report', '--json'"));
        assert_eq!(code, 0, "{stderr}");
        let findings = serde_json::from_str::<Report>(&json).unwrap().findings;
        // The fix of a volume names where the engine keeps it, which is another place each time.
        findings.into_iter().filter(|finding| finding.id != "volumes").collect::<Vec<_>>()
    };
    assert_eq!(changed(HIDEPID), changed("getpid() - 1"));
    let line = "'--', 'grep', '-c', 'hidepid', '/proc/self/mountinfo'";
    let (code, stdout, stderr) = run(&after(prepared(&image), HIDEPID, line));
    assert!(code == 0 && stdout.trim() != "0", "{stdout}{stderr}");
}
