//! Many at once: whatever else goes on in a cache, every command gives what it gives bare.

mod holders;
mod identical;
mod mixed;
mod starter;
#[path = "../cli/world.rs"]
#[allow(dead_code)]
mod world;
mod writers;

/// Whether the long form was asked for.
fn is_long() -> bool {
    std::env::var_os("FLECHE_LONG").is_some()
}

/// One number or another, as the long form was asked for or not.
fn of_form(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}
