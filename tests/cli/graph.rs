//! `fleche graph`: which call made the inputs of which.

use crate::world::World;

/// A diamond: `make-a` writes `a`; `left` and `right` read it and write `l` and `r`; `join` reads both. And a call alone.
fn world() -> World {
    let world = World::new();
    for words in [
        &["-i", "seed", "-o", "a", "--", "sh", "-c", "echo a > a"][..],
        &["-i", "a", "-o", "l", "--", "sh", "-c", "sed s/a/l/ a > l"],
        &["-i", "a", "-o", "r", "--", "sh", "-c", "sed s/a/r/ a > r"],
        &["-i", "l", "-i", "r", "--", "cat", "l", "r"],
        &["--pure", "--", "echo", "alone"],
    ] {
        let outcome = world.fleche(["run"].iter().chain(words)).run();
        assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()), "{words:?}");
    }
    world
}

/// The short key of the one call with this argument.
fn key(world: &World, argument: &str) -> String {
    let found = world.fleche(["query", "--only", "--arg", argument]).run();
    assert_eq!(found.code(), 0, "{argument}");
    found.stdout()[..12].to_owned()
}

fn keys(world: &World) -> [String; 5] {
    ["echo a > a", "sed s/a/l/*", "sed s/a/r/*", "l", "alone"].map(|argument| key(world, argument))
}

#[test]
fn a_tree_has_what_made_the_inputs_below_each_call() {
    let world = world();
    let [a, left, right, join, alone] = keys(&world);
    let expected = format!(
        "{alone} echo alone\n\
         {join} cat l r\n\
         ├─ l: {left} sh -c 'sed s/a/l/ a > l'\n\
         │  └─ a: {a} sh -c 'echo a > a'\n\
         └─ r: {right} sh -c 'sed s/a/r/ a > r'\n\
         \x20  └─ a: {a} sh -c 'echo a > a'\n"
    );
    world.fleche(["graph"]).prints(&expected);
}

#[test]
fn what_was_shown_above_is_not_unfolded_again() {
    let world = World::new();
    world.shell("fleche run --pure -- echo grain > seed").prints("");
    for words in [
        &["-i", "seed", "-o", "a", "--", "cp", "seed", "a"][..],
        &["-i", "a", "-o", "l", "--", "sh", "-c", "sed s/g/l/ a > l"],
        &["-i", "a", "-o", "r", "--", "sh", "-c", "sed s/g/r/ a > r"],
    ] {
        world.fleche(["run"].iter().chain(words)).prints("");
    }
    world.fleche(["run", "-i", "l", "-i", "r", "--", "wc", "-c", "l", "r"]).run();
    let text = world.fleche(["graph", &key(&world, "r")]).run().stdout();
    let commands: Vec<&str> =
        text.lines().map(|line| line.split_once(": ").map_or_else(|| &line[13..], |(_, rest)| &rest[13..])).collect();
    assert_eq!(
        commands,
        [
            "wc -c l r",
            "sh -c 'sed s/g/l/ a > l'",
            "cp seed a",
            "echo grain",
            "sh -c 'sed s/g/r/ a > r'",
            "cp seed a (above)"
        ],
        "{text}"
    );
}

#[test]
fn keys_and_filters_choose_where_it_begins() {
    let world = world();
    let [a, left, ..] = keys(&world);
    let expected = format!("{left} sh -c 'sed s/a/l/ a > l'\n└─ a: {a} sh -c 'echo a > a'\n");
    world.fleche(["graph", &left]).prints(&expected);
    world.fleche(["graph", "--output", "l"]).prints(&expected);
    world.fleche(["graph", "--name", "none"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn graphviz_and_mermaid_get_the_same_edges() {
    let world = world();
    let [a, left, ..] = keys(&world);
    let mut nodes = [(&a, "sh -c 'echo a > a'"), (&left, "sh -c 'sed s/a/l/ a > l'")];
    nodes.sort();
    let dot: String = nodes.iter().map(|(key, command)| format!("  \"{key}\" [label=\"{command}\"];\n")).collect();
    world.fleche(["graph", &left, "--format", "dot"]).prints(&format!(
        "digraph fleche {{\n  rankdir=LR;\n  node [shape=box];\n{dot}  \"{a}\" -> \"{left}\" [label=\"a\"];\n}}\n"
    ));
    let mermaid: String = nodes.iter().map(|(key, command)| format!("  c{key}[\"{command}\"]\n")).collect();
    world
        .fleche(["graph", &left, "--format", "mermaid"])
        .prints(&format!("graph LR\n{mermaid}  c{a} -->|\"a\"| c{left}\n"));
}

#[test]
fn json_names_calls_and_edges_in_full() {
    let world = world();
    let outcome = world.fleche(["graph", "--format", "json"]).run();
    let graph: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(graph["calls"].as_array().unwrap().len(), 5);
    let digest = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let mut edges: Vec<(String, String)> = graph["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| (edge["path"].as_str().unwrap().to_owned(), edge["digest"].as_str().unwrap().to_owned()))
        .collect();
    edges.sort();
    let edge = |path: &str, text: &str| (path.to_owned(), digest(text));
    assert_eq!(edges, [edge("a", "a\n"), edge("a", "a\n"), edge("l", "l\n"), edge("r", "r\n")]);
}

#[test]
fn output_that_was_sent_to_a_file_leads_to_its_reader() {
    let world = World::new();
    world.shell("fleche run --pure -- echo hello > greeting").prints("");
    world.fleche(["run", "-i", "greeting", "--", "wc", "-c", "greeting"]).prints("6 greeting\n");
    let (echo, wc) = (key(&world, "hello"), key(&world, "-c"));
    world.fleche(["graph", &wc]).prints(&format!("{wc} wc -c greeting\n└─ greeting: {echo} echo hello\n"));
}

#[test]
fn of_several_that_made_the_same_bytes_the_one_that_wrote_the_path_is_named() {
    let world = World::new();
    world.fleche(["run", "-i", "x", "-o", "b", "--", "sh", "-c", "echo same > b"]).prints("");
    world.fleche(["run", "-i", "x", "-o", "c", "--", "sh", "-c", "echo same > c"]).prints("");
    world.fleche(["run", "--pure", "--", "echo", "same"]).prints("same\n");
    world.fleche(["run", "-i", "b", "--", "cat", "b"]).prints("same\n");
    let (maker, reader) = (key(&world, "echo same > b"), key(&world, "b"));
    world.fleche(["graph", &reader]).prints(&format!("{reader} cat b\n└─ b: {maker} sh -c 'echo same > b'\n"));
}

#[test]
fn names_that_could_drive_a_terminal_or_a_renderer_are_harmless() {
    let world = World::new();
    let nasty = "\u{1b}[31m\"]; x -> y; `#\n";
    world.fleche(["run", "--pure", "--", "echo", nasty]).run();
    for format in ["tree", "dot", "mermaid", "json"] {
        let text = world.fleche(["graph", "--format", format]).run().stdout();
        assert!(
            !text.contains('\u{1b}') && !text.contains("\"\"]") && !text.contains(" \"];\u{20}x"),
            "{format}: {text}"
        );
    }
    let dot = world.fleche(["graph", "--format", "dot"]).run().stdout();
    assert!(dot.contains(r##"[label="echo $'\\033[31m\"]; x -> y; `#\\n'"];"##), "{dot}");
    let mermaid = world.fleche(["graph", "--format", "mermaid"]).run().stdout();
    assert!(mermaid.contains(r##"["echo $'\033[31m#quot;]; x -> y; #96;#35;\n'"]"##), "{mermaid}");
}

#[test]
fn a_stored_value_as_an_argument_leads_to_its_maker() {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "printf", "b\\na\\n"]).prints("b\na\n");
    let printf = key(&world, "b\\na\\n");
    world.fleche(["run", "--pure", "--", "sort", &format!("fleche:{printf}")]).prints("a\nb\n");
    let digest = blake3::hash(b"b\na\n").to_hex();
    let sort = world.fleche(["query", "--name", "sort"]).run().stdout()[..12].to_owned();
    world
        .fleche(["graph", &sort])
        .prints(&format!("{sort} sort fleche:{digest}/stdout\n└─ argument 1: {printf} printf 'b\\na\\n'\n"));
}
