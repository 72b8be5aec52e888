//! What the probe's `state` shows.

use serde_json::Value;
use std::ops::Deref;

/// Indexed by the names in `tests/programs/probe.rs`.
#[derive(Debug)]
pub struct State(Value);

impl State {
    pub fn parse(line: &str) -> Self {
        State(serde_json::from_str(line).unwrap_or_else(|_| panic!("no state: {line:?}")))
    }

    /// The program's own name included.
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        self.texts("arguments")
    }

    pub fn environment(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let split = |text: Vec<u8>| {
            let equal = text.iter().position(|byte| *byte == b'=').expect("a name and a value");
            (text[..equal].to_vec(), text[equal + 1..].to_vec())
        };
        self.texts("environment").into_iter().map(split).collect()
    }

    pub fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.environment().into_iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value)
    }

    fn texts(&self, name: &str) -> Vec<Vec<u8>> {
        self[name].as_array().unwrap().iter().map(|text| bytes(text.as_str().unwrap())).collect()
    }
}

impl Deref for State {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap()).collect()
}
