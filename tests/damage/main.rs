//! A cache that is damaged in every way: each run is right, and the run after it is a hit again.
//!
//! `cargo test --test damage` takes a sample of the bytes; with `FLECHE_LONG=1` every byte is damaged.

mod bytes;
mod catalogue;
mod copies;
mod foreign;
#[path = "../cli/form.rs"]
mod form;
mod harm;
mod kinds;
mod many;
#[path = "../cli/parts.rs"]
mod parts;
mod places;
mod questions;
mod rights;
mod scene;
mod sweep;
mod versions;
#[path = "../cli/world.rs"]
#[allow(dead_code)]
mod world;
