//! What `--report` sees in a container.

use crate::engine::{Container, Image, engine, fresh_name};
use crate::start::Start;
use takumi_init::posture::finding::{Finding, Status};
use takumi_init::posture::report::Report;

/// A container that holds both shields, as far as a rootful engine can.
pub fn hardened(image: &Image) -> Start<'_> {
    with_tmpfs(
        image,
        &["/tmp:rw,nosuid,nodev,noexec,size=64m,mode=1777", "/run:rw,nosuid,nodev,noexec,size=16m,mode=755"],
    )
}

/// The same with other tmpfs.
pub fn with_tmpfs<'a>(image: &'a Image, tmpfs: &[&str]) -> Start<'a> {
    let start = Start::bare(image).options(&["--ulimit", "core=0"]).env("TAKUMI_TMPFS", "/tmp:/run");
    tmpfs.iter().fold(start.env("TAKUMI_BAKED", "/app"), |start, each| start.options(&["--tmpfs", each]))
}

/// A report, how it ended, and its words.
pub struct Seen {
    pub code: i32,
    pub report: Report,
    pub json: String,
    pub stderr: String,
}

/// Runs a container to its end without the engine's daemon keeping its log: (code, stdout, stderr).
pub fn run(start: &Start) -> (i32, String, String) {
    // Removed on any way out.
    let container = Container { name: fresh_name("shields") };
    let words = start.words(&container.name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = engine(&[&["run"], words.as_slice()].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
pub fn report(start: Start) -> Seen {
    let (code, json, stderr) = run(&start.command(&["--report", "--json"]));
    let report = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: '{json}' '{stderr}'"));
    Seen { code, report, json, stderr }
}

impl Seen {
    #[track_caller]
    pub fn finding(&self, id: &str) -> &Finding {
        let mut found = self.report.findings.iter().filter(|finding| finding.id == id);
        let finding = found.next().unwrap_or_else(|| panic!("no {id} in {}", self.json));
        assert!(found.next().is_none(), "{id} stands twice in {}", self.json);
        finding
    }

    #[track_caller]
    pub fn held(&self, ids: &[&str]) -> &Self {
        for id in ids {
            let finding = self.finding(id);
            assert_eq!(finding.status, Status::Held, "{finding:?}");
        }
        self
    }

    #[track_caller]
    pub fn missing(&self, id: &str, detail: &str) -> &Self {
        self.is(id, Status::Missing, detail)
    }

    #[track_caller]
    pub fn is(&self, id: &str, status: Status, detail: &str) -> &Self {
        let finding = self.finding(id);
        assert_eq!((finding.status, &finding.detail[..]), (status, detail), "{finding:?}");
        let well = matches!(status, Status::Held | Status::Skipped);
        assert_eq!(finding.fix.is_some(), !well, "{finding:?}");
        self
    }
}
