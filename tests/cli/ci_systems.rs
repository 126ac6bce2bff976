//! What README.md says to CI systems: each session is run twice, as on two machines that share nothing but what the system
//! carries on.

use std::fs;
use std::path::Path;

use crate::world::World;

/// The block of the page that begins with this line, without it.
fn block(first: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let start = page.find(&format!("```{first}\n")).unwrap_or_else(|| panic!("README.md has no block {first}"));
    let body = &page[start + first.len() + 4..];
    body[..body.find("\n```").unwrap() + 1].to_owned()
}

/// The commands of a system's file: what stands behind this word.
fn commands(text: &str, word: &str) -> Vec<String> {
    let behind = |line: &str| line.trim().strip_prefix(word).map(str::to_owned);
    let commands: Vec<String> = text.lines().filter_map(behind).filter(|line| !line.contains(": ")).collect();
    assert!(commands.len() >= 3, "{commands:?}");
    commands
}

/// A checkout of the project, and a compiler that tells on itself.
fn machine() -> World {
    let world = World::new();
    let source = |name: &str, text: &str| drop(world.write(name, text));
    source("list.h", "int first(void);\n");
    source("main.c", "#include \"list.h\"\nint main(void) { return first(); }\n");
    source("list.c", "#include \"list.h\"\nint first(void) { return 0; }\n");
    source("Makefile", &block("make\n# Makefile").replace("CC := fleche run -- cc", "CC := cc"));
    // Where the compilers are counted is no part of the project; behind the last table of the page, which is that of compilers.
    source("fleche.toml", &(block("toml\n# fleche.toml of the demo") + "scratch = [\"compilers\"]\n"));
    let real = world.shell("command -v cc").run().stdout();
    world.script("bin/cc", &format!("#!/bin/sh\necho x >> compilers\nexec {} \"$@\"\n", real.trim()));
    world
}

/// Runs the lines there, with these variables; gives how many compilers were started.
fn job(world: &World, lines: &[String], variables: &[(&str, &str)]) -> usize {
    let _ = fs::remove_file(world.path("compilers"));
    let program = Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap();
    let path = format!("{}:{}:{}", program.display(), world.path("bin").display(), crate::world::search_path());
    for line in lines {
        let mut session = world.shell(line).env("PATH", &path);
        for (name, value) in variables {
            session = session.env(name, value);
        }
        let outcome = session.run();
        assert_eq!(outcome.code(), 0, "{line}: {}", outcome.stderr());
    }
    fs::read_to_string(world.path("compilers")).map_or(0, |text| text.lines().count())
}

/// The same job twice, as on two machines alike: of the first one only `calls.fleche` is left.
fn carried_on(lines: &[String], variables: impl Fn(&str) -> Vec<(&'static str, String)>) {
    let world = machine();
    let run = |number: &str| {
        let own = variables(number);
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        job(&world, lines, &own)
    };
    assert_eq!(run("0"), 3);
    let (binary, carried) = (fs::read(world.path("demo")).unwrap(), fs::read(world.path("calls.fleche")).unwrap());
    world.remove_cache();
    for made in ["demo", "main.o", "list.o"] {
        fs::remove_file(world.path(made)).unwrap();
    }
    assert_eq!(run("1"), 0);
    assert!(fs::read(world.path("demo")).unwrap() == binary);
    // What the second job used, it carries on whole.
    let again = fs::read(world.path("calls.fleche")).unwrap();
    assert!(again.len().abs_diff(carried.len()) < 100, "{} {}", again.len(), carried.len());
}

#[test]
fn github_actions() {
    let lines = commands(&block("yaml\n# .github/workflows/build.yml"), "- run: ");
    carried_on(&lines, |number| {
        vec![
            ("FLECHE_SESSION", format!("{number}-build")),
            ("GITHUB_RUN_ID", number.to_owned()),
            ("GITHUB_SHA", number.to_owned()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", number.to_owned()),
            ("RUNNER_TEMP", format!("/tmp/runner{number}")),
            ("CI", "true".to_owned()),
        ]
    });
}

#[test]
fn gitlab() {
    let text = block("yaml\n# .gitlab-ci.yml");
    let lines = commands(text.split("script:").nth(1).unwrap(), "- ");
    carried_on(&lines, |number| {
        vec![
            ("FLECHE_SESSION", number.to_owned()),
            ("CI_JOB_ID", number.to_owned()),
            ("CI_COMMIT_SHA", number.to_owned()),
            ("GITLAB_USER_ID", number.to_owned()),
            ("HOSTNAME", format!("runner-{number}")),
            ("CI_PIPELINE_ID", format!("9{number}")),
            ("CI", "true".to_owned()),
        ]
    });
}

/// With what both pages say about variables: they are of no account to compilers alone.
#[test]
fn what_names_a_commit_is_not_replayed_for_another_one() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/remote.md")).unwrap();
    let rule = page.split("```toml\n").find(|text| text.starts_with("[[command]]\n")).unwrap();
    let rule = rule.split("```").next().unwrap();
    for settings in [block("toml\n# fleche.toml of the demo"), rule.to_owned()] {
        let world = machine();
        world.write("fleche.toml", settings);
        for (variable, value) in
            [("GITHUB_SHA", "a"), ("GITHUB_SHA", "b"), ("CI_COMMIT_SHA", "a"), ("CI_COMMIT_SHA", "b")]
        {
            let line = format!("fleche run -- sh -c 'echo ${variable}'");
            world.shell(&line).env(variable, value).prints(&format!("{value}\n"));
        }
        // And each job finds what another one compiled.
        let compile = |number: &str| {
            let session =
                world.shell("fleche -v run -i list.c -i list.h -o list.o -- cc -c list.c").env("GITHUB_SHA", number);
            session.env("CI_COMMIT_SHA", number).env("HOSTNAME", number).run().stderr()
        };
        assert!(compile("a").contains("stored") && compile("b").contains("fleche: hit "));
    }
}

#[test]
fn a_plain_makefile() {
    let world = machine();
    world.write("Makefile", block("make\n# Makefile"));
    let make = ["make demo".to_owned()];
    assert_eq!(job(&world, &make, &[]), 3);
    let clean = ["rm -f demo *.o".to_owned(), "make demo".to_owned()];
    assert_eq!(job(&world, &clean, &[]), 0);
    world.write("list.c", "#include \"list.h\"\nint first(void) { return 2; }\n");
    assert_eq!(job(&world, &make, &[]), 2);
    assert_eq!(world.program(world.path("demo"), [""; 0]).run().code(), 2);
}
