//! The edge to the operating system: the only place that is unsafe and that knows the clock.

pub mod arena;
pub mod attributes;
pub mod beneath;
pub mod calls;
pub mod child;
pub mod clock;
pub mod descriptor;
pub mod entry;
pub mod git;
pub mod identity;
pub mod image;
pub mod inherited;
pub mod interruptions;
pub mod lock;
pub mod look;
pub mod machine;
pub mod message;
pub mod process;
pub mod seccomp;
pub mod sieve;
pub mod signal;
pub mod socket;
pub mod stamp;
pub mod temporary;
pub mod tracee;
