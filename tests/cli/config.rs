//! `fleche config`: what is configured, and the lists that fleche goes by.

use std::fs;

use serde_json::{Value, json};

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
    assert_eq!(World::new().fleche(["config", "nothing"]).run().code(), 2);
}

#[test]
fn without_any_file_all_is_as_it_usually_is() {
    let world = World::new();
    let page = format!(
        "cache = [\"local\"]{space}  # default

[caches.local]
path = \"{path}\"  # default
access = \"read-write\"{}  # default
shared = \"no\"{}  # default

[defaults]
trace = \"auto\"{}  # default
env-mode = \"all\"{}  # default
program = \"content\"{}  # default
cwd = true{}  # default
expand = true{}  # default
mtime = \"now\"{}  # default
mode = \"on\"{}  # default
",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        space = "",
        path = world.cache().display(),
    );
    let squeezed =
        |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    let outcome = world.fleche(["config"]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    assert_eq!(squeezed(&outcome.stdout()), squeezed(&page));
    // The comments stand below each other.
    let short: Vec<usize> = outcome.stdout().lines().filter_map(|line| line.find("  # ")).collect();
    assert!(short.iter().filter(|at| **at == short[0]).count() >= 9, "{}", outcome.stdout());
}

#[test]
fn every_line_says_where_it_comes_from() {
    let world = World::new();
    let own = world.write(
        world.home().join(".config/fleche/config.toml"),
        "cache = [\"local\", \"team\"]\n[caches.team]\npath = \"~/team\"\nmax-size = \"10%\"\n",
    );
    let near = world.write(
        "fleche.toml",
        "[defaults]\nttl = \"1h\"\ntags = { a = \"1\", b = \"2\" }\n\n[[command]]\nmatch = [\"cc\", \"*\"]\ninputs = [\"a\\\"b\"]\n",
    );
    let session = || world.fleche(["config"]).env("FLECHE_MODE", "refresh").env("FLECHE_TAGS", "b=3");
    let page = session().run().stdout();
    let line = |key: &str| {
        let line =
            page.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap_or_else(|| panic!("{key}: {page}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (own, near) = (own.display(), near.display());
    assert_eq!(line("cache"), format!("cache = [\"local\", \"team\"] # {own}:1"));
    assert_eq!(line("max-size"), format!("max-size = \"10%\" # {own}:4"));
    assert_eq!(line("ttl"), format!("ttl = \"1h\" # {near}:2"));
    assert_eq!(line("mode"), "mode = \"refresh\" # FLECHE_MODE");
    assert_eq!(line("tags.a"), format!("tags.a = \"1\" # {near}:3"));
    assert_eq!(line("tags.b"), "tags.b = \"3\" # FLECHE_TAGS");
    assert_eq!(line("match"), format!("match = [\"cc\", \"*\"] # {near}:5"));
    assert_eq!(line("inputs"), format!("inputs = [\"a\\\"b\"] # {near}:7"));
    // What is printed is a file itself, and says the same.
    let copy = world.write("copy.toml", &page);
    world.fleche(["config", "check", "copy.toml"]).prints("");
    let again = world.fleche(["config", "--json"]).env("FLECHE_CONFIG", copy).current_dir(world.home()).run();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    let value = |table: &str, key: &str| {
        let lines = again["settings"].as_array().unwrap();
        lines.iter().find(|line| line["table"] == table && line["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("", "cache"), json!(["local", "team"]));
    assert_eq!(value("caches.team", "path"), "~/team");
    assert_eq!(value("defaults", "tags.b"), "3");
    assert_eq!(value("command", "inputs"), json!(["a\"b"]));
    let flag = session().arg("--cache").arg("team").run().stdout();
    assert!(flag.starts_with("cache = [\"team\"]") && flag.lines().next().unwrap().ends_with("  # --cache"), "{flag}");
    assert!(session().env("FLECHE_CACHE", "team").run().stdout().lines().next().unwrap().ends_with("  # FLECHE_CACHE"));
}

#[test]
fn a_file_to_begin_with_explains_every_key_and_overwrites_nothing() {
    let world = World::new();
    world.fleche(["config", "init"]).prints("");
    let text = world.read("fleche.toml");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
    world.fleche(["config", "check"]).prints("");
    let message = "fleche: cannot write `fleche.toml`: file exists\n";
    world.fleche(["config", "init"]).ends(2, "", message);
    assert_eq!(world.read("fleche.toml"), text);
    world.fleche(["config", "init", "--user"]).prints("");
    let own = fs::read_to_string(world.home().join(".config/fleche/config.toml")).unwrap();
    assert_eq!(world.fleche(["config", "init", "--user"]).run().code(), 2);
    assert!(own.contains("\n#path = ") && !text.contains("\n#path = "));
    // Without the signs that make them comments the lines are a configuration, but for what contradicts or cannot stand there.
    let schema: Value = serde_json::from_slice(&world.fleche(["config", "schema"]).run().stdout).unwrap();
    let keys =
        |pointer: &str| schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for key in keys("/properties/defaults/properties")
        .iter()
        .chain(&keys("/properties/caches/additionalProperties/properties"))
    {
        assert!(own.contains(&format!("\n#{key} = ")), "{key}");
    }
    let is_left_out = |line: &str| ["#pure", "#stdin-from", "#isolate"].iter().any(|key| line.starts_with(key));
    let plain: Vec<&str> = own
        .lines()
        .filter(|line| !line.starts_with("# ") && !is_left_out(line))
        .map(|line| line.trim_start_matches('#'))
        .collect();
    world.write("plain.toml", plain.join("\n"));
    world.fleche(["config", "check", "plain.toml"]).prints("");
    assert!(plain.len() > 45, "{plain:?}");
}

#[test]
fn a_check_tells_all_that_is_wrong() {
    let world = World::new();
    world.write(world.home().join(".config/fleche/config.toml"), "[defaults]\nttl = 1\n");
    let path = world.write("fleche.toml", "roof = true\n\n[defaults]\n  pure = 1\n");
    let own = world.home().join(".config/fleche/config.toml");
    let lines = format!(
        "{path}:4:10: `pure` has to be true or false\n{path}:1:1: unknown key `roof`\n    `root` is near\n{}:2:7: `ttl` has to be a time, such as \"10m\" or \"30d\"\n",
        own.display(),
        path = path.display(),
    );
    let outcome = world.fleche(["config", "check"]).run();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.replace("\n    ", "    ").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!((outcome.code(), outcome.stderr()), (1, String::new()));
    assert_eq!(sorted(&outcome.stdout()), sorted(&lines));
    let one = world.fleche(["config", "check", "fleche.toml", "--json"]).run();
    let faults: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one.code(), 1);
    assert_eq!(faults["faults"].as_array().unwrap().len(), 2);
    assert!(faults["faults"].as_array().unwrap().contains(&json!({
        "file": "fleche.toml", "line": 1, "column": 1, "message": "unknown key `roof`", "hint": "`root` is near",
    })));
    world.fleche(["config", "check", "gone"]).ends(1, "gone: cannot be read: no such file or directory\n", "");
    // A file of another name is taken for the user's own.
    world.write("own.toml", "[caches.x]\npath = \"/x\"\n");
    world.fleche(["config", "check", "own.toml"]).prints("");
}
