//! What identifies a call: the command's parts, and what the command could see.
//!
//! [`command()`] says what counts of the command itself, [`observe()`] what it sees where it was said that it
//! looks, and [`confirm`], after the run, whether all that was still so. A false hit is silent and a
//! false miss is not, so everything here counts too much rather than too little.

mod analysis;
mod command;
mod content;
mod environment;
mod facets;
mod filters;
#[cfg(fuzzing)]
pub mod fuzzing;
mod inputs;
mod inventory;
mod look;
mod observe;
mod pattern;
mod place;
mod present;
mod program;
mod scratch;
mod script;
mod traced;
pub mod volatile;
mod walk;

#[cfg(test)]
mod tests;

pub use command::{
    DESCRIPTORS, FORMAT, FORMAT_PART, LIMITS, RIGHTS, STDIN, STREAMS, Surroundings, TRUSTED_FROM, VOLATILE, command,
    redacted_arguments, stdin_name, streams_name, with_streams,
};
pub use environment::{missing_requirement, variable, variables, visible_environment};
pub use observe::{ObserveError, Observed, confirm, confirm_file, is_worth_remembering, observe};
pub use pattern::is_glob;
pub use place::{lexical, recorded};
pub use present::observed_now;
pub use program::resolve_program;
pub use scratch::{Scratch, kept};
pub use traced::{Ended, from_trace};
