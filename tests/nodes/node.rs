//! A node made by a test, and what the scanner says of it.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;
use takumi_init::for_tests::scan::{ScanJob, ScanOutcome, Scanner};
use takumi_init::for_tests::tree::{File, FileKind, Tree};
use takumi_test::folder::Folder;

/// Its directory.
pub struct TestNode(pub Folder);

impl TestNode {
    /// With these files.
    pub fn of(files: &[(&str, &str)]) -> TestNode {
        let node = TestNode(Folder::new());
        for (name, content) in files {
            node.write(name, content.as_bytes());
        }
        node
    }

    pub fn write(&self, name: impl AsRef<OsStr>, content: &[u8]) {
        let path = self.0.join(name.as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// As it lies there, with everything that ends in `.py`.
    pub fn tree(&self) -> Tree {
        let mut files = Vec::new();
        let mut waiting = vec![self.0.0.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let status = std::fs::symlink_metadata(&path).unwrap();
                if status.is_dir() {
                    waiting.push(path);
                } else if path.as_os_str().as_bytes().ends_with(b".py") {
                    files.push(file(&self.0.0, &path, &status));
                }
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let root: OwnedFd = std::fs::File::open(&self.0.0).unwrap().into();
        Tree { name: CString::new("node").unwrap(), root, files, digest: None, faults: Vec::new() }
    }
}

fn file(root: &Path, path: &Path, status: &std::fs::Metadata) -> File {
    let kind = match status.file_type() {
        kind if kind.is_file() => FileKind::Plain { executable: false, magic: [0; 8] },
        kind if kind.is_symlink() => {
            FileKind::Link(std::fs::read_link(path).unwrap().into_os_string().into_encoded_bytes())
        }
        kind => {
            assert!(kind.is_fifo());
            FileKind::Other
        }
    };
    let path = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    File { path, kind, size: status.len(), digest: [0; 32] }
}

/// A loaded machine takes its time. Before the runner's limit, so that a scanner that hangs is told apart from a test that does.
pub const SLOWEST: Duration = Duration::from_secs(100);

pub fn outcome(scanner: &Scanner, tree: &Tree) -> ScanOutcome {
    scanner.run(&[ScanJob { tree, files: (0..tree.files.len()).collect() }], SLOWEST, &|| false).remove(0)
}

/// `file:line test severity` of what was found, and `file: reason` of what was not scanned.
pub fn scan(scanner: &Scanner, node: &TestNode) -> (Vec<String>, Vec<String>) {
    let tree = node.tree();
    scan_of(outcome(scanner, &tree), &tree)
}

pub fn scan_of(outcome: ScanOutcome, tree: &Tree) -> (Vec<String>, Vec<String>) {
    let name = |index: usize| String::from_utf8_lossy(&tree.files[index].path).into_owned();
    let (issues, unscanned) = outcome.unwrap();
    let issue = |issue: &takumi_init::for_tests::scan::Issue| {
        let severity = issue.severity.map(|severity| format!(" {severity:?}")).unwrap_or_default();
        format!("{}:{} {}{severity}", name(issue.file), issue.line, issue.test_id)
    };
    (
        issues.iter().map(issue).collect(),
        unscanned.into_iter().map(|(file, reason)| format!("{}: {reason}", name(file))).collect(),
    )
}
