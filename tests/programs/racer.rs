//! The app's user, who exchanges two names again and again while a walk changes owners around them.
//!
//! `racer PAUSE COUNTER BAIT TRAP SENTINEL...`: PAUSE microseconds long the bait lies open after each exchange there and back, so
//! that a walk which only refuses the trap gets through most times; 0 is no rest at all. COUNTER gets two little-endian u64, the exchanges made in all and those made while
//! the sentinels' owners differed from one another, which is while a walk was under way.
#![allow(clippy::unwrap_used)]

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

/// Without a rest: exchanges for each look at the sentinels, which takes as long as some of them.
const RESTLESS: u64 = 8;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let pause = Duration::from_micros(arguments.next().unwrap().to_str().unwrap().parse().unwrap());
    let turns = if pause.is_zero() { RESTLESS } else { 1 };
    let counter = File::options().write(true).open(arguments.next().unwrap()).unwrap();
    let mut path = || CString::new(arguments.next().unwrap().into_vec()).unwrap();
    let (bait, trap) = (path(), path());
    let sentinels: Vec<File> = arguments.map(|path| File::open(path).unwrap()).collect();
    let (mut all, mut inside) = (0_u64, 0_u64);
    loop {
        for _ in 0..turns {
            exchange(&bait, &trap);
            exchange(&bait, &trap);
        }
        all += 2 * turns;
        let mut owners = sentinels.iter().map(|file| file.metadata().unwrap().uid());
        let first = owners.next();
        if owners.any(|owner| Some(owner) != first) {
            inside += 2 * turns;
        }
        let mut record = [0; 16];
        record[..8].copy_from_slice(&all.to_le_bytes());
        record[8..].copy_from_slice(&inside.to_le_bytes());
        counter.write_all_at(&record, 0).unwrap();
        let swapped = Instant::now();
        while swapped.elapsed() < pause {
            std::hint::spin_loop();
        }
    }
}

#[allow(unsafe_code)]
fn exchange(one: &CString, other: &CString) {
    let here = libc::AT_FDCWD;
    // SAFETY: both names are NUL-terminated and live through the call.
    let done = unsafe { libc::renameat2(here, one.as_ptr(), here, other.as_ptr(), libc::RENAME_EXCHANGE) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
