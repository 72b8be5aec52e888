//! How much is tested: `TAKUMI_TEST_LEVEL`, which scripts/test.sh sets. Which tests belong to a level stands in .config/nextest.toml; here
//! a test asks how long its own loops are.

/// The three commands of scripts/test.sh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// scripts/test.sh: minutes.
    Quick,
    /// --all: what CI runs. Plain `cargo test` too.
    All,
    /// --full: hours.
    Full,
}

/// The level of this run.
pub fn level() -> Level {
    match std::env::var("TAKUMI_TEST_LEVEL").as_deref() {
        Ok("quick") => Level::Quick,
        Ok("all") | Err(_) => Level::All,
        Ok("full") => Level::Full,
        Ok(other) => panic!("TAKUMI_TEST_LEVEL={other}: expected quick, all or full"),
    }
}

/// Whether the long versions run.
pub fn full() -> bool {
    level() == Level::Full
}
