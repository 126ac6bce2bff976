//! fleche remembers what a command did, and replays it when the same command meets the same inputs.
//!
//! The layers and what each may use are listed in ARCHITECTURE.md and checked by `tests/cli/tidy.rs`.

pub mod cli;
mod cmd;
mod config;
mod engine;
pub mod error;
mod exec;
#[cfg(fuzzing)]
pub mod fuzzing;
mod key;
#[cfg(test)]
mod laws;
pub mod model;
mod query;
pub mod store;
pub mod sys;
mod ui;

pub use cli::run as start;
pub use sys::arena::Arena as Allocator;
