//! Every system call of fleche's fails once: the command must not notice, and nothing may be lost.

mod calls;
mod compound;
#[path = "../cli/form.rs"]
mod form;
mod injector;
mod limits;
mod operations;
#[path = "../cli/parts.rs"]
mod parts;
mod power_cut;
mod random;
mod registers;
mod steps;
mod sweep;
mod ward;
#[allow(dead_code)]
#[path = "../cli/world.rs"]
mod world;

#[test]
fn whatever_fails_the_command_does_what_it_does_bare() {
    sweep::all(&[
        "first open",
        "miss",
        "miss, watched",
        "hit",
        "hit, outputs gone",
        "hit, other outputs",
        "hit, watched",
        "refresh",
    ]);
}

#[test]
fn whatever_fails_a_change_of_caches_loses_nothing() {
    sweep::all(&["gc", "tag", "evict", "reindex", "transfer", "export", "import"]);
}
