//! What a restart pays for nodes that did not change.

use crate::world::{Kept, World};
use std::time::{Duration, Instant};

/// Twelve nodes with a thousand files of Python's own library.
const TWELVE: &str = "import itertools, pathlib, shutil, sysconfig
library = pathlib.Path(sysconfig.get_path('stdlib'))
packages = pathlib.Path('/opt/bandit')
files = itertools.islice(itertools.chain(library.rglob('*.py'), packages.rglob('*.py')), 1000)
count = 0
for number, file in enumerate(files):
    node = pathlib.Path('/data/custom_nodes/node%d' % (number % 12))
    node.mkdir(exist_ok=True)
    shutil.copyfile(file, node / ('%d.py' % number))
    count += 1
assert count == 1000, count
";

#[test]
fn a_restart_with_a_thousand_known_files_costs_a_twentieth_of_their_scan() {
    let Some(world) = World::new() else { return };
    let kept = Kept::with(&world, &[]);
    kept.shell(&format!("python3 - <<'END'\n{TWELVE}END\n"));
    let timed = |scan: &str| {
        let began = Instant::now();
        let container = kept.start().env("TAKUMI_SCAN", scan).command(&["true"]).spawn();
        while container.inspect(".State.Running") == "true" {
            assert!(began.elapsed() < Duration::from_secs(400), "no end: {:?}", container.logs());
            std::thread::sleep(Duration::from_millis(10));
        }
        let took = began.elapsed();
        let ended = container.end();
        assert_eq!(ended.code, 0, "{ended:?}");
        (took, ended)
    };
    let (first, ended) = timed("warn");
    assert!(!ended.stderr.contains("not scanned"), "{}", ended.stderr);
    assert!(ended.stderr.contains("node0: not approved"), "{}", ended.stderr);
    let mut off: Vec<Duration> = (0..3).map(|_| timed("off").0).collect();
    let mut again: Vec<Duration> = (0..3).map(|_| timed("warn").0).collect();
    off.sort();
    again.sort();
    let (scan, digest) = (first.saturating_sub(off[1]), again[1].saturating_sub(off[1]));
    println!("scan {scan:?}, digests {digest:?}: {:.3}", digest.as_secs_f64() / scan.as_secs_f64());
    assert!(digest.as_secs_f64() <= 0.05 * scan.as_secs_f64(), "scan {scan:?}, digests {digest:?}, {again:?}, {off:?}");
}
