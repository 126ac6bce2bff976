//! The sessions of README.md and docs/remote.md are true: what is typed there prints what is printed there.
//!
//! A block marked `console` is run in one world, line after line. Lines that begin with `$ ` are commands for a
//! shell that finds `fleche`; the lines behind them are what standard output and standard error hold then, in
//! their order. `…` stands for a part of a line that differs from run to run: a key, a duration.

use std::fs;
use std::path::Path;

use crate::mask::is_like;
use crate::world::World;

/// A command and what it must print.
struct Step {
    command: String,
    expected: String,
}

/// The `console` blocks of a page, each as its commands.
fn sessions(page: &str) -> Vec<Vec<Step>> {
    let mut sessions: Vec<Vec<Step>> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match (is_inside, line) {
            (false, "```console") => {
                sessions.push(Vec::new());
                is_inside = true;
            }
            (true, "```") => is_inside = false,
            (true, line) => {
                let session = sessions.last_mut().unwrap();
                match line.strip_prefix("$ ") {
                    Some(command) => session.push(Step { command: command.to_owned(), expected: String::new() }),
                    None => {
                        let step = session.last_mut().expect("a session begins with a command");
                        step.expected.push_str(&format!("{line}\n"));
                    }
                }
            }
            (false, _) => {}
        }
    }
    sessions
}

/// Whether what a page shows is so, in a world that has what the page takes for granted.
#[track_caller]
fn are_true(name: &str, least: usize, world: &World) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let sessions = sessions(&page);
    assert!(sessions.len() >= least && sessions.iter().all(|session| !session.is_empty()));
    let mut faults = Vec::new();
    for step in sessions.iter().flatten() {
        let outcome = world.shell(&format!("exec 2>&1\n{}", step.command)).run();
        let printed = String::from_utf8_lossy(&outcome.stdout);
        if !is_like(&printed, &step.expected) || outcome.code() != 0 {
            faults.push(format!(
                "$ {}\nstatus {}, expected:\n{}printed:\n{printed}",
                step.command,
                outcome.code(),
                step.expected
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_sessions_of_the_readme_are_true() {
    let world = World::new();
    world.write("notes.txt", "four words are here\n");
    world.write("words.txt", "pear\napple\n");
    are_true("README.md", 3, &world);
}

#[test]
fn the_sessions_of_the_page_about_stores_are_true() {
    let world = World::new();
    let stores = "[caches.team]\nurl = \"https://cache.example/fleche\"\naccess = \"read-write\"\n\
                  [caches.near]\nurl = \"rediss://near.example\"\naccess = \"read-write\"\n";
    world.write(world.home().join(".config/fleche/config.toml"), stores);
    are_true("docs/remote.md", 2, &world);
}

#[test]
fn the_readme_names_every_subcommand_and_no_flag_that_is_none() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let command = fleche::cli::command();
    let flags: Vec<String> = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .chain(command.get_arguments())
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
        .collect();
    for name in command.get_subcommands().map(clap::Command::get_name) {
        assert!(page.contains(&format!("fleche {name}")), "README.md lacks fleche {name}");
    }
    // Flags of fleche in the prose, in backticks; those of cargo, of the linker and of example commands are not its own.
    let foreign = ["--release", "--path", "--target", "--token", "--help", "--version", "--"];
    for word in page.split('`').skip(1).step_by(2).flat_map(str::split_whitespace).filter(|word| word.starts_with("--"))
    {
        let flag = word.trim_end_matches('\'').split(['=', '[']).next().unwrap();
        assert!(flags.iter().any(|known| known == flag) || foreign.contains(&flag), "README.md names {flag}");
    }
}

#[test]
fn sessions_are_read_as_commands_and_their_output() {
    let read = sessions("text\n```console\n$ a\nb\nc\n$ d\n```\n```sh\n$ no\n```\n```console\n$ e\n```\n");
    let steps: Vec<Vec<(&str, &str)>> =
        read.iter().map(|steps| steps.iter().map(|step| (&*step.command, &*step.expected)).collect()).collect();
    assert_eq!(steps, [vec![("a", "b\nc\n"), ("d", "")], vec![("e", "")]]);
}
