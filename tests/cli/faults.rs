//! What makes no sense in a file of configuration: told with file, line, column and the nearest known name, before anything
//! runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::World;

/// Texts of a project's file, where the fault is, what it is, and the hint.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    ("[defaults]\n  inptus = []\n", "2:3", "unknown key `inptus` in [defaults]", "`inputs` is near"),
    ("roof = true\n", "1:1", "unknown key `roof`", "`root` is near"),
    ("[comand]\n", "1:2", "unknown key `comand`", "`command` is near"),
    ("zzz = 1\n", "1:1", "unknown key `zzz`", "known are `root`, `cache`, `defaults`, `caches`, `command`"),
    ("inputs = []\n", "1:1", "unknown key `inputs`", "`inputs` can stand in [defaults] and in [[command]]"),
    (
        "[defaults]\ncache = \"x\"\n",
        "2:1",
        "unknown key `cache` in [defaults]",
        "`cache` can stand at the top of the file",
    ),
    ("[defaults]\nmatch = []\n", "2:1", "unknown key `match` in [defaults]", "`match` can stand in [[command]]"),
    ("max-size = \"1GiB\"\n", "1:1", "unknown key `max-size`", "`max-size` can stand in [caches.NAME]"),
    ("[caches.local]\nmax-sze = \"1GiB\"\n", "2:1", "unknown key `max-sze` of a cache", "`max-size` is near"),
    (
        "[caches.local]\nxyz = \"s3://x\"\n",
        "2:1",
        "unknown key `xyz` of a cache",
        "known are `path`, `access`, `shared`, `max-size`, `max-age`, `max-entries`, `url`, `namespace`, `trusted-keys`, `signing-key`, `upload`, `credential-helper`, `endpoint`, `region`, `profile`",
    ),
    (
        "[caches.team]\nurl = \"https//x\"\n",
        "2:7",
        "`url` has to be a URL that begins with `file:///`, `https://`, `http://`, `s3://`, `redis://`, `rediss://`, `valkey://`, `valkeys://`",
        "",
    ),
    (
        "[caches.team]\nurl = \"https://ci:secret@x\"\n",
        "2:7",
        "`url` holds a password, which every error would show",
        "credential-helper = \"PROGRAM\" tells it when it is needed",
    ),
    ("[caches.team]\nurl = \"https://x:65536/a\"\n", "2:7", "`url` names a port that is none", ""),
    ("[caches.team]\nurl = \"redis://[::1]:/1\"\n", "2:7", "`url` names a port that is none", ""),
    ("[caches.team]\nendpoint = \"http://minio.lan:port\"\n", "2:12", "`endpoint` names a port that is none", ""),
    ("[caches.team]\nurl = \"https://x/?a\"\n", "2:7", "`url` holds `?` or `#`, behind which no path goes on", ""),
    (
        "[caches.team]\nendpoint = \"minio.lan\"\n",
        "2:12",
        "`endpoint` has to be a URL that begins with `https://`, `http://`",
        "",
    ),
    (
        "[caches.team]\nurl = \"file:///mnt\"\n",
        "2:1",
        "a project cannot say where a cache is: a checkout could have what you make sent elsewhere",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
    (
        "[caches.team]\nnamespace = \"../main\"\n",
        "2:13",
        "`namespace` has to be a name of letters, digits and `_-.`",
        "",
    ),
    (
        "[caches.\"a b\"]\n",
        "1:9",
        "`a b` cannot be the name of a cache",
        "a cache's name is made of letters, digits and `_-.`",
    ),
    ("[defaults]\npure = 1\n", "2:8", "`pure` has to be true or false", ""),
    ("[defaults]\ninputs = \"a\"\n", "2:10", "`inputs` has to be a list of paths or globs", ""),
    ("[defaults]\ninputs = [\"a\", 2]\n", "2:16", "`inputs` has to be a list of paths or globs", ""),
    ("[defaults]\ninputs = [\"a\", \"\"]\n", "2:16", "`inputs` holds an empty text", ""),
    (
        "[defaults]\ninputs = [\n  \"a\",\n  \"[b\",\n]\n",
        "4:3",
        "`inputs` holds the malformed glob `[b`: unclosed character class; missing ']'",
        "",
    ),
    (
        "[defaults]\ntrace = \"outo\"\n",
        "2:9",
        "`trace` is one of `auto`, `on`, `off`, `audit`, not `outo`",
        "`auto` is near",
    ),
    ("[defaults]\nttl = \"soon\"\n", "2:7", "`ttl` has to be a time, such as \"10m\" or \"30d\"", ""),
    ("[defaults]\nmax-entry = \"big\"\n", "2:13", "`max-entry` has to be a size, such as \"10MiB\"", ""),
    ("[defaults]\ncache-exit = [256]\n", "2:14", "`cache-exit` has to be a list of exit codes, 0 to 255", ""),
    ("[defaults]\ntags = { a = 1 }\n", "2:14", "`tags` `a` has to be a text", ""),
    (
        "[defaults]\ntags = { \"1\" = \"x\" }\n",
        "2:10",
        "`tags` holds `1`, which cannot be the name of a tag",
        "a tag's name is made of letters, digits and `_-.`, and begins with a letter",
    ),
    ("[defaults]\npure = true\ninputs = [\"a\"]\n", "3:1", "`pure` and `inputs` contradict each other", ""),
    ("[defaults]\nstdin-from = \"a\"\nstdin = true\n", "2:1", "`stdin` and `stdin-from` contradict each other", ""),
    (
        "[caches.local]\nmax-size = \"120%\"\n",
        "2:12",
        "`max-size` has to be a size, such as \"10GiB\", or a part of the file system, such as \"10%\"",
        "",
    ),
    ("[caches.local]\nmax-entries = -1\n", "2:15", "`max-entries` has to be a number, 0 or more", ""),
    ("caches = 1\n", "1:10", "`caches` has to be a table", ""),
    ("[caches]\nlocal = 1\n", "2:9", "`caches.local` has to be a table", ""),
    ("[command]\nmatch = [\"x\"]\n", "1:1", "`command` has to be a list of tables", "[[command]]"),
    ("root = true\n[[command]]\npure = true\n", "2:1", "this rule lacks `match`", "match = [\"cc\", \"*\"]"),
    ("[[command]]\nmatch = []\n", "2:9", "`match` has to be a list of globs, one for each word of the command", ""),
    ("cache = \"taem\"\n", "1:1", "cache `taem` is not configured", "known caches are `local`"),
    (
        "[[command]]\nmatch = [\"x\"]\ncache = [\"local\", \"taem\"]\n",
        "3:1",
        "cache `taem` is not configured",
        "known caches are `local`",
    ),
    ("root = true\nroot = true\n", "2:1", "duplicate key", ""),
    ("root = \n", "1:8", "string values must be quoted, expected literal string", ""),
    (
        "[caches.x]\npath = \"/x\"\n",
        "2:1",
        "a project cannot say where a cache is: a checkout could bring a poisoned one along",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
    (
        "[caches.local]\nshared = \"group\"\n",
        "2:1",
        "a project cannot share a cache of yours",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
    (
        "[caches.local]\naccess = \"read-write\"\n",
        "2:1",
        "a project can only take the right to write away",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
    (
        "cache = \"./poisoned\"\n",
        "1:1",
        "a project can only name caches, not folders: a checkout could bring a poisoned one along",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
    (
        "[defaults]\nprobe = [\"true\"]\n",
        "2:1",
        "a project cannot have programs run: `fleche run -- ls` in a checkout would run them",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
    (
        "[defaults]\noutputs = [\"a\", \"b/../../c\"]\n",
        "2:1",
        "a project cannot name outputs outside its folder: a checkout could have your own files written",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
    (
        "[defaults]\nallow-write = [\"/tmp\"]\n",
        "2:1",
        "a project cannot name outputs outside its folder: a checkout could have your own files written",
        "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names",
    ),
];

#[test]
fn every_fault_is_told_with_its_place() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (text, place, message, hint) in FAULTS {
        let path = world.write("fleche.toml", text);
        let hint = if hint.is_empty() { String::new() } else { format!("hint: {hint}\n") };
        let expected = format!("fleche: {}:{place}: {message}\n{hint}", path.display());
        let told = world.fleche(["query"]).run();
        if (told.code(), told.stderr()) != (2, expected.clone()) {
            wrong.push(format!("{text}\n{}\n{}", expected, told.stderr()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_runs_where_a_file_makes_no_sense() {
    let world = World::new();
    world.counted("tool", "");
    let path = world.write("fleche.toml", "inputs = 1\noutputs = 2\n");
    let message = format!(
        "fleche: {}:1:1: unknown key `inputs` (and 1 more, see `fleche config check`)\nhint: `inputs` can stand in [defaults] and in [[command]]\n",
        path.display()
    );
    for words in [
        &["run", "--", "./tool"][..],
        &["run", "--mode", "off", "--", "./tool"],
        &["rerun", "--", "./tool"],
        &["shell", "-c", "./tool"],
    ] {
        world.fleche(words).ends(125, "", &message);
    }
    for words in [
        &["digest", "--", "./tool"][..],
        &["explain", "--", "./tool"],
        &["table"],
        &["gc"],
        &["bind", "--", "true"],
        &["config"],
    ] {
        world.fleche(words).ends(2, "", &message);
    }
    assert_eq!(world.executions("tool"), 0);
    assert!(!world.cache().exists());
    // What opens nothing needs no configuration.
    assert_eq!(world.fleche(["--help"]).run().code(), 0);
    assert_eq!(world.fleche(["config", "env"]).run().code(), 0);
}

#[test]
fn the_user_may_say_more_than_a_project() {
    let world = World::new();
    let text = "cache = [\"team\", \"/elsewhere\"]\n[caches.team]\npath = \"~/team\"\nshared = \"group\"\naccess = \"read-write\"\nmax-age = \"30d\"\n";
    let path = world.write(world.home().join(".config/fleche/config.toml"), text);
    world.fleche(["config", "check"]).prints("");
    for (text, place, message) in [
        ("[caches.team]\npath = \"team\"\n", "2:8", "`path` has to be a path that is absolute or begins with ~/"),
        ("cache = \"./team\"\n", "1:1", "a cache's folder has to be absolute, or begin with ~/"),
    ] {
        world.write(&path, text);
        world.fleche(["query"]).ends(2, "", &format!("fleche: {}:{place}: {message}\n", path.display()));
    }
    world.write(&path, "cache = \"team\"\n[caches.team]\nmax-age = \"1d\"\n");
    let message = format!(
        "fleche: {}:1: nobody says where the cache `team` is\nhint: [caches.team] with `path = ...` or `url = ...` in ~/.config/fleche/config.toml\n",
        path.display()
    );
    world.fleche(["query"]).ends(2, "", &message.replace(":1: ", ":1:1: "));
}

#[test]
fn what_is_no_text_is_told_with_its_place() {
    let world = World::new();
    let path = world.write("fleche.toml", b"# \xc3\xa9\nroot = true # \xff\n");
    world.fleche(["query"]).ends(2, "", &format!("fleche: {}:2:15: this is not UTF-8\n", path.display()));
}

#[test]
fn what_is_no_file_or_cannot_be_read_is_an_error() {
    let world = World::new();
    let path = world.path("fleche.toml");
    fs::create_dir(&path).unwrap();
    world.fleche(["query"]).ends(2, "", &format!("fleche: {}: is no file\n", path.display()));
    fs::remove_dir(&path).unwrap();
    // Nobody waits for a writer.
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    world.fleche(["query"]).ends(2, "", &format!("fleche: {}: is no file\n", path.display()));
    fs::remove_file(&path).unwrap();
    world.write(&path, "root = true\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    world.give_away();
    let fleche = world.root().join("fleche");
    let session = || world.program(&fleche, ["query"]).by_somebody();
    session().ends(2, "", &format!("fleche: {}: cannot be read: permission denied\n", path.display()));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    world.fleche(["query"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn a_large_file_is_read_and_a_huge_one_refused() {
    let world = World::new();
    let rule =
        |number: usize| format!("[[command]]\nmatch = [\"tool-{number}\", \"-[ab]*\"]\nrevision = \"{number}\"\n");
    let text: String = (0..16_000).map(rule).collect();
    assert!(text.len() > 1_000_000);
    let path = world.write("fleche.toml", &text);
    world
        .fleche(["bind", "--", "tool-15999", "-b"])
        .prints("fleche run --no-rules --revision 15999 -- tool-15999 -b\n");
    world.write("fleche.toml", text + "zzz");
    let outcome = world.fleche(["query"]).run();
    assert!(outcome.stderr().starts_with(&format!("fleche: {}:48001:4: ", path.display())), "{}", outcome.stderr());
    let path = world.write("fleche.toml", vec![b'#'; (4 << 20) + 1]);
    world.fleche(["query"]).ends(2, "", &format!("fleche: {}: is larger than 4 MiB\n", path.display()));
}
