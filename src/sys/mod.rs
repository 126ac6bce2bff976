//! The edge to the operating system: the only place that is unsafe and that knows the clock.

pub mod arena;
pub mod clock;
pub mod descriptor;
pub mod entry;
pub mod identity;
pub mod lock;
pub mod process;
pub mod signal;
pub mod stamp;
