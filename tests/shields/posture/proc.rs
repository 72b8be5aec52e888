//! /proc: not there, and closed to others.

use super::seen::{hardened, run};
use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::program::Ended;
use takumi_test::report::Report;
use takumi_test::require;

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
    require!(demo);
    let image = Image::demo();
    let Ended { code, stdout: json, stderr } = run(&after(prepared(&image), NO_PROC, "'--report', '--json'"));
    assert_eq!(code, 0, "{stderr}");
    let report = Report::parse(&json);
    for finding in report.findings.iter().filter(|finding| finding.shield == "identity" || finding.shield == "file") {
        let own =
            ["unprivileged", "capabilities", "no-new-privileges", "volumes", "confined"].contains(&&finding.id[..]);
        // Not every cgroup file is in /proc, and no limit on core files is: what it has it shows.
        assert!(own || finding.id == "limits" || finding.status == "unknown", "{finding:?}");
    }
    // What is required and cannot be seen refuses; what nobody requires does not.
    let required = prepared(&image).env("TAKUMI_REQUIRE", "seccomp,apparmor,readonly-root");
    let Ended { code, stdout, stderr } = run(&after(required, NO_PROC, "'--', 'echo', 'ran'"));
    assert_eq!((code, &stdout[..], stderr.lines().count()), (125, "", 3), "{stderr}");
    let Ended { code, stdout, stderr } = run(&after(prepared(&image), NO_PROC, "'--', 'echo', 'ran'"));
    assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
}

#[test]
fn a_proc_that_hides_others_changes_nothing() {
    require!(demo);
    let image = Image::demo();
    let changed = |call| {
        let Ended { code, stdout: json, stderr } = run(&after(prepared(&image), call, "'--report', '--json'"));
        assert_eq!(code, 0, "{stderr}");
        let findings = Report::parse(&json).findings;
        // The fix of a volume names where the engine keeps it, which is another place each time.
        findings.into_iter().filter(|finding| finding.id != "volumes").collect::<Vec<_>>()
    };
    assert_eq!(changed(HIDEPID), changed("getpid() - 1"));
    let line = "'--', 'grep', '-c', 'hidepid', '/proc/self/mountinfo'";
    let Ended { code, stdout, stderr } = run(&after(prepared(&image), HIDEPID, line));
    assert!(code == 0 && stdout.trim() != "0", "{stdout}{stderr}");
}
