//! What `init` and COMMAND hold is seen, and nobody else's holding is taken for theirs.

use crate::inside::PidNamespace;
use crate::server::Server;
use takumi_test::poll::eventually;
use takumi_test::require;

/// A process that shows the name of an `init` over its one child, and drops nothing.
const CONTROL: &str = "\
import subprocess
child = subprocess.Popen(['sleep', '600'])
open('/proc/self/comm', 'w').write('init:%d' % child.pid)
child.wait()";

const USER: [&str; 5] = ["setpriv", "--reuid", "1000", "--regid", "1000"];

fn control(words: &[&str]) -> PidNamespace {
    let inside = PidNamespace::of(&[], &[words, &["python3", "-c", CONTROL]].concat());
    eventually("its name", || inside.name().starts_with("init:").then_some(()));
    inside
}

#[test]
fn a_supervisor_that_drops_nothing_is_unhealthy() {
    require!(namespaces, python3, setpriv);
    let cases: [(&[&str], &[&str], &[&str]); 4] = [
        (&[], &[], &["unprivileged fail: init is root", "capabilities fail: init has", "no-new-privileges fail"]),
        (&USER, &["--clear-groups"], &["no-new-privileges fail: init can gain privileges"]),
        (
            &USER,
            &["--clear-groups", "--no-new-privs", "--inh-caps=+net_raw", "--ambient-caps=+net_raw"],
            &["capabilities fail: init has capabilities: CapInh is 0x2000"],
        ),
        // The same without what is held: it is the holding that is seen.
        (&USER, &["--clear-groups", "--no-new-privs"], &[]),
    ];
    for (user, options, missing) in cases {
        let inside = control(&[user, options].concat());
        let checked = inside.check(&[]);
        checked.expect(if missing.is_empty() { "healthy" } else { "unhealthy" });
        let lines = checked.stdout.lines().skip(1);
        assert_eq!(lines.clone().count(), missing.len(), "{checked:?}");
        for (line, expected) in lines.zip(missing) {
            assert!(line.starts_with(expected) && line.contains("fix: "), "{expected}: {checked:?}");
        }
    }
}

#[test]
fn a_command_of_init_holds_nothing_and_a_root_shell_beside_it_is_not_command() {
    require!(namespaces, setpriv);
    let inside = PidNamespace::init(&[], &["sleep", "600"]);
    // What `docker exec` starts: root, with all capabilities, with a name of its choice.
    let mut shell = inside.enter(&["sh", "-c", "printf init:1 > /proc/self/comm; exec sleep 600"]).spawn().unwrap();
    inside.check(&[]).expect("healthy");
    inside.check_as("1000", &[]).expect("healthy");
    let _ = shell.kill();
    let _ = shell.wait();
}

/// While the check waits for a silent server, /proc shows what it has become.
#[test]
fn the_check_itself_has_dropped_before_it_asks_anybody() {
    require!(namespaces, setpriv);
    let server = Server::silent();
    let url = server.url();
    let environment =
        [("TAKUMI_HEALTH_URL", url.as_str()), ("TAKUMI_HEALTH_TIMEOUT", "60s"), ("TAKUMI_USER", "4242:4343")];
    let inside = PidNamespace::init(&environment, &["sleep", "600"]);
    let path = inside.path();
    for (user, expected) in [(None, 4242), (Some("1001"), 1001)] {
        let mut words = Vec::new();
        if let Some(user) = user {
            words.extend(["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"]);
        }
        words.extend([path.as_str(), "--check"]);
        let mut check = inside.enter(&words).stdout(std::process::Stdio::null()).spawn().unwrap();
        let (id, status) = eventually("a check that waits", || {
            let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", check.id())).ok()?;
            let id: u32 = children.split_whitespace().next()?.parse().ok()?;
            let connected = std::fs::read_dir(format!("/proc/{id}/fd")).ok()?.any(|file| {
                let target = std::fs::read_link(file.unwrap().path()).unwrap_or_default();
                target.to_string_lossy().starts_with("socket:")
            });
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            // setpriv, which comes before, asks for names by a socket.
            (connected && status.starts_with("Name:\tinit")).then_some((id, status))
        });
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            field("Uid"),
            [expected.to_string(), expected.to_string(), expected.to_string(), expected.to_string()]
        );
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(set), ["0000000000000000"], "{set} of {status}");
        }
        if user.is_none() {
            assert_eq!(field("CapBnd"), ["0000000000000000"], "{status}");
            assert_eq!(field("Groups"), ["4343"], "{status}");
        }
        assert_eq!(field("NoNewPrivs"), ["1"]);
        // Not dumpable: /proc shows root as its owner, and its user cannot read its environment.
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(format!("/proc/{id}/environ")).unwrap().uid(), 0);
        let _ = check.kill();
        let _ = check.wait();
    }
}

#[test]
fn a_check_that_cannot_drop_looks_at_nothing() {
    require!(namespaces, capsh);
    let server = Server::good();
    let url = server.url();
    let inside = PidNamespace::init(&[("TAKUMI_HEALTH_URL", &url)], &["sleep", "600"]);
    inside.check(&[]).expect("healthy");
    // The server counts what it sent a moment after it was read.
    let asked = eventually("the answer", || Some(server.sent()).filter(|&sent| sent > 0));
    let line = format!("exec {} --check", inside.path());
    let checked = crate::inside::run(&mut inside.enter(&["capsh", "--drop=cap_setuid,cap_setgid", "--", "-c", &line]));
    checked.expect("unhealthy").says("cannot drop its own privileges").says("CAP_SETUID").says("--cap-add SETUID");
    assert_eq!(server.sent(), asked, "nobody was asked");
}
