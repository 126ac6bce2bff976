//! fleche remembers what a command did, and replays it when the same command meets the same inputs.
//!
//! The layers and what each may use are listed in ARCHITECTURE.md and checked by `tests/cli/tidy.rs`.

pub mod error;
pub mod model;
pub mod sys;
