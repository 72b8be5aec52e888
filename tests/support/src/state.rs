//! What COMMAND wrote about itself, and whether it is weaker than it should be.

use std::collections::BTreeMap;
use std::path::Path;

/// The answers of `state_probe`, complete or not there at all.
#[derive(Clone, Debug)]
pub struct State(BTreeMap<String, String>);

/// How a state compares with the one that it should be; the texts name what differs.
#[derive(Debug, PartialEq)]
pub enum Compared {
    /// Equal or stronger.
    Held,
    /// What is looser than it should be.
    Weak(String),
    /// What COMMAND has and must never have.
    Leak(String),
}

impl State {
    /// Reads them, if `state_probe` has written its last line.
    pub fn read(path: &Path) -> Option<State> {
        let text = std::fs::read_to_string(path).ok()?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let state = State(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
        state.0.contains_key("end").then_some(state)
    }

    /// One answer, empty where there is none.
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// Equal or stronger than `base` is held. An identity or a capability that `base` lacks is a leak, every other
    /// difference that does not lock more is a weakness.
    pub fn compare(&self, base: &State) -> Compared {
        let (mut weak, mut leaks) = (Vec::new(), Vec::new());
        for (key, should) in &base.0 {
            let is = self.get(key);
            if is == should {
                continue;
            }
            let difference = format!("{key}: {is} instead of {should}");
            match key.strip_prefix("parent_").unwrap_or(key) {
                "uid" | "gid" | "groups" if words_beyond(is, should).contains(&"0") => leaks.push(difference),
                "effective" | "permitted" | "inheritable" | "ambient" if hex(is) & !hex(should) != 0 => {
                    leaks.push(difference);
                }
                "regained" if !words_beyond(is, should).is_empty() => leaks.push(difference),
                "effective" | "permitted" | "inheritable" | "ambient" | "regained" => {}
                "bounding" if hex(is) & !hex(should) == 0 => {}
                "securebits" if hex(should) & !hex(is) == 0 => {}
                "no_new_privs" | "seccomp" | "filters" if is > should.as_str() => {}
                "dumpable" if is < should.as_str() => {}
                "umask" if octal(should) & !octal(is) == 0 => {}
                "descriptors" | "open" | "settings" | "unlocked" if words_beyond(is, should).is_empty() => {}
                _ => weak.push(difference),
            }
        }
        match (leaks.is_empty(), weak.is_empty()) {
            (false, _) => Compared::Leak(leaks.join("; ")),
            (true, false) => Compared::Weak(weak.join("; ")),
            (true, true) => Compared::Held,
        }
    }
}

fn words_beyond<'a>(is: &'a str, should: &str) -> Vec<&'a str> {
    is.split(' ').filter(|word| !word.is_empty() && !should.split(' ').any(|other| other == *word)).collect()
}

/// What cannot be read counts as everything: an unknown set is not an empty one.
fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or(u64::MAX)
}

fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(uid: &str, bounding: &str, no_new_privs: &str, umask: &str, regained: &str) -> State {
        let pairs = [("uid", uid), ("bounding", bounding), ("no_new_privs", no_new_privs), ("umask", umask)];
        let pairs = pairs.into_iter().chain([("regained", regained)]);
        State(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn stronger_is_held_and_everything_else_is_not() {
        let base = state("1000 1000 1000 1000", "c0", "0", "0022", "");
        assert_eq!(state("1000 1000 1000 1000", "0", "1", "0027", "").compare(&base), Compared::Held);
        for weak in [
            state("1000 1000 1000 1000", "1c0", "0", "0022", ""),
            state("1000 1000 1000 1000", "?", "0", "0022", ""),
            state("1000 1000 1000 1000", "c0", "0", "0002", ""),
            state("1001 1001 1001 1001", "c0", "0", "0022", ""),
        ] {
            assert!(matches!(weak.compare(&base), Compared::Weak(_)), "{weak:?}");
        }
        for leak in [
            state("1000 1000 0 1000", "c0", "0", "0022", ""),
            state("1000 1000 1000 1000", "c0", "0", "0022", "euid uid"),
        ] {
            assert!(matches!(leak.compare(&base), Compared::Leak(_)), "{leak:?}");
        }
        let locked = state("1000 1000 1000 1000", "0", "1", "0022", "");
        assert!(matches!(base.compare(&locked), Compared::Weak(_)));
    }
}
