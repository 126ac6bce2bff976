//! Many at once: whatever else goes on in a cache, every command gives what it gives bare.

#[path = "../cli/form.rs"]
mod form;
mod holders;
mod identical;
mod mixed;
#[path = "../cli/parts.rs"]
mod parts;
mod starter;
#[path = "../cli/world.rs"]
#[allow(dead_code)]
mod world;
mod writers;
