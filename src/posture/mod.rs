//! Judgement only: what was observed becomes findings. Nothing here reads or changes anything.

pub mod finding;
pub mod report;
