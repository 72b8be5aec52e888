//! takumi-secrets, and `init` as the reader of what it wrote.

use crate::support::{SECRET, SecretsFixture};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use takumi_test::program::{Ended, run};
use takumi_test::require;

/// How the tool ended.
pub trait Outcome {
    fn done(self) -> String;
    fn refused(self, words: &[&str]);
}

impl Outcome for Ended {
    #[track_caller]
    fn done(self) -> String {
        self.ends_with(0).stdout
    }

    #[track_caller]
    fn refused(self, words: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        assert!(self.stderr.lines().all(|line| line.starts_with("takumi-secrets: ")), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
    }
}

/// A folder with .env and .env.keys, and the tool.
pub struct ToolFixture {
    pub place: SecretsFixture,
    pub tool: PathBuf,
}

impl ToolFixture {
    pub fn new() -> ToolFixture {
        let place = SecretsFixture::enter();
        let tool = place.world.program(Path::new(env!("CARGO_BIN_EXE_takumi-secrets")), 0o755);
        ToolFixture { place, tool }
    }

    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Ended {
        self.run_with("", words)
    }

    /// Nothing that it says holds the value or the private key, whatever it is asked for.
    #[track_caller]
    fn run_with(&self, input: &str, words: &[&str]) -> Ended {
        let mut command = Command::new(&self.tool);
        command.args(words).env_clear().current_dir(&self.place.world.scratch);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have refused before it read anything.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let said = Ended::from(child.wait_with_output().unwrap());
        let keys = fs::read_to_string(self.place.path(".env.keys")).unwrap_or_default();
        let keys = keys.lines().filter_map(|line| line.split_once('=')).map(|(_, key)| key.trim_matches('"'));
        for secret in keys.chain([SECRET]) {
            assert!(!said.text().contains(secret), "{said:?}");
        }
        said
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.place.path(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.place.path(name)).unwrap().mode() & 0o7777
    }

    /// A start that reads FILE with the key in .env.keys.
    pub fn start(&self, file: &str) -> crate::support::StartResult {
        let path = self.place.path(file);
        let key = if file == ".env" { "DOTENV_PRIVATE_KEY_FILE" } else { "DOTENV_PRIVATE_KEY_PRODUCTION_FILE" };
        self.place.start().with("TAKUMI_ENV_FILE", path).with(key, self.place.path(".env.keys")).run()
    }

    /// Only these files are left: no half-written one.
    #[track_caller]
    fn holds(&self, names: &[&str]) {
        let found = fs::read_dir(&self.place.world.scratch).unwrap().map(|entry| entry.unwrap().file_name());
        let found: Vec<_> = found.filter(|name| name.to_str().unwrap().contains(".env")).collect();
        assert_eq!(found.len(), names.len(), "{found:?}");
    }
}

#[test]
fn a_person_comes_from_nothing_to_a_secret_of_the_apps() {
    require!(namespaces);
    let desk = ToolFixture::new();
    desk.run(&["key", ".env"]).done();
    assert_eq!((desk.mode(".env.keys"), desk.mode(".env")), (0o600, 0o600));
    desk.run_with(&format!("{SECRET}\n"), &["set", ".env", "HF_TOKEN"]).done();
    assert!(!desk.read(".env").contains(SECRET));
    assert!(desk.run(&["check", ".env"]).done().contains("HF_TOKEN: encrypted"));
    desk.start(".env").ran().has("HF_TOKEN", SECRET);
    // Again: the value is another, the line is the same.
    desk.run_with("other", &["set", ".env", "HF_TOKEN"]).done();
    desk.start(".env").ran().has("HF_TOKEN", "other");
    desk.run(&["key", ".env"]).refused(&["DOTENV_PUBLIC_KEY"]);
    desk.holds(&[".env", ".env.keys"]);
}

#[test]
fn encrypting_keeps_everything_but_the_values() {
    require!(namespaces);
    let desk = ToolFixture::new();
    let before = format!(
        "# head\r\n\r\nexport A={SECRET} # tail\r\nB='single $HOME'\r\nC=\"two\r\nlines\"\r\n  D = `tick` \r\nE=\r\n# end"
    );
    desk.place.owned_file(".env", &before, 4321, 0o640);
    desk.run(&["key", ".env"]).done();
    let named = desk.run(&["encrypt", ".env", "A"]).done();
    assert_eq!(named, "A: encrypted\n");
    let one = desk.read(".env");
    assert!(!one.contains(SECRET) && one.contains("B='single $HOME'"), "{one}");
    let rest = desk.run(&["encrypt", ".env"]).done();
    assert_eq!(rest, "B: encrypted\nC: encrypted\nD: encrypted\nE: encrypted\n");
    let after = desk.read(".env");
    for kept in [
        "# head\r\n\r\nexport A=encrypted:", " # tail\r\nB='encrypted:", "'\r\nC=\"encrypted:",
        "\"\r\n  D = `encrypted:", "\r\nE=encrypted:", "\r\n# end",
    ] {
        assert!(after.contains(kept), "{kept:?} is not in {after}");
    }
    let line_of = |text: &str, name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert_eq!(line_of(&one, "A=enc"), line_of(&after, "A=enc"), "what was encrypted is encrypted again");
    let meta = fs::metadata(desk.place.path(".env")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (4321, 4321, 0o640));
    let ended = desk.start(".env").ran();
    ended.has("A", SECRET).has("B", "single $HOME").has("C", "two\nlines").has("D", "tick").has("E", "");
    desk.run(&["encrypt", ".env", "MISSING"]).refused(&["MISSING"]);
    assert_eq!(desk.read(".env"), after);
}

#[test]
fn a_rotation_keeps_the_values_and_retires_the_key() {
    require!(namespaces);
    let desk = ToolFixture::new();
    desk.place.file(".env.production", include_str!("vectors/env.production"));
    let old = include_str!("vectors/env.keys");
    desk.place.owned_file(".env.keys", old, 0, 0o644);
    desk.run(&["check", ".env.production"]).done();
    assert!(desk.run(&["rotate", ".env.production"]).done().contains("21 values"));
    assert_eq!(desk.mode(".env.keys"), 0o600, "others may read the new key");
    let old_key = crate::values::key_of(old);
    assert!(!desk.read(".env.keys").contains(&old_key));
    let literal: serde_json::Value = serde_json::from_str(include_str!("vectors/expected_literal.json")).unwrap();
    let mut ended = desk.start(".env.production").ran();
    for (name, value) in literal.as_object().unwrap() {
        ended = ended.has(name, value.as_str().unwrap());
    }
    desk.place.owned_file(".env.keys", old, 0, 0o600);
    desk.run(&["check", ".env.production"]).refused(&["ASCII", "does not belong"]);
    let file = desk.read(".env.production");
    desk.run(&["rotate", ".env.production"]).refused(&["does not belong"]);
    assert_eq!(desk.read(".env.production"), file, "a rotation that was refused changed the file");
}

#[test]
fn a_check_finds_what_is_plain_and_what_init_refuses() {
    require!(namespaces);
    let desk = ToolFixture::new();
    let lines = [
        ("API_KEY=", "API_KEY"),
        ("MY_PASSWORD='", "MY_PASSWORD"),
        ("DATABASE=postgres://user:", "DATABASE"),
        ("X: ", "X"),
        ("LD_PRELOAD=", "LD_PRELOAD"),
        ("TAKUMI_LOG=", "TAKUMI_LOG"),
        ("RUN=$(id)", "RUN"),
        ("BROKEN=encrypted:AAAA", "BROKEN"),
    ];
    for (line, name) in lines {
        fs::write(desk.place.path(".env"), "HARMLESS=1\n").unwrap();
        let _ = fs::remove_file(desk.place.path(".env.keys"));
        desk.run(&["key", ".env"]).done();
        desk.run(&["check", ".env"]).done();
        let end = if line.ends_with('\'') { "'" } else { "@host/" };
        let text = format!("{}\n{line}{SECRET}{end}\n", desk.read(".env"));
        fs::write(desk.place.path(".env"), text).unwrap();
        desk.run(&["check", ".env"]).refused(&[".env:6", name]);
    }
    for wrong in [format!("A={SECRET}\nA={SECRET}\n"), format!("{SECRET} x\n"), format!("A='{SECRET}\n")] {
        fs::write(desk.place.path(".env"), &wrong).unwrap();
        for verb in ["check", "encrypt", "rotate"] {
            desk.run(&[verb, ".env"]).refused(&[".env:"]);
        }
        assert_eq!(desk.read(".env"), wrong);
    }
}

#[test]
fn it_says_as_much_as_it_is_asked_to() {
    require!(namespaces);
    let desk = ToolFixture::new();
    desk.run(&["key", ".env"]).done();
    let said = |level: &str| {
        let mut command = Command::new(&desk.tool);
        command.args(["check", ".env"]).env_clear().env("TAKUMI_LOG", level).current_dir(&desk.place.world.scratch);
        run(&mut command)
    };
    assert_eq!(said("info").ends_with(0).stderr, "");
    let debug = said("debug").ends_with(0).stderr;
    assert_eq!(debug, "takumi-secrets: debug: DOTENV_PRIVATE_KEY comes from .env.keys\n");
    fs::remove_file(desk.place.path(".env")).unwrap();
    assert!(said("error").ends_with(1).stderr.starts_with("takumi-secrets: cannot read .env: "));
    assert_eq!(said("off").ends_with(1).stderr, "");
}

#[test]
fn a_name_that_a_file_may_not_set_is_not_set() {
    require!(namespaces);
    let desk = ToolFixture::new();
    desk.run(&["key", ".env"]).done();
    for name in ["PATH", "LD_PRELOAD", "https_proxy", "TAKUMI_LOG", "DOTENV_PUBLIC_KEY", "A B", "", "A=B", "A\nB", "é"]
    {
        let before = desk.read(".env");
        desk.run_with(SECRET, &["set", ".env", name]).refused(&["is not a name"]);
        assert_eq!(desk.read(".env"), before, "{name}");
    }
    for value in ["", "\n", "a\0b", &"x".repeat(200_000)] {
        desk.run_with(value, &["set", ".env", "NAME"]).refused(&["NAME"]);
    }
}

/// As an ordinary user whose folder is closed: nothing is written, not even half of it.
#[test]
fn a_write_that_fails_leaves_everything_as_it_was() {
    require!(namespaces, setpriv);
    let desk = ToolFixture::new();
    desk.run(&["key", ".env"]).done();
    let (file, keys) = (desk.read(".env"), desk.read(".env.keys"));
    for name in [".env", ".env.keys"] {
        fs::set_permissions(desk.place.path(name), Permissions::from_mode(0o666)).unwrap();
    }
    let rotate = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "--"]).arg(&desk.tool).args(["rotate", ".env"]);
        run(command.env_clear().current_dir(&desk.place.world.scratch)).code
    };
    // Root's files stay root's: who cannot keep the owner does not replace them, in an open folder either.
    for mode in [0o755, 0o777] {
        fs::set_permissions(&desk.place.world.scratch, Permissions::from_mode(mode)).unwrap();
        assert_eq!(rotate(), 1, "{mode:o}");
        desk.holds(&[".env", ".env.keys"]);
        assert_eq!((desk.read(".env"), desk.read(".env.keys")), (file.clone(), keys.clone()));
    }
    for name in [".env", ".env.keys"] {
        std::os::unix::fs::chown(desk.place.path(name), Some(1000), Some(1000)).unwrap();
    }
    assert_eq!(rotate(), 0);
    assert!(desk.read(".env") != file && desk.read(".env.keys") != keys);
}
