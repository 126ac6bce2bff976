//! fleche.toml and the user's own file: what they say reaches every subcommand, in one order.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::world::{World, is_root};

/// The user's own file.
fn own_file(world: &World, text: &str) -> PathBuf {
    world.write(world.home().join(".config/fleche/config.toml"), text)
}

/// Every key that stands for a flag: how it is written, and the words of the flag that says the same.
const KEYS: &[(&str, &str, &[&str])] = &[
    ("inputs", "inputs = [\"in\", \"i*\"]", &["--input", "in", "--input", "i*"]),
    ("excludes", "excludes = [\"*.o\"]", &["--exclude", "*.o"]),
    ("gitignore", "gitignore = true", &["--gitignore"]),
    ("pure", "pure = true", &["--pure"]),
    ("outputs", "outputs = [\"out/\"]", &["--output", "out/"]),
    ("trace", "trace = \"off\"", &["--trace", "off"]),
    ("isolate", "isolate = true\ninputs = [\"in\"]", &["--isolate", "--input", "in"]),
    ("isolate", "isolate = \"strict\"\ninputs = [\"in\"]", &["--isolate=strict", "--input", "in"]),
    ("allow-network", "allow-network = true", &["--allow-network"]),
    ("allow-write", "allow-write = [\"../x\"]", &["--allow-write", "../x"]),
    ("scratch", "scratch = [\"*.log\"]", &["--scratch", "*.log"]),
    ("env-mode", "env-mode = \"strict\"", &["--env-mode", "strict"]),
    ("env", "env = [\"CC\"]", &["--env", "CC"]),
    ("ignore-env", "ignore-env = [\"X*\"]", &["--ignore-env", "X*"]),
    ("require-env", "require-env = [\"CC\"]", &["--require-env", "CC"]),
    ("ignore-arg", "ignore-arg = [\"-j*\"]", &["--ignore-arg=-j*"]),
    ("require-arg", "require-arg = [\"x\"]", &["--require-arg", "x"]),
    ("redact-arg", "redact-arg = [\"--token=*\"]", &["--redact-arg=--token=*"]),
    ("program", "program = \"name\"", &["--program", "name"]),
    ("probe", "probe = [\"echo 1\"]", &["--probe", "echo 1"]),
    ("cwd", "cwd = false", &["--no-cwd"]),
    ("revision", "revision = \"2\"", &["--revision", "2"]),
    ("expand", "expand = false", &["--no-expand"]),
    ("stdin", "stdin = true", &["--stdin"]),
    ("stdin", "stdin = false", &["--no-stdin"]),
    ("stdin-from", "stdin-from = \"in\"", &["--stdin-from", "in"]),
    ("tags", "tags = { a = \"1\" }", &["--tag", "a=1"]),
    ("project", "project = \"x\"", &["--tag", "project=x"]),
    ("max-entry", "max-entry = \"1KiB\"", &["--max-entry", "1024"]),
    ("realtime", "realtime = true", &["--realtime"]),
    ("mtime", "mtime = \"keep\"", &["--mtime", "keep"]),
    ("mode", "mode = \"refresh\"", &["--mode", "refresh"]),
    ("wait", "wait = \"10m\"", &["--wait", "10m"]),
    ("ttl", "ttl = \"1h\"", &["--ttl", "1h"]),
    ("stale", "ttl = \"1h\"\nstale = \"2h\"", &["--ttl", "1h", "--stale", "2h"]),
    ("failure-ttl", "failure-ttl = \"1h\"", &["--failure-ttl", "1h"]),
    ("cache-exit", "cache-exit = [1, 2]", &["--cache-exit", "1", "--cache-exit", "2"]),
];

/// Keys that only rules have.
const OF_RULES: [&str; 2] = ["match", "cache"];

/// Keys that a project may not give, or not with these values.
const OF_USERS: [&str; 2] = ["probe", "allow-write"];

/// Flags that have no key, each with a reason.
const WITHOUT_KEY: &[(&str, &str)] = &[
    ("help", "it is no setting"),
    ("no-rules", "it is about the rules themselves"),
    ("audit-json", "a file for one run"),
    ("keep", "a look at one run"),
];

/// Keys that have a flag of another name.
const NAMES: &[(&str, &str)] = &[
    ("input", "inputs"),
    ("output", "outputs"),
    ("exclude", "excludes"),
    ("tag", "tags"),
    ("no-cwd", "cwd"),
    ("no-expand", "expand"),
    ("no-stdin", "stdin"),
];

/// A world with an input and a program.
fn world() -> World {
    let world = World::new();
    world.write("in", "1\n");
    world
}

/// The names of the keys of a table, by the schema.
fn keys_of(world: &World, pointer: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_slice(&world.fleche(["config", "schema"]).run().stdout).unwrap();
    schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_flag_of_run_has_a_key() {
    let world = World::new();
    let keys = keys_of(&world, "/properties/defaults/properties");
    let command = fleche::cli::command();
    let run = command.get_subcommands().find(|command| command.get_name() == "run").unwrap();
    let flags: Vec<&str> = run.get_arguments().filter_map(|argument| argument.get_long()).collect();
    for flag in &flags {
        let name = NAMES.iter().find(|(name, _)| name == flag).map_or(*flag, |(_, key)| key);
        let has_reason = WITHOUT_KEY.iter().any(|(name, _)| name == flag);
        assert!(keys.contains(name) != has_reason, "--{flag}: {keys:?}");
    }
    for key in &keys {
        let flag = NAMES.iter().find(|(_, name)| name == key).map_or(key.as_str(), |(flag, _)| flag);
        assert!(flags.contains(&flag), "{key} has no flag");
    }
}

#[test]
fn every_key_says_what_its_flag_says() {
    let world = world();
    let keys = keys_of(&world, "/properties/command/items/properties");
    let tested: BTreeSet<String> =
        KEYS.iter().map(|(key, ..)| (*key).to_owned()).chain(OF_RULES.map(str::to_owned)).collect();
    assert_eq!(tested, keys);
    let command = ["--", "/bin/cat", "in"];
    for (key, line, flags) in KEYS {
        for table in ["[defaults]", "[[command]]\nmatch = [\"cat\", \"*\"]"] {
            let text = format!("{table}\n{line}\n");
            let (own, of_project) = if OF_USERS.contains(key) { (text.as_str(), "") } else { ("", text.as_str()) };
            world.write("fleche.toml", of_project);
            world.write(world.home().join(".config/fleche/config.toml"), own);
            let by_flags = world.fleche([&["bind"], *flags, &command].concat()).run();
            let bound = by_flags.stdout();
            let words: Vec<&str> = flags.iter().flat_map(|word| word.split('=').take(1)).collect();
            assert!(words.iter().all(|word| bound.contains(word)), "{key}: {bound}");
            world.fleche([&["bind"], &command[..]].concat()).prints(&bound);
            let no_rules = [&["digest", "-v", "--no-rules"], *flags, &command].concat();
            let (given, ruled) =
                (world.fleche(no_rules).run(), world.fleche([&["digest", "-v"], &command[..]].concat()).run());
            assert_eq!(ruled, given, "{key}");
            assert!(given.stdout().contains("command\t"), "{key}: {given:?}");
        }
    }
}

#[test]
fn a_rule_holds_for_every_subcommand_that_takes_a_command() {
    let world = world();
    world.counted("tool", "cat in");
    world.write("fleche.toml", "[[command]]\nmatch = [\"tool\"]\ninputs = [\"in\"]\ntags = { a = \"1\" }\n");
    world.fleche(["run", "--", "./tool"]).prints("1\n");
    world.fleche(["query", "--tag", "a=1", "--grade", "declared", "--count"]).prints("1\n");
    world.fleche(["contains", "--", "./tool"]).prints("");
    world.fleche(["load", "--", "./tool"]).prints("1\n");
    let key = world.fleche(["query"]).run().stdout();
    let outcome = world.fleche(["digest", "--streams", "two", "--", "./tool"]).run();
    assert_eq!(outcome.stdout(), key);
    let call: Value = serde_json::from_slice(&world.fleche(["call", "--", "./tool"]).run().stdout).unwrap();
    assert_eq!(call["inputs"], serde_json::json!(["in"]));
    let explained = world.fleche(["explain", "--streams", "two", "--", "./tool"]).run().stdout();
    let rule = format!("rule: {}:1\n", world.path("fleche.toml").display());
    assert!(explained.starts_with("hit: ./tool\n") && explained.ends_with(&rule), "{explained}");
    let outcome = world.fleche(["run", "-v", "--", "./tool"]).run();
    assert!(outcome.stderr().starts_with(&format!("fleche: {rule}fleche: hit ")), "{outcome:?}");
    assert_eq!(world.executions("tool"), 1);
    world.fleche(["rerun", "--", "./tool"]).prints("1\n");
    assert_eq!(world.executions("tool"), 2);
    world.fleche(["query", "--count"]).prints("1\n");
    let shell = "fleche shell -c './tool'";
    world.write("fleche.toml", "[[command]]\nmatch = [\"sh\", \"-c\", \"./tool\"]\ninputs = [\"in\"]\n");
    world.shell(shell).prints("1\n");
    world.shell(shell).prints("1\n");
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn what_a_flag_says_takes_the_place_of_what_a_rule_says() {
    let world = world();
    world.write("other", "2\n");
    let rule =
        "[[command]]\nmatch = [\"cat\", \"*\"]\ninputs = [\"in\"]\nexcludes = [\"a\"]\ntrace = \"off\"\nstdin = true\n";
    world.write("fleche.toml", rule);
    let bound = |flags: &[&str], line: &str| {
        let line = format!("fleche run --no-rules {line} -- cat in\n");
        world.fleche([&["bind"], flags, &["--", "cat", "in"]].concat()).prints(&line);
    };
    bound(&[], "--input in --exclude a --trace off --stdin");
    bound(&["-i", "other"], "--input other --exclude a --trace off --stdin");
    bound(
        &["--pure"],
        "--exclude a --trace off --pure --stdin"
            .replace("--exclude a --trace off --pure", "--exclude a --pure --trace off")
            .as_str(),
    );
    bound(&["--no-stdin", "--trace", "on"], "--input in --exclude a --trace on --no-stdin");
    bound(&["-o", "x"], "--input in --exclude a --output x --trace off --stdin");
    world.fleche(["bind", "--no-rules", "--", "cat", "in"]).prints("fleche run --no-rules -- cat in\n");
    world.write("fleche.toml", "[[command]]\nmatch = [\"cat\", \"*\"]\npure = true\nstdin-from = \"in\"\n");
    bound(&[], "--pure --stdin-from in");
    bound(&["-i", "other"], "--input other --stdin-from in");
    bound(&["-o", "x", "--no-stdin"], "--output x --no-stdin");
}

#[test]
fn the_order_is_flag_variable_rule_nearest_file_farther_file_own_file() {
    let world = World::new();
    let text = |mode: &str| format!("[defaults]\nmode = \"{mode}\"\ntags = {{ a = \"{mode}\" }}\n");
    own_file(&world, &text("on"));
    world.write("fleche.toml", text("off"));
    let rule = "[[command]]\nmatch = [\"true\"]\nmode = \"read-only\"\ntags = { a = \"rule\" }\n";
    world.write("sub/fleche.toml", format!("{}{rule}", text("refresh")));
    let bound = |words: &[&str], variables: bool, line: &str| {
        let mut session = world.fleche([&["bind"], words, &["--", "true"]].concat()).current_dir(world.path("sub"));
        if variables {
            session = session.env("FLECHE_MODE", "on").env("FLECHE_TAGS", "a=variable");
        }
        session.prints(&format!("fleche run --no-rules {line} -- true\n"));
    };
    bound(&["--mode", "off", "-t", "a=flag"], true, "--tag a=flag --mode off");
    bound(&[], true, "--tag a=variable --mode on");
    bound(&[], false, "--tag a=rule --mode read-only");
    world.write("sub/fleche.toml", text("refresh"));
    bound(&[], false, "--tag a=refresh --mode refresh");
    world.write("sub/fleche.toml", "");
    bound(&[], false, "--tag a=off --mode off");
    fs::remove_file(world.path("fleche.toml")).unwrap();
    bound(&[], false, "--tag a=on --mode on");
    fs::remove_file(world.home().join(".config/fleche/config.toml")).unwrap();
    world.fleche(["bind", "--", "true"]).prints("fleche run -- true\n");
}

#[test]
fn rules_of_nearer_files_come_first_and_the_first_that_matches_holds() {
    let world = World::new();
    let rule = |globs: &str, revision: &str| format!("[[command]]\nmatch = {globs}\nrevision = \"{revision}\"\n");
    world.write("fleche.toml", rule("[\"*\"]", "far"));
    world.write("sub/fleche.toml", rule("[\"printf\", \"a\"]", "one") + &rule("[\"printf\", \"*\"]", "two"));
    for (command, revision) in [(&["printf", "a"][..], "one"), (&["printf", "b"], "two"), (&["true"], "far")] {
        let words = [&["bind", "--"], command].concat();
        let line = format!("fleche run --no-rules --revision {revision} -- {}\n", command.join(" "));
        world.fleche(words).current_dir(world.path("sub")).prints(&line);
    }
}

#[test]
fn tags_of_all_places_are_merged_by_name() {
    let world = World::new();
    own_file(&world, "[defaults]\ntags = { own = \"1\", a = \"own\" }\nproject = \"own\"\n");
    world.write("fleche.toml", "[defaults]\ntags = { a = \"file\", b = \"file\" }\n[[command]]\nmatch = [\"true\"]\ntags = { b = \"rule\", c = \"rule\" }\n");
    let session = || world.fleche(["bind", "-t", "d=flag", "--", "true"]).env("FLECHE_TAGS", "c=variable,d=variable");
    let line = "fleche run --no-rules --tag a=file --tag b=rule --tag c=variable --tag d=flag --tag own=1 --tag project=own -- true\n";
    session().prints(line);
    session().env("FLECHE_PROJECT", "x").prints(&line.replace("project=own", "project=x"));
}

#[test]
fn a_file_that_is_root_hides_those_above() {
    let world = World::new();
    world.write("fleche.toml", "[defaults]\nrevision = \"far\"\n");
    let bound = |folder: &str, revision: &str| {
        let line = format!("fleche run --no-rules --revision {revision} -- true\n");
        world.fleche(["bind", "--", "true"]).current_dir(world.path(folder)).prints(&line);
    };
    world.write("a/fleche.toml", "root = false\n");
    world.write("a/b/c/.keep", "");
    bound("a/b/c", "far");
    own_file(&world, "[defaults]\nrevision = \"own\"\n");
    world.write("a/fleche.toml", "root = true\n");
    bound("a/b/c", "own");
    bound(".", "far");
    // The key's root is the nearest file's folder all the same.
    world.write("a/b/fleche.toml", "");
    let digest = world.fleche(["digest", "-v", "--pure", "--", "true"]).current_dir(world.path("a/b/c")).run();
    assert!(digest.stdout().contains("\ncwd\tc\n"), "{digest:?}");
}

#[test]
fn another_file_can_take_the_place_of_the_own_one() {
    let world = World::new();
    own_file(&world, "[defaults]\nrevision = \"own\"\n");
    world.write("other", "[defaults]\nrevision = \"other\"\n");
    let bind = || world.fleche(["bind", "--", "true"]);
    bind().prints("fleche run --no-rules --revision own -- true\n");
    bind().env("FLECHE_CONFIG", "other").prints("fleche run --no-rules --revision other -- true\n");
    bind().env("FLECHE_CONFIG", "").prints("fleche run -- true\n");
    bind().env("FLECHE_CONFIG", "/dev/null").prints("fleche run -- true\n");
    let elsewhere = world.root().join("elsewhere");
    world.write(elsewhere.join("fleche/config.toml"), "[defaults]\nrevision = \"xdg\"\n");
    bind().env("XDG_CONFIG_HOME", &elsewhere).prints("fleche run --no-rules --revision xdg -- true\n");
    // The specification of these folders wants a relative one to be passed over.
    bind().env("XDG_CONFIG_HOME", "elsewhere").prints("fleche run --no-rules --revision own -- true\n");
    bind().env("FLECHE_CONFIG", "gone").ends(
        2,
        "",
        "fleche: gone: cannot be read, but FLECHE_CONFIG names it: no such file or directory\n",
    );
}

#[test]
fn paths_of_a_rule_are_seen_from_the_folder_of_its_file() {
    let world = World::new();
    world.write("src/a.c", "1\n");
    world.write("src/gen/b.c", "1\n");
    world.counted("tool", "cd \"$(dirname \"$0\")\" && mkdir -p out && cat src/a.c > out/made");
    let rule = "[[command]]\nmatch = [\"tool\"]\ninputs = [\"src/**/*.c\"]\nexcludes = [\"src/gen/*\"]\noutputs = [\"out/\"]\n";
    world.write("fleche.toml", rule);
    world.write("sub/deep/x", "");
    let run = || world.fleche(["run", "--", "../../tool"]).current_dir(world.path("sub/deep"));
    run().prints("");
    fs::remove_dir_all(world.path("out")).unwrap();
    run().prints("");
    assert_eq!((world.read("out/made"), world.executions("tool")), ("1\n".to_owned(), 1));
    world.write("src/gen/b.c", "2\n");
    run().prints("");
    assert_eq!(world.executions("tool"), 1);
    world.write("src/a.c", "2\n");
    run().prints("");
    assert_eq!((world.read("out/made"), world.executions("tool")), ("2\n".to_owned(), 2));
}

#[test]
fn scratch_of_a_rule_is_seen_from_the_folder_of_its_file() {
    let world = World::new();
    world.write("fleche.toml", "[defaults]\nscratch = [\"log/*.txt\"]\n");
    world.write("log/x", "");
    world.write("sub/x", "");
    world.counted("tool", "cat ../log/a.txt 2>/dev/null; echo x >> ../log/a.txt");
    let run = || world.fleche(["run", "-v", "--", "../tool"]).current_dir(world.path("sub")).run();
    // The count is an output outside the project, which scratch is not.
    let outcome = run();
    assert!(!outcome.stderr().contains("log/a.txt"), "{outcome:?}");
    world.write("fleche.toml", "");
    let outcome = run();
    assert!(outcome.stderr().contains("not stored"), "{outcome:?}");
}

#[test]
fn a_command_that_is_never_to_be_cached_is_run_each_time() {
    let world = World::new();
    world.counted("tool", "echo hello");
    world.write("fleche.toml", "[[command]]\nmatch = [\"tool\"]\nmode = \"off\"\n");
    for _ in 0..2 {
        world.fleche(["run", "--", "./tool"]).prints("hello\n");
    }
    assert_eq!(world.executions("tool"), 2);
    world.fleche(["rerun", "--", "./tool"]).prints("hello\n");
    assert!(!world.cache().exists());
}

#[test]
fn a_file_that_others_could_have_written_is_passed_over_with_a_word() {
    let world = World::new();
    let file = world.write("fleche.toml", "[defaults]\nrevision = \"x\"\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let warning = |why: &str| {
        format!(
            "fleche: `{}` is not gone by: {why}; FLECHE_CONFIG=FILE goes by a file whoever wrote it\n",
            file.display()
        )
    };
    world.fleche(["run", "--pure", "--", "echo", "x"]).ends(0, "x\n", &warning("everybody may write it"));
    world.fleche(["run", "-q", "--pure", "--", "echo", "x"]).prints("x\n");
    world.fleche(["bind", "--", "true"]).ends(0, "fleche run -- true\n", &warning("everybody may write it"));
    // Nor does it make a project.
    let digest = world.fleche(["digest", "-v", "-q", "--pure", "--", "true"]).run();
    assert_eq!(digest.code(), 2);
    let digest = world.fleche(["digest", "-v", "--pure", "--", "true"]).run().stdout();
    assert!(digest.contains(&format!("\ncwd\t{}\n", world.work().display())), "{digest}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    world.fleche(["bind", "--", "true"]).prints("fleche run --no-rules --revision x -- true\n");
    if is_root() {
        std::os::unix::fs::chown(&file, Some(54321), None).unwrap();
        world.fleche(["bind", "--", "true"]).ends(0, "fleche run -- true\n", &warning("it belongs to another user"));
        let named = world.fleche(["bind", "--", "true"]).env("FLECHE_CONFIG", &file);
        named.run().check(0, "fleche run --no-rules --revision x -- true\n", &warning("it belongs to another user"));
    }
}

#[test]
fn caches_have_names_and_folders() {
    let world = World::new();
    own_file(&world, "[caches.team]\npath = \"~/team\"\n[caches.other]\npath = \"/nowhere\"\n");
    world.fleche(["run", "--pure", "--", "echo", "local"]).prints("local\n");
    world.fleche(["run", "--cache", "team", "--pure", "--", "echo", "team"]).prints("team\n");
    assert!(world.home().join("team/calls").is_dir());
    let count = |words: &[&str], count: &str| world.fleche([words, &["query", "--count"]].concat()).prints(count);
    count(&[], "1\n");
    count(&["--cache", "team"], "1\n");
    world.fleche(["query", "--cache=../mine"]).ends(1, "", "fleche: no call matches\n");
    world.fleche(["table", "--cache", "team", "--columns", "command"]).prints("command\necho team\n");
    world.fleche(["contains", "--cache", "team", "--pure", "--streams", "two", "--", "echo", "team"]).prints("");
    assert_eq!(world.fleche(["contains", "--pure", "--streams", "two", "--", "echo", "team"]).run().code(), 1);
    world.fleche(["query", "--count"]).env("FLECHE_CACHE", "team").prints("1\n");
    world.fleche(["run", "--cache", "../mine", "--pure", "--", "echo", "mine"]).prints("mine\n");
    assert!(world.root().join("mine/calls").is_dir());
    // For `run` and `shell` behind global flags too.
    world.fleche(["--cache", "team", "run", "--pure", "--", "echo", "x"]).prints("x\n");
    count(&["--cache", "team"], "2\n");
    world.fleche(["--cache", "team", "shell", "--pure", "-c", "echo y"]).prints("y\n");
    count(&["--cache", "team"], "3\n");
    let message = "fleche: --cache: cache `taem` is not configured\nhint: known caches are `local`, `other`, `team`\n";
    world.fleche(["query", "--cache", "taem"]).ends(2, "", message);
    world.fleche(["run", "--cache", "taem", "--pure", "--", "echo", "x"]).ends(125, "", message);
    world.fleche(["query", "--cache", ","]).ends(2, "", "fleche: --cache names no cache\nhint: local\n");
    let message = message.replace("--cache", "FLECHE_CACHE");
    world.fleche(["query"]).env("FLECHE_CACHE", "taem").ends(2, "", &message);
}

#[test]
fn which_cache_it_is_goes_by_flag_variable_rule_nearest_file_own_file() {
    let world = World::new();
    let caches = ["a", "b", "c", "d", "e"].map(|name| format!("[caches.{name}]\npath = \"~/{name}\"\n"));
    own_file(&world, &format!("cache = \"e\"\n{}", caches.concat()));
    world.write("fleche.toml", "cache = [\"d\"]\n[[command]]\nmatch = [\"true\"]\ncache = \"c\"\n");
    let bound = |words: &[&str], variable: &str, line: &str| {
        let session = world.fleche([&["bind"], words, &["--", "true"]].concat()).env("FLECHE_CACHE", variable);
        session.prints(&format!("fleche run {line}-- true\n"));
    };
    bound(&["--cache", "a"], "b", "--no-rules --cache a ");
    bound(&[], "b", "--no-rules --cache b ");
    bound(&[], "", "--no-rules --cache c ");
    world.write("fleche.toml", "cache = [\"d\"]\n");
    bound(&[], "", "--cache d ");
    fs::remove_file(world.path("fleche.toml")).unwrap();
    bound(&[], "", "--cache e ");
    world.fleche(["run", "--pure", "--", "echo", "x"]).prints("x\n");
    assert!(world.home().join("e/calls").is_dir() && !world.cache().exists());
    own_file(&world, &format!("cache = [\"~/f\"]\n{}", caches.concat()));
    bound(&[], "", &format!("--cache {} ", world.home().join("f").display()));
}

#[test]
fn the_cache_of_a_rule_is_used_by_every_subcommand() {
    let world = World::new();
    own_file(
        &world,
        "[caches.team]\npath = \"~/team\"\n[[command]]\nmatch = [\"echo\", \"*\"]\ncache = \"team\"\npure = true\n",
    );
    world.fleche(["run", "--", "echo", "x"]).prints("x\n");
    assert!(!world.cache().exists());
    world.fleche(["load", "--", "echo", "x"]).prints("x\n");
    world.fleche(["contains", "--streams", "two", "--", "echo", "x"]).prints("");
    world.fleche(["query"]).ends(1, "", "fleche: no call matches\n");
    world.fleche(["query", "--cache", "team", "--count"]).prints("1\n");
}

#[test]
fn a_cache_that_is_read_only_is_not_written() {
    let world = World::new();
    own_file(&world, "[caches.team]\npath = \"~/team\"\n");
    world.write("fleche.toml", "");
    let team = |words: &[&str]| world.fleche([&["--cache", "team"], words].concat());
    team(&["run", "--pure", "--", "echo", "x"]).prints("x\n");
    // A project may take the right away.
    world.write("fleche.toml", "[caches.team]\naccess = \"read-only\"\n");
    let message = "fleche: the cache `team` is read-only\n";
    for words in [&["evict", "--name", "*"][..], &["tag", "--name", "*", "a=b"], &["gc"]] {
        team(words).ends(2, "", message);
    }
    team(&["rerun", "--pure", "--", "echo", "x"]).ends(125, "", message);
    team(&["run", "--pure", "--", "echo", "y"]).prints("y\n");
    let outcome = team(&["run", "-v", "--pure", "--", "echo", "x"]).run();
    assert!(outcome.stderr().starts_with("fleche: hit "), "{outcome:?}");
    team(&["query", "--count"]).prints("1\n");
    world.write("fleche.toml", "");
    team(&["evict", "--name", "*"]).prints("");
}

#[test]
fn a_bound_line_stays_as_it_is_when_rules_change() {
    let world = world();
    world.write(
        "fleche.toml",
        "[defaults]\ntags = { a = \"1\" }\n[[command]]\nmatch = [\"cat\", \"in\"]\ninputs = [\"in\"]\nttl = \"1h\"\n",
    );
    let line = world.fleche(["bind", "--", "cat", "in"]).run().stdout();
    assert_eq!(line, "fleche run --no-rules --tag a=1 --ttl 1h --input in -- cat in\n");
    world.write("fleche.toml", "[defaults]\npure = true\ntags = { b = \"1\" }\n");
    world.shell(&line).prints("1\n");
    world.fleche(["query", "--tag", "a=1", "--grade", "declared", "--count"]).prints("1\n");
    world.fleche(["query", "--tag", "b", "--count"]).ends(1, "0\n", "fleche: no call matches\n");
    // A recorded call is asked for as it was, by no rule.
    let key = world.fleche(["query"]).run().stdout();
    world.fleche(["bind", key.trim_end()]).prints("fleche run --no-rules --tag a=1 --input in -- cat in\n");
    world.shell(&format!("fleche rerun {key}")).prints("1\n");
    world.fleche(["query", "--count"]).prints("1\n");
}

#[test]
fn stale_needs_a_ttl_from_somewhere() {
    let world = World::new();
    let message = "fleche: --stale says how far beyond --ttl, and there is none\nhint: --ttl TIME\n";
    world.fleche(["run", "--stale", "1h", "--pure", "--", "true"]).ends(125, "", message);
    world.write("fleche.toml", "[defaults]\nttl = \"1h\"\n");
    world.fleche(["run", "--stale", "1h", "--pure", "--", "true"]).prints("");
}

#[test]
fn a_hit_asks_for_each_file_once() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let world = World::new();
    let words = ["run", "--pure", "--", "echo", "x"];
    world.fleche(words).prints("x\n");
    let calls = |variable: Option<&str>| {
        let list = world.root().join("calls");
        let strace = ["-f", "-qq", "-o", list.to_str().unwrap(), env!("CARGO_BIN_EXE_fleche")];
        let session = world.program("strace", strace.iter().chain(&words));
        let session = variable.into_iter().fold(session, |session, value| session.env("FLECHE_CONFIG", value));
        session.prints("x\n");
        fs::read_to_string(list).unwrap().lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let all = calls(None);
    let about = |calls: &[String], what: &str| calls.iter().filter(|line| line.contains(what)).count();
    assert_eq!(about(&all, "fleche.toml\""), world.work().ancestors().count(), "{all:#?}");
    assert_eq!(about(&all, "config.toml\""), 1, "{all:#?}");
    // No more than that for the working directory, and nothing else without the user's file.
    assert_eq!(about(&all, "getcwd("), 1, "{all:#?}");
    let without = calls(Some(""));
    assert_eq!(all.len(), without.len() + 1, "{all:#?}\n{without:#?}");
}

#[test]
fn a_shell_is_offered_the_names_of_caches() {
    let world = World::new();
    own_file(&world, "[caches.team]\npath = \"~/team\"\n[caches.test]\npath = \"~/test\"\n");
    let offered = |words: &[&str]| crate::completions::in_bash(&world, words);
    assert_eq!(offered(&["fleche", "query", "--cache", "te"]), ["team", "test"]);
    assert_eq!(offered(&["fleche", "run", "--cache", "local,tea"]), ["local,team"]);
}
