//! The edge to the operating system: the only place that is unsafe and that knows the clock.

pub mod clock;
