//! What SECURITY.md promises: no secret leaves the command, and nobody else reaches the cache.
//!
//! Each suite tells in one line on standard error what it counted, also where everything is well.

mod canary;
mod catalogue;
mod forgotten;
#[path = "../cli/form.rs"]
mod form;
mod modes;
mod others;
mod planted;
mod privileged;
mod processes;
mod promises;
mod shared;
mod stage;
mod ways;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "../cli/world.rs"]
mod world;

use std::io::Write;

/// Says something that the test runner does not swallow.
fn tell(line: &str) {
    // In one write, so that lines of several tests do not mix.
    std::io::stderr().write_all(format!("secrets: {line}\n").as_bytes()).unwrap();
}
