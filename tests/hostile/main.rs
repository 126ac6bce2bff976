//! Stores, files and projects that somebody made who means harm: nothing is written outside the root, memory is bounded, the
//! run is right.

mod canary;
mod forgery;
#[path = "../cli/form.rs"]
mod form;
mod imports;
mod outcomes;
mod path_sets;
mod projects;
mod races;
mod scene;
mod shown;
mod tally;
#[path = "../cli/world.rs"]
#[allow(dead_code)]
mod world;
