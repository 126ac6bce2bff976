//! After every way to run a command, no secret is left: not under the cache folder, not in what is exported or said.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::stage::{MARKER, Searched, Stage};
use crate::tell;
use crate::world::eventually;

/// What is declared of the tool.
const DECLARED: [&str; 8] = ["-i", "input", "-i", "list", "-i", "status", "-o", "out.txt"];

/// What came of one way.
enum Done {
    /// A call is in the cache.
    Stored,
    /// None is, as it should be.
    NotStored,
    /// This machine cannot do it; why.
    Impossible(String),
}

/// A way to run a command, or to ask for what was recorded.
type Way = (&'static str, fn(&Stage) -> Done);

const WAYS: &[Way] = &[
    ("a miss and a hit", |stage| declared(stage, &[])),
    ("watched", |stage| twice(stage, &[])),
    ("watched and audited", audited),
    ("pure", |stage| twice(stage, &["--pure", "--trace", "off"])),
    ("isolated", |stage| declared(stage, &["--isolate"])),
    ("isolated strictly", isolated_strictly),
    ("a strict environment", |stage| declared(stage, &["--env-mode", "strict"])),
    ("a listed environment", |stage| declared(stage, &["--env-mode", "listed", "--env", "LANG"])),
    ("ignored arguments", |stage| declared(stage, &["--ignore-arg", "--token=*"])),
    ("a probe", |stage| declared(stage, &["--probe", "echo $DEPLOY_TOKEN"])),
    ("anew", |stage| {
        declared(stage, &[]);
        declared(stage, &["--mode", "refresh"])
    }),
    ("another value of everything", changed),
    ("a failure that is stored", failed),
    ("a failure", |stage| {
        stage.world.write("status", "3");
        assert_eq!(stage.run(&DECLARED).code(), 3);
        Done::NotStored
    }),
    ("an input that changes", |stage| unstorable(stage, "echo 3 >> input")),
    ("an output that cannot be stored", |stage| unstorable(stage, "rm -f out.txt; mkfifo out.txt")),
    ("a program that is not there", not_found),
    ("a program that cannot be executed", not_executable),
    ("an input that cannot be read", unreadable),
    ("killed while the command runs", killed_while_it_runs),
    ("killed while it is stored", killed_while_storing),
    ("looked at while the command runs", looked_at_while_it_runs),
    ("nested", nested),
    ("refreshed in the background", refreshed),
    ("rerun", |stage| {
        declared(stage, &[]);
        let again = stage.asked(&["rerun", "-v", "--stdin"], &DECLARED).input(input(stage));
        assert_eq!(stage.say(again).code(), 0);
        Done::Stored
    }),
    ("a shell's line", shell),
    ("questions before", |stage| {
        asked(stage);
        Done::NotStored
    }),
    ("questions afterwards", |stage| {
        declared(stage, &[]);
        asked(stage);
        Done::Stored
    }),
    ("a rule", ruled),
    ("read-only", |stage| {
        declared(stage, &[]);
        stage.run(&[&DECLARED[..], &["--mode", "read-only"]].concat());
        Done::Stored
    }),
    ("a stack", stack),
    ("transferred", transferred),
    ("exported and imported", exported),
    ("a session", |stage| {
        let with_session = [&["--stdin"][..], &DECLARED].concat();
        let session = stage.asked(&["run"], &with_session).env("FLECHE_SESSION", "job").input(input(stage));
        assert_eq!(stage.say(session).code(), 0);
        let export = stage.fleche(&["export", "--touched", "../session"]).env("FLECHE_SESSION", "job");
        assert_eq!(stage.say(export).code(), 0);
        Done::Stored
    }),
    ("housekeeping", housekeeping),
    ("damaged and put aside", damaged),
];

fn input(stage: &Stage) -> String {
    format!("{}\n", stage.secret("standard input"))
}

/// Runs the tool twice; the second time it is replayed.
fn twice(stage: &Stage, options: &[&str]) -> Done {
    for _ in 0..2 {
        let outcome = stage.run(options);
        assert_eq!((outcome.code(), outcome.stdout()), (0, "done\n".to_owned()), "{outcome:?}");
    }
    Done::Stored
}

fn declared(stage: &Stage, options: &[&str]) -> Done {
    twice(stage, &[&DECLARED[..], options].concat())
}

fn audited(stage: &Stage) -> Done {
    declared(stage, &["--trace", "audit", "--audit-json", "../audit.json"]);
    assert!(stage.world.root().join("audit.json").exists());
    Done::Stored
}

fn isolated_strictly(stage: &Stage) -> Done {
    let options = [&DECLARED[..], &["--isolate=strict"]].concat();
    let outcome = stage.run(&options);
    match outcome.code() {
        125 => Done::Impossible(outcome.stderr()),
        _ => declared(stage, &["--isolate=strict"]),
    }
}

/// Says why it is a miss, variable by variable and argument by argument.
fn changed(stage: &Stage) -> Done {
    declared(stage, &[]);
    let other = Stage::new();
    let tool = other.tool();
    let tool: Vec<&str> = tool.iter().map(String::as_str).collect();
    for command in [&["explain", "-v"][..], &["run", "-v"], &["explain", "--json"]] {
        let words =
            [command, &["--stdin", "--redact-arg", "*hush*", "--ignore-env", "SESSION_TOKEN"], &DECLARED, &["--"]];
        let words = [&words.concat()[..], &tool].concat();
        // The environment and the arguments of the other world, whose secrets are looked for as well.
        let outcome = other.with_secrets(stage.world.fleche(&words)).input(input(&other)).run();
        let said = [outcome.stdout, outcome.stderr].concat();
        stage.hear("the answer", said.clone());
        other.hear("the answer", said);
    }
    other.search("another value of everything", &[stage.world.cache()]);
    Done::Stored
}

fn failed(stage: &Stage) -> Done {
    stage.world.write("status", "3");
    for _ in 0..2 {
        assert_eq!(stage.run(&[&DECLARED[..], &["--cache-exit", "0,3"]].concat()).code(), 3);
    }
    Done::Stored
}

fn unstorable(stage: &Stage, harm: &str) -> Done {
    let body = format!("#!/bin/sh\ncat > /dev/null; cat list; rm -f out.txt; cat input > out.txt; {harm}\n");
    stage.world.script("tool", &body.replace("cat list", "wc -c < list"));
    let outcome = stage.run(&DECLARED);
    assert!(outcome.stderr().contains("not stored"), "{outcome:?}");
    let watched = stage.run(&[]);
    assert_eq!(watched.code(), 0, "{watched:?}");
    Done::NotStored
}

/// The program's own name is redacted.
fn not_found(stage: &Stage) -> Done {
    let secret = stage.secret("an argument with its name");
    for name in [format!("./{secret}"), secret.to_owned()] {
        for options in [&["--pure"][..], &["-i", "input"], &[]] {
            let words = [&["run", "-v", "--redact-arg", "*hush*"], options, &["--", &name, MARKER]].concat();
            assert_eq!(stage.say(stage.fleche(&words)).code(), 127);
        }
    }
    let silent = ["run", "-v", "--redact-arg", "*hush*", "--mode", "off", "--", secret];
    assert_eq!(stage.say(stage.fleche(&silent)).code(), 127);
    Done::NotStored
}

fn not_executable(stage: &Stage) -> Done {
    let secret = stage.secret("an argument with its name");
    stage.world.write(secret, "no program");
    let name = format!("./{secret}");
    let words = ["run", "-v", "--redact-arg", "*hush*", "-i", "input", "--", &name, MARKER];
    assert_eq!(stage.say(stage.fleche(&words)).code(), 126);
    stage.world.script(secret, "#!/no/such/interpreter\n");
    assert!(stage.say(stage.fleche(&words)).code() > 125);
    Done::NotStored
}

/// Faults of fleche's own options that name what an argument names.
fn unreadable(stage: &Stage) -> Done {
    let secret = stage.secret("an argument with its name");
    fs::create_dir(stage.world.path(secret)).unwrap();
    let run = ["run", "-v", "--redact-arg", "*hush*"];
    for options in [&["-i", "no*such"][..], &["--stdin-from", "nowhere"], &["-o", "../../../x"], &["--probe", "exit 3"]]
    {
        for word in [secret.to_owned(), format!("@{secret}"), format!("--token={secret}")] {
            let words = [&run[..], options, &["--", "true", &word]].concat();
            stage.say(stage.fleche(&words));
        }
    }
    let fifo = format!("{secret}-fifo");
    assert!(std::process::Command::new("mkfifo").arg(stage.world.path(&fifo)).status().unwrap().success());
    std::os::unix::fs::symlink(format!("{secret}-loop"), stage.world.path(format!("{secret}-loop"))).unwrap();
    for (name, word) in [(&fifo, "is a FIFO"), (&format!("{secret}-loop"), "")] {
        let pure = [&run[..], &["--pure", "--", "true", name]].concat();
        let outcome = stage.say(stage.fleche(&pure));
        assert!(outcome.stderr().contains(word), "{outcome:?}");
        let input = [&run[..], &["-i", name, "--", "true", name]].concat();
        stage.say(stage.fleche(&input));
    }
    let changed = format!("{secret}-changed");
    stage.world.write(&changed, "1");
    stage.world.script("changing", "#!/bin/sh\necho 2 >> \"$1\"\n");
    for options in [&["-i", &changed][..], &["-i", "input", "--trace", "audit"], &["-i", "input", "-o", &changed], &[]]
    {
        let words = [&run[..], options, &["--", "./changing", &changed]].concat();
        let outcome = stage.say(stage.fleche(&words));
        assert!(outcome.code() == 0 && !outcome.stderr().is_empty(), "{outcome:?}");
    }
    let usage = [&run[..], &["--ttl", "never", "--", "cat", secret]].concat();
    assert_eq!(stage.say(stage.fleche(&usage)).code(), 125);
    let unknown = [&run[..], &["--no-such-flag", "--", "cat", secret]].concat();
    assert_eq!(stage.say(stage.fleche(&unknown)).code(), 125);
    Done::NotStored
}

/// Starts the tool, which then waits; gives `look` its process, and lets it go on.
fn while_it_runs(stage: &Stage, look: impl FnOnce(&mut std::process::Child)) {
    let fifo = stage.world.path("wait");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let options = [&["--stdin", "--trace", "off"][..], &DECLARED].concat();
    let mut child = stage.asked(&["run"], &options).stdin(Stdio::piped()).start();
    child.stdin.take().unwrap().write_all(input(stage).as_bytes()).unwrap();
    // It can be opened as soon as the command reads it.
    let go_on = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    look(&mut child);
    drop(go_on);
    child.wait().unwrap();
    fs::remove_file(fifo).unwrap();
}

fn looked_at_while_it_runs(stage: &Stage) -> Done {
    while_it_runs(stage, |child| {
        stage.search("while it runs", &[stage.world.cache()]);
        assert_eq!(child.try_wait().unwrap(), None);
    });
    Done::Stored
}

fn killed_while_it_runs(stage: &Stage) -> Done {
    while_it_runs(stage, |child| {
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    });
    Done::NotStored
}

/// At each of the first renames, which are what makes things appear in the store.
fn killed_while_storing(stage: &Stage) -> Done {
    if !std::process::Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|done| done.success()) {
        return Done::Impossible("there is no strace".to_owned());
    }
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let mut kills = 0;
    for (calls, most) in [("renameat,renameat2", 8), ("unlinkat", 3), ("write", 12)] {
        for at in 1..=most {
            stage.world.remove_cache();
            let inject = format!("inject={calls}:signal=SIGKILL:when={at}");
            let words = ["-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject, fleche];
            let mut session = stage.with_secrets(stage.world.program("strace", words));
            let own = ["run", "--stdin", "--redact-arg", "*hush*", "--ignore-env", "SESSION_TOKEN", "--trace", "off"];
            for word in own.iter().chain(&DECLARED).chain(&["--"]) {
                session = session.arg(word);
            }
            for word in stage.tool() {
                session = session.arg(word);
            }
            if session.input(input(stage)).run().status.signal() == Some(libc::SIGKILL) {
                kills += 1;
            }
            stage.search("killed while it is stored", &[stage.world.cache()]);
        }
    }
    assert!(kills >= 6, "{kills}");
    Done::NotStored
}

/// The inner command has the secrets; the outer one is watched, and hears all that the inner one did.
fn nested(stage: &Stage) -> Done {
    let tool = stage.tool().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let inner =
        format!("echo {0} | {fleche} run --stdin --redact-arg '*hush*' -- {tool}", stage.secret("standard input"));
    let outer = ["run", "-v", "--redact-arg", "*hush*", "--", "sh", "-c", &inner, MARKER];
    for _ in 0..2 {
        assert_eq!(stage.say(stage.fleche(&outer)).code(), 0);
    }
    assert!(stage.keys().len() >= 2, "the inner one and the outer one");
    Done::Stored
}

fn refreshed(stage: &Stage) -> Done {
    let counted = stage.world.root().join("counted");
    fs::write(&counted, "").unwrap();
    let stale = [&DECLARED[..], &["--trace", "off", "--ttl", "0s", "--stale", "1h"]].concat();
    stage.run(&stale);
    let outcome = stage.run(&stale);
    assert!(outcome.stderr().contains("stale hit"), "{outcome:?}");
    eventually("a refresh", || fs::read(&counted).unwrap().len() >= 4);
    // It is stored when the journal tells of it.
    eventually("a stored refresh", || {
        let journal = fs::read(stage.world.cache().join("journal")).unwrap();
        memchr::memmem::find_iter(&journal, b"\tstored\t").count() >= 2 || journal.len() > 600
    });
    Done::Stored
}

fn shell(stage: &Stage) -> Done {
    let line =
        format!("echo {MARKER} {} > out.txt", stage.secret("an argument with its name")).replace(" > ", " | wc -c > ");
    let words = ["shell", "--redact-arg=*hush*", "--output=out.txt", "--input=input", "-c", &line];
    for _ in 0..2 {
        assert_eq!(stage.say(stage.fleche(&words)).code(), 0);
    }
    // The line, which is one argument, is hidden with its marker.
    assert_eq!(stage.keys().len(), 1);
    assert_eq!(stage.run(&DECLARED).code(), 0);
    Done::Stored
}

/// Every question that is asked with a command or about a call. Only to the caller, who has just typed it or written it into a
/// file, is anything said: `bind` prints a command line that works, and `config` the file.
fn asked(stage: &Stage) {
    let commands: &[&[&str]] = &[
        &["call"],
        &["explain"],
        &["explain", "-v"],
        &["explain", "--json"],
        &["digest"],
        &["digest", "-v"],
        &["digest", "--json"],
        &["contains", "-v"],
        &["load"],
    ];
    for command in commands {
        for options in [&DECLARED[..], &["--pure"]] {
            let options = [&["--stdin"], options].concat();
            stage.say(stage.asked(command, &options).input(input(stage)));
        }
    }
    let bind = stage.asked(&["bind"], &DECLARED).run();
    assert_eq!(bind.code(), 0, "{bind:?}");
    for key in stage.keys() {
        for words in [
            &["show", &key][..],
            &["show", "--json", &key],
            &["explain", &key],
            &["bind", &key],
            &["load", &key],
            &["rerun", "-v", &key],
            &["contains", "-v", &key],
        ] {
            stage.say(stage.fleche(words));
        }
    }
    for words in [
        &["table", "--args", "--results"][..],
        &[
            "table",
            "--format",
            "jsonl",
            "--columns",
            "command,name,arg.1,arg.3,env.DEPLOY_TOKEN,env.SESSION_TOKEN,cwd,program",
        ],
        &["query", "--json"],
        &["query", "--arg", "*hush*", "--count"],
        &["graph"],
        &["graph", "--format", "dot"],
        &["stats"],
        &["stats", "--by", "reason"],
        &["config", "check"],
    ] {
        let outcome = stage.say(stage.fleche(words));
        assert!(outcome.code() < 2, "{words:?}: {outcome:?}");
    }
}

fn ruled(stage: &Stage) -> Done {
    let rule = "[[command]]\nmatch = [\"./tool\", \"*\"]\ninputs = [\"input\", \"list\", \"status\"]\noutputs = [\"out.txt\"]\n\
        redact-arg = [\"*hush*\"]\nenv = [\"LANG\"]\nignore-env = [\"SESSION_TOKEN\"]\nstdin = true\ntags = { a = \"b\" }\n";
    stage.world.write("fleche.toml", rule);
    let tool = stage.tool();
    let words: Vec<&str> = ["run", "-v", "--"].into_iter().chain(tool.iter().map(String::as_str)).collect();
    for _ in 0..2 {
        let outcome = stage.say(stage.fleche(&words).input(input(stage)));
        assert!(outcome.stderr().contains("rule: "), "{outcome:?}");
    }
    Done::Stored
}

fn stack(stage: &Stage) -> Done {
    declared(stage, &["--cache", "../far"]);
    declared(stage, &["--cache", "../near,../far"]);
    stage.holds_marker("a stack", &stage.world.root().join("near"));
    declared(stage, &[])
}

fn transferred(stage: &Stage) -> Done {
    declared(stage, &[]);
    let words = ["transfer", "-v", "--from", "local", "--to", "../near"];
    assert_eq!(stage.say(stage.fleche(&words)).code(), 0);
    stage.holds_marker("transferred", &stage.world.root().join("near"));
    Done::Stored
}

fn exported(stage: &Stage) -> Done {
    declared(stage, &[]);
    twice(stage, &[]);
    assert_eq!(stage.say(stage.fleche(&["export", "-v", "../near"])).code(), 0);
    stage.holds_marker("exported", &stage.world.root().join("near"));
    let secret = fs::read(stage.world.cache().join("secret")).unwrap();
    let file = fs::read(stage.world.root().join("near")).unwrap();
    assert_eq!(memchr::memmem::find(&file, &secret), None, "the secret key is exported");
    assert_eq!(stage.say(stage.fleche(&["--cache", "../far", "import", "-v", "../near"])).code(), 0);
    let far = [
        "explain",
        "-v",
        "--stdin",
        "--redact-arg",
        "*hush*",
        "--cache",
        "../far",
        "--",
        "./tool",
        MARKER,
        "hush-else",
    ];
    stage.say(stage.fleche(&far).input("else\n"));
    Done::Stored
}

fn housekeeping(stage: &Stage) -> Done {
    declared(stage, &[]);
    let key = stage.keys().remove(0);
    for words in [
        &["tag", &key, "kind=test"][..],
        &["verify", "-v"],
        &["verify", "-v", "--rerun"],
        &["redigest", "-v"],
        &["reindex", "-v"],
        &["gc", "-v", "--dry-run", "--max-size", "0"],
        &["gc", "-v", "--grace", "0s"],
    ] {
        let outcome = stage.say(stage.fleche(words));
        assert!(outcome.code() < 2, "{words:?}: {outcome:?}");
    }
    Done::Stored
}

/// A call that is put aside, and the catalogue as well.
fn damaged(stage: &Stage) -> Done {
    declared(stage, &[]);
    stage.world.is_alone();
    let calls = walkdir::WalkDir::new(stage.world.cache().join("calls"));
    let call = calls.into_iter().flatten().find(|entry| entry.file_type().is_file()).unwrap().into_path();
    let mut bytes = fs::read(&call).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&call, bytes).unwrap();
    fs::write(stage.world.cache().join("index.sqlite"), "no catalogue").unwrap();
    declared(stage, &[]);
    stage.say(stage.fleche(&["table"]));
    let aside = fs::read_dir(stage.world.cache().join("quarantine")).unwrap().count();
    assert!(aside >= 2, "{aside}");
    Done::Stored
}

/// Everything that a way may have written to, beside the work itself.
fn folders(stage: &Stage) -> Vec<PathBuf> {
    let beside = ["near", "far", "session", "audit.json"].map(|name| stage.world.root().join(name));
    std::iter::once(stage.world.cache()).chain(beside.into_iter().filter(|path| path.exists())).collect()
}

fn searched(name: &str, way: fn(&Stage) -> Done) -> Result<Searched, String> {
    let stage = Stage::new();
    let done = way(&stage);
    let own: &Path = &stage.world.cache();
    match done {
        Done::Impossible(why) => return Err(why),
        Done::Stored => stage.holds_marker(name, own),
        Done::NotStored => {}
    }
    // The catalogue is only made by a question.
    stage.say(stage.fleche(&["table", "--format", "json"]));
    Ok(stage.search(name, &folders(&stage)))
}

#[test]
fn no_way_to_run_a_command_leaves_a_secret() {
    let next = AtomicUsize::new(0);
    let total = Mutex::new((0, Searched::default()));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((name, way)) = WAYS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // All of them are tried, whatever fails: what leaks in one place often leaks in others.
                    match catch_unwind(|| searched(name, *way)) {
                        Err(_) => failed.lock().unwrap().push(*name),
                        Ok(Err(why)) => tell(&format!("`{name}` is skipped: {}", why.trim())),
                        Ok(Ok(one)) => {
                            let (ways, all) = &mut *total.lock().unwrap();
                            *ways += 1;
                            all.commands += one.commands;
                            all.files += one.files;
                            all.bytes += one.bytes;
                            all.needles = one.needles;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), [""; 0]);
    let (ways, all) = *total.lock().unwrap();
    tell(&format!(
        "{ways} ways to run, {} commands: none of {} forms of secrets in {} files and texts of {} bytes",
        all.commands, all.needles, all.files, all.bytes
    ));
    assert!(ways + 2 >= WAYS.len());
}
