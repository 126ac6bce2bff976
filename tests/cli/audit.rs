//! `--trace audit`: a command is run, watched, and held against what is declared.

use std::fs;

use crate::world::World;

fn world() -> World {
    let world = World::new();
    for name in ["a", "b", "unused"] {
        world.write(name, "1\n");
    }
    world.write("old", "x");
    world
}

const SCRIPT: &str = "cat a b; [ -e missing ] || echo x > made; ls d 2>/dev/null; rm old; echo y > declared";

fn audit(world: &World, options: &[&str]) -> Vec<String> {
    let words = ["run", "--trace", "audit"].iter().chain(options).chain(&["--", "/bin/sh", "-c", SCRIPT]);
    let outcome = world.fleche(words).run();
    assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "1\n1\n"), "{}", outcome.stderr());
    let of_the_system = |line: &&str| line.contains("of the system");
    let stderr = outcome.stderr();
    stderr.lines().filter(|line| !of_the_system(line)).map(str::to_owned).collect()
}

#[test]
fn what_was_read_and_written_beside_the_declaration_is_told() {
    let world = world();
    assert_eq!(
        audit(&world, &["-i", "a", "-i", "unused", "-o", "declared"]),
        [
            "fleche: audit: read b",
            "fleche: audit: looked for d",
            "fleche: audit: looked for missing",
            "fleche: audit: wrote made",
            "fleche: audit: removed old",
            "fleche: audit: did not touch unused",
            "fleche: audit: as flags: -i b -i d -i missing -o made -o old",
            "fleche: audit: as a rule: inputs = [\"b\", \"d\", \"missing\"]",
            "fleche: audit: as a rule: outputs = [\"made\", \"old\"]",
        ]
    );
}

#[test]
fn an_audited_command_is_always_run_and_stored_by_its_declaration() {
    let world = world();
    let tool = world.counted("tool", "cat a");
    let run = |options: &[&str]| {
        world.fleche(["run", "-i", "a", "-i", "tool"].iter().chain(options)).arg("--").arg(&tool).run().stdout()
    };
    for executions in 1..3 {
        assert_eq!(run(&["--trace", "audit"]), "1\n");
        assert_eq!(world.executions("tool"), executions);
    }
    assert_eq!(run(&[]), "1\n");
    assert_eq!(world.executions("tool"), 2);
    world.fleche(["table", "--columns", "grade"]).prints("grade\ndeclared\n");
}

#[test]
fn a_command_that_keeps_to_its_declaration_is_praised() {
    let world = World::new();
    world.write("d/a", "1\n");
    let outcome = world.fleche(["run", "--trace", "audit", "-i", "d", "--", "cat", "d/a"]).run();
    let rest: Vec<String> =
        outcome.stderr().lines().filter(|line| !line.contains("of the system")).map(str::to_owned).collect();
    assert_eq!((outcome.stdout(), rest), ("1\n".to_owned(), Vec::new()));
}

#[test]
fn the_audit_is_written_as_json() {
    let world = world();
    let told = audit(&world, &["-i", "a", "-o", "declared", "--audit-json", "audit.json"]);
    assert!(told.is_empty(), "{told:?}");
    let object: serde_json::Value = serde_json::from_slice(&fs::read(world.path("audit.json")).unwrap()).unwrap();
    assert_eq!(object["read"], serde_json::json!(["b"]));
    assert_eq!(object["written"], serde_json::json!(["made"]));
    assert_eq!(object["removed"], serde_json::json!(["old"]));
    assert_eq!(object["declare"]["outputs"], serde_json::json!(["made", "old"]));
    assert!(object["system"].as_array().unwrap().len() > 3);
    let failing = ["--audit-json", "nowhere/audit.json"];
    let said = audit(&world, &["-i", "a", "-o", "declared", failing[0], failing[1]]).join("\n");
    assert!(said.contains("cannot write `nowhere/audit.json`"), "{said}");
}

#[test]
fn what_could_not_be_stored_is_told_too() {
    let world = World::new();
    world.write("a", "1\n");
    let words = ["run", "--trace", "audit", "-i", "a", "--", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9; cat a"];
    let outcome = world.fleche(words).run();
    let line = "fleche: audit: could not be stored if it were watched: it used the network: 127.0.0.1:9\n";
    assert!(outcome.stderr().contains(line), "{}", outcome.stderr());
}
