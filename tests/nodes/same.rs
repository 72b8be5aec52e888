//! The two scanners give the same answers.

use crate::node::{Node, SLOWEST};
use crate::scanners::{both, installed};
use std::path::PathBuf;
use takumi_init::for_tests::scan::Job;
use takumi_test::require;

/// Twelve nodes with modules of Python's own library and of Bandit's in them, 897 in all; fewer where there are fewer.
fn nodes() -> Vec<Node> {
    let python = installed().join("bin/python3");
    let program = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let output = std::process::Command::new(python).args(["-I", "-c", program]).output().unwrap();
    let library = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let mut files = Vec::new();
    let mut waiting = vec![library.clone(), installed().join("lib")];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let of_others = ["dist-packages", "test", "tests"].contains(&name);
            let of_others = of_others || path == library.join("site-packages");
            if path.is_dir() && !path.is_symlink() && !of_others {
                waiting.push(path);
            } else if name.ends_with(".py") && path.is_file() {
                files.push(path);
            }
        }
    }
    // Each directory's in turn, so that all kinds are among the first.
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let nodes: Vec<Node> = (0..12).map(|_| Node::of(&[])).collect();
    // As with nodes: one has most of it.
    for (number, path) in files.iter().take(897).enumerate() {
        let node = if number < 500 { 0 } else { number % nodes.len() };
        nodes[node].write(path.strip_prefix("/").unwrap(), &std::fs::read(path).unwrap());
    }
    nodes
}

#[test]
fn bandit_and_banditrs_find_the_same_in_pythons_own_library() {
    require!(pip3);
    let nodes = nodes();
    let trees: Vec<_> = nodes.iter().map(Node::tree).collect();
    let jobs: Vec<Job> = trees.iter().map(|tree| Job { tree, files: (0..tree.files.len()).collect() }).collect();
    let count: usize = jobs.iter().map(|job| job.files.len()).sum();
    let [bandit, banditrs] = both().map(|(_, scanner)| scanner.run(&jobs, SLOWEST, &|| false));
    let mut issues = 0;
    for (number, (one, other)) in bandit.into_iter().zip(banditrs).enumerate() {
        let ((one, unscanned), (other, unscanned_too)) = (one.unwrap(), other.unwrap());
        assert_eq!(unscanned, unscanned_too, "node {number}");
        let named = |file: usize| String::from_utf8_lossy(&trees[number].files[file].path).into_owned();
        let missed = one.iter().find(|issue| !other.contains(issue));
        assert!(missed.is_none(), "only Bandit tells {missed:?} in {:?}", missed.map(|issue| named(issue.file)));
        assert_eq!(one, other, "node {number}");
        issues += one.len();
    }
    assert!(issues > 300, "{issues} issues of {count} files are too few to compare");
}
