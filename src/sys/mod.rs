//! The edge to the operating system: the only place that is unsafe and that knows the clock.

pub mod arena;
pub mod attributes;
pub mod beneath;
pub mod bystanders;
pub mod calls;
pub mod child;
pub mod clock;
pub mod confinement;
pub mod descriptor;
pub mod entry;
pub mod git;
pub mod hash;
pub mod holders;
pub mod identity;
pub mod image;
pub mod inherited;
pub mod interruptions;
pub mod limits;
pub mod lock;
pub mod look;
pub mod machine;
pub mod message;
#[cfg(feature = "http")]
pub mod names;
pub mod plain;
pub mod process;
pub mod project;
pub mod seccomp;
pub mod sieve;
pub mod signal;
pub mod socket;
mod stack;
pub mod stamp;
pub mod temporary;
pub mod threads;
pub mod tracee;
