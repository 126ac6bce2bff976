//! A checkout whose maker means harm: what its `fleche.toml` can and cannot do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::canary;
use crate::scene::{fifo, measured};
use crate::tally;
use crate::world::World;

/// How an error about a file ends a run.
const USAGE: i32 = 125;

enum Fate {
    /// It is said what is wrong, and nothing is run.
    Told(&'static str),
    /// It makes no difference.
    Ignored,
    /// One or the other: what the kernel has differs from machine to machine.
    Either,
}
use Fate::{Either, Ignored, Told};

struct Case {
    name: &'static str,
    make: fn(&Path),
    fate: Fate,
}

/// A case, and what its file holds where that is text.
type Project = (Case, Option<fn(&Path) -> String>);

fn text(name: &'static str, text: fn(&Path) -> String, fate: Fate) -> Project {
    (Case { name, make: |_| (), fate }, Some(text))
}

fn made(name: &'static str, make: fn(&Path), fate: Fate) -> Project {
    (Case { name, make, fate }, None)
}

fn cases() -> Vec<Project> {
    vec![
        text(
            "a program to be run",
            |_| "[defaults]\nprobe = [\"touch ../outside/made\"]\n".into(),
            Told("a project cannot have programs run"),
        ),
        text(
            "a program to be run by a rule",
            |_| "[[command]]\nmatch = [\"*\"]\nprobe = [\"touch ../outside/made\"]\n".into(),
            Told("a project cannot have programs run"),
        ),
        text(
            "an output at an absolute path",
            |root| format!("[defaults]\ninputs = [\"input\"]\noutputs = [\"{}\"]\n", root.join("outside/f").display()),
            Told("outside its folder"),
        ),
        text(
            "an output with ..",
            |_| "[defaults]\ninputs = [\"input\"]\noutputs = [\"sub/../../outside/f\"]\n".into(),
            Told("outside its folder"),
        ),
        text(
            "a glob outside",
            |_| "[defaults]\ninputs = [\"input\"]\noutputs = [\"../outside/*\"]\n".into(),
            Told("outside its folder"),
        ),
        text(
            "a folder to write to",
            |root| format!("[defaults]\nallow-write = [\"{}\"]\n", root.join("outside").display()),
            Told("outside its folder"),
        ),
        text(
            "a folder to write to with ..",
            |_| "[defaults]\nallow-write = [\"..\"]\n".into(),
            Told("outside its folder"),
        ),
        text(
            "a cache of its own",
            |root| format!("cache = \"own\"\n[caches.own]\npath = \"{}\"\n", root.join("outside/cache").display()),
            Told("a project cannot say where a cache is"),
        ),
        text(
            "a cache by its folder",
            |_| "cache = \"../outside/cache\"\n".into(),
            Told("a project can only name caches"),
        ),
        text(
            "a cache of a rule by its folder",
            |_| "[[command]]\nmatch = [\"*\"]\ncache = [\"local\", \"/outside/cache\"]\n".into(),
            Told("a project can only name caches"),
        ),
        text(
            "a cache at home",
            |_| "[caches.local]\npath = \"~/elsewhere\"\n".into(),
            Told("a project cannot say where a cache is"),
        ),
        text(
            "a shared cache",
            |_| "[caches.local]\nshared = \"group\"\n".into(),
            Told("a project cannot share a cache"),
        ),
        text(
            "a glob that cannot be compiled",
            |_| format!("[[command]]\nmatch = [\"{}\"]\n", "?".repeat(200_000)),
            Told("4096 bytes"),
        ),
        text(
            "a deep glob",
            |_| format!("[defaults]\nignore-arg = [\"{}a{}\"]\n", "{".repeat(300), "}".repeat(300)),
            Told("64 braces"),
        ),
        text(
            "a glob of sets",
            |_| format!("[defaults]\nscratch = [\"{}\"]\n", "[!a-y]".repeat(100_000)),
            Told("4096 bytes"),
        ),
        text(
            "as many globs as there is room for",
            |_| format!("[defaults]\nignore-env = [{}]\n", "\"a*b?[c-d]{e,f}\",".repeat(20_000)),
            Ignored,
        ),
        text("many rules", |_| "[[command]]\nmatch = [\"never*\", \"?\"]\n".repeat(20_000), Ignored),
        text(
            "tables in tables",
            |_| format!("x = {}1{}\n", "[".repeat(100_000), "]".repeat(100_000)),
            Told("fleche.toml"),
        ),
        text("tables in tables by name", |_| format!("[{}a]\nx = 1\n", "a.".repeat(100_000)), Told("fleche.toml")),
        text("words that drive the terminal", |_| "\"\\u001b[2J\\u202e\" = 1\n".into(), Told("unknown key")),
        text(
            "a value that drives the terminal",
            |_| "cache = \"\\u001b]0;evil\\u0007\"\n".into(),
            Told("is not configured"),
        ),
        text(
            "an age without end",
            |_| "[defaults]\nttl = \"99999999999999999999y\"\n".into(),
            Told("has to be a time"),
        ),
        text("a size without end", |_| "[defaults]\nmax-entry = \"99999999999TiB\"\n".into(), Told("has to be a size")),
        text("no bytes", |_| String::new(), Ignored),
        made("no text", |path| fs::write(path, b"\xff\xfe\x1b[2J").unwrap(), Told("not UTF-8")),
        made("a FIFO", fifo, Told("is no file")),
        made("a folder", |path| fs::create_dir(path).unwrap(), Told("is no file")),
        made("a gibibyte", |path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap(), Told("larger than 4 MiB")),
        made("4 MiB of nothing", |path| fs::File::create(path).unwrap().set_len(4 << 20).unwrap(), Told("fleche.toml")),
        made("a link to what never ends", |path| symlink("/dev/zero", path).unwrap(), Told("fleche.toml")),
        made("a link to the terminal", |path| symlink("/dev/tty", path).unwrap(), Told("fleche.toml")),
        made(
            "a link to a file of the kernel that never ends",
            |path| symlink("/proc/self/pagemap", path).unwrap(),
            Told("fleche.toml"),
        ),
        made("a link to all memory", |path| symlink("/proc/kcore", path).unwrap(), Either),
        made("a link to itself", |path| symlink("fleche.toml", path).unwrap(), Ignored),
        made("a link to nothing", |path| symlink("nowhere", path).unwrap(), Ignored),
        made("a link to somebody's secrets", |path| symlink("/etc/shadow", path).unwrap(), Told("fleche.toml")),
    ]
}

#[test]
fn a_checkout_is_not_believed() {
    let cases = cases();
    tally::each(
        "projects",
        &cases,
        |(case, _)| case.name.to_owned(),
        |(case, text)| {
            let world = World::new();
            let outside = world.root().join("outside");
            fs::create_dir_all(outside.join("cache")).unwrap();
            fs::write(outside.join("f"), "the user's\n").unwrap();
            world.counted("tool", "cat input; echo done");
            world.write("input", "1\n");
            let file = world.path("fleche.toml");
            match text {
                Some(text) => fs::write(&file, text(&world.root())).unwrap(),
                None => (case.make)(&file),
            }
            let before = canary::exactly(&outside);
            for _ in 0..2 {
                let run = measured(&world, &["run", "--", "./tool"]);
                run.is_sound_and_small();
                let (code, said) = (run.outcome.code(), run.outcome.stderr());
                match case.fate {
                    Either => assert!(code == 0 || code == USAGE, "{said}"),
                    // One that belongs to another user, or may be anything: then it is passed over with a word.
                    Told(_) if code == 0 && said.contains("is not gone by") => {}
                    Told(what) => {
                        assert_eq!(
                            (code, run.outcome.stdout(), world.executions("tool")),
                            (USAGE, String::new(), 0),
                            "{said}"
                        );
                        assert!(said.contains(what), "{said}");
                        assert!(!said.contains("root:"), "{said}");
                    }
                    Ignored => assert_eq!((code, run.outcome.stdout(), said), (0, "1\ndone\n".into(), String::new())),
                }
                assert_eq!(canary::exactly(&outside), before);
                assert!(!world.home().join("elsewhere").exists());
            }
            for words in [
                &["config"][..],
                &["config", "check"],
                &["table"],
                &["bind", "--", "true"],
                &["explain", "--", "./tool"],
            ] {
                measured(&world, words).is_sound_and_small();
            }
            assert_eq!(canary::exactly(&outside), before);
        },
    );
}
