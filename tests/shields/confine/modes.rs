//! The setuid bit, and what else programs do to modes.

use super::tried::{open, tried};
use libc::{ENOSYS, EPERM};
use takumi_test::container::Start;
use takumi_test::engine::Volume;
use takumi_test::image::Image;
use takumi_test::require;

#[test]
fn no_call_makes_a_setuid_file() {
    require!(landlock, demo);
    let image = Image::demo();
    let old = |attempt: &str, errno: i32| attempt == "fchmodat2" && errno == ENOSYS;
    for (attempt, errno) in tried(open(&image, "off"), &["modes"]) {
        // Linux 6.6 brought this call.
        assert!(errno == 0 || old(&attempt, errno), "control: {attempt}: {errno}");
    }
    for confine in ["auto", "strict"] {
        let answers = tried(open(&image, confine), &["modes"]);
        assert_eq!(answers.len(), 16);
        for (attempt, errno) in answers {
            let expected = match &attempt[..] {
                "openat2" => ENOSYS,
                attempt if attempt.starts_with("needed: ") => 0,
                _ => EPERM,
            };
            assert_eq!(errno, expected, "{confine}: {attempt}");
        }
    }
}

/// An archive and a tree with such a file, a setgid and a sticky directory in them. A copy that wants the bit does without, or says so.
const PREPARE: &str = "cd /data && mkdir -p from/shared from/sticky && cp /bin/true from/setuid && chown -R 1000:1000 . && \
    chmod 4755 from/setuid && chmod 2775 from/shared && chmod 1777 from/sticky && tar -cf from.tar from";

const COPIES: &str = r#"
import os, shutil, stat, subprocess, tarfile
def mode(path): return stat.S_IMODE(os.stat(path).st_mode)
def say(name, code, tree):
    whole = mode(tree + '/shared') & 0o2777 == 0o2775 and mode(tree + '/sticky') == 0o1777 and os.path.getsize(tree + '/setuid') > 0
    print(name, code, 'whole' if whole else 'not whole', 'setuid' if mode(tree + '/setuid') & 0o4000 else 'plain')
os.umask(0o002)
for name, words in [('tar', ['tar', '-xpf', '/data/from.tar']), ('cp', ['cp', '-a', '/data/from', '.'])]:
    os.makedirs('/data/' + name); os.chdir('/data/' + name)
    say(name, subprocess.run(words, stderr=subprocess.DEVNULL).returncode, 'from')
with tarfile.open('/data/from.tar') as archive: archive.extractall('/data/tarfile')
say('tarfile', 0, '/data/tarfile/from')
try:
    shutil.copytree('/data/from', '/data/copytree')
    code = 0
except shutil.Error: code = 1
say('copytree', code, '/data/copytree')
"#;

#[test]
fn programs_that_copy_such_a_file_copy_the_rest() {
    require!(demo);
    let image = Image::demo();
    let copied = |confine: &str| {
        let volume = Volume::new();
        volume.root_shell(&image, PREPARE);
        let at = format!("{}:/data", volume.name);
        let start = Start::plain(&image).options(&["--volume", &at]).env("TAKUMI_VOLUMES", "/data");
        let ended = start.env("TAKUMI_CONFINE", confine).env("TAKUMI_LOG", "warn").python(COPIES).run();
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout
    };
    let off = "tar 0 whole setuid\ncp 0 whole setuid\ntarfile 0 whole setuid\ncopytree 0 whole setuid\n";
    assert_eq!(copied("off"), off, "control");
    assert_eq!(copied("auto"), "tar 2 whole plain\ncp 1 whole plain\ntarfile 0 whole plain\ncopytree 1 whole plain\n");
}
