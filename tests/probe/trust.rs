//! The state file is root's word, and only for the start that wrote it.

use crate::inside::{PidNamespace, install};
use crate::server::Server;
use takumi_test::poll::eventually;
use takumi_test::require;

const FILE: &str = "/run/takumi/report.json";

/// A forged report: with a URL that would be healthy.
#[test]
fn a_report_that_others_could_have_written_is_not_trusted() {
    require!(namespaces, python3);
    let (good, bad) = (Server::good(), Server::new(|_| {}));
    let bad_url = bad.url();
    let environment = [("TAKUMI_HEALTH_URL", bad_url.as_str())];
    let inside = PidNamespace::init(&[("TAKUMI_HEALTH_URL", &good.url())], &["sleep", "600"]);
    let check = || inside.check(&environment);
    // The report's word wins over the environment of an exec.
    check().expect("healthy");
    let restore = |line: &str| {
        inside.shell(&format!("rm -rf /run/takumi && mkdir -m 755 /run/takumi && cp -p /run/kept {FILE} && {line}"));
    };
    inside.shell(&format!("cp -p {FILE} /run/kept"));
    restore("true");
    check().expect("healthy");
    let stale = format!(
        "python3 - <<'E'\nimport json\ns = json.load(open('{FILE}'))\ns['process']['start_time'] += 1\njson.dump(s, open('{FILE}', 'w'))\nE"
    );
    let root = format!(
        "python3 - <<'E'\nimport json\ns = json.load(open('{FILE}'))\ns['identity']['user'] = 0\njson.dump(s, open('{FILE}', 'w'))\nE"
    );
    for (what, line, words) in [
        ("of the app's user", format!("chown 1000:1000 {FILE}"), "can be written by others than root"),
        ("open to all", format!("chmod 666 {FILE}"), "can be written by others than root"),
        ("open to a group", format!("chmod 464 {FILE}"), "can be written by others than root"),
        (
            "a directory of the app's user",
            "chown 1000:1000 /run/takumi".to_string(),
            "can be written by others than root",
        ),
        ("a directory open to all", "chmod 777 /run/takumi".to_string(), "can be written by others than root"),
        ("a link", format!("rm {FILE} && ln -s /run/kept {FILE}"), "cannot be read"),
        ("a FIFO", format!("rm {FILE} && mkfifo -m 444 {FILE}"), "can be written by others than root"),
        ("a directory", format!("rm {FILE} && mkdir {FILE}"), "can be written by others than root"),
        ("a device", format!("rm {FILE} && mknod -m 444 {FILE} c 1 5"), "can be written by others than root"),
        ("no report", format!("echo '{{}}' > {FILE}"), "is not a report"),
        ("deeply nested", format!("python3 -c \"print('[' * 200000)\" > {FILE}"), "is not a report"),
        ("longer than any", format!("truncate -s 1G {FILE}"), "cannot be read"),
        ("of another start", stale, "from another start"),
        ("of root by choice", root, "runs as root"),
        ("not there", format!("rm {FILE}"), "cannot be read"),
    ] {
        restore(&line);
        let checked = check();
        checked.expect("hung").says("only from /proc: ");
        assert!(checked.stdout.contains(words), "{what}: expected '{words}': {checked:?}");
    }
    restore("true");
    check().expect("healthy");
}

/// A COMMAND that is root by choice may write root's files.
#[test]
fn a_report_is_not_trusted_where_command_is_root() {
    require!(namespaces);
    let inside = PidNamespace::init(&[("PUID", "0"), ("PGID", "0"), ("TAKUMI_ALLOW_ROOT", "yes")], &["sleep", "600"]);
    let environment = [("PUID", "0"), ("PGID", "0"), ("TAKUMI_ALLOW_ROOT", "yes")];
    inside.check(&environment).expect("healthy").says("could have written the report");
    // Without that choice root is what a supervisor that failed to drop would be.
    let checked = inside.check(&[]);
    checked.expect("unhealthy").says("unprivileged fail: init is root");
}

/// Without a report `init` is looked for by its name, which COMMAND can imitate.
#[test]
fn a_name_alone_makes_no_init() {
    require!(namespaces, python3, setpriv);
    let folder = install();
    // Not PID 1: PID 1 is a shell, as under `docker run --init` or in a shared pid namespace.
    let imitate = "import os, time\nopen('/proc/self/comm', 'w').write('init:%d' % os.getpid())\nprint(flush=True)\ntime.sleep(600)";
    let line = format!(
        "mount -o remount,ro /run; {} python3 -c \"{}\" & wait",
        folder.join("init").display(),
        imitate.replace('"', "\\\"")
    );
    let inside = PidNamespace::with(folder, "true", &[], &["bash", "-c", &line]);
    let command = eventually("COMMAND's name", || {
        let init = inside.command();
        let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
        let command: u32 = children.split_whitespace().next()?.parse().ok()?;
        let name = std::fs::read_to_string(format!("/proc/{command}/comm")).ok()?;
        name.starts_with("init:").then_some(command)
    });
    let status = std::fs::read_to_string(format!("/proc/{command}/status")).unwrap();
    let inner =
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap().split_whitespace().next_back().unwrap();
    inside.check(&[]).expect("healthy").says(&format!("COMMAND is process {inner} "));
    inside.check_as("1000", &[]).expect("healthy").says(&format!("COMMAND is process {inner} "));
}
