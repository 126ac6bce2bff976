//! `fleche config`: the lists that fleche goes by.

use crate::world::World;

#[test]
fn the_lists_are_printed_a_name_a_line() {
    let world = World::new();
    let variables = world.fleche(["config", "env"]).run();
    assert!(variables.stdout().starts_with("AGENT_ID\n"), "{}", variables.stdout());
    assert!(
        variables.stdout().contains("\nSSH_*\n") || variables.stdout().contains("\nSSH_"),
        "{}",
        variables.stdout()
    );
    let paths = world.fleche(["config", "trace"]).run();
    assert!(paths.stdout().starts_with("/proc\n/sys\n/dev\n"), "{}", paths.stdout());
    assert!(!world.cache().exists(), "questions make no cache");
}

#[test]
fn a_list_has_a_version() {
    let world = World::new();
    let text = world.fleche(["config", "trace", "--json"]).run().stdout();
    assert!(
        text.starts_with("{\n  \"paths\": [\n    \"/proc\",\n") && text.ends_with("],\n  \"version\": 2\n}\n"),
        "{text}"
    );
}

#[test]
fn an_unknown_list_is_a_usage_error() {
    let world = World::new();
    assert_eq!(world.fleche(["config", "nothing"]).run().code(), 2);
    assert_eq!(world.fleche(["config"]).run().code(), 2);
}
