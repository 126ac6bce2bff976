//! Many at once: whatever else goes on in a cache, every command gives what it gives bare.

#[path = "../cli/form.rs"]
#[allow(dead_code)]
mod form;
mod holders;
mod identical;
mod mixed;
mod starter;
#[path = "../cli/world.rs"]
#[allow(dead_code)]
mod world;
mod writers;
