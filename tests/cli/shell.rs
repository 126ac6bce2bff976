//! A shell whose every line is a call: what make does with it is what it does with `/bin/sh`.

use std::fs;
use std::path::Path;

use crate::mask::masked;
use crate::world::{Outcome, Session, World, search_path};

/// Recipes of all shapes: what must not differ from those of `/bin/sh`, byte for byte.
const MAKEFILE: &str = "\
export SAID = from make
V := $(shell echo from a function; echo and an error >&2; exit 3)
STATUS := $(.SHELLSTATUS)

all: quoting lines environment sub result missing
\t@echo all done with $(V) $(STATUS)

quoting:
\techo plain \"double  quoted\" 'single $$HOME' \"$$SAID\" a\\ b; echo '*' * \"`echo ticks`\"
\t@printf '%s|' \"a b\" 'c;d' \\$$ \"\\\\\" '#' > quoting; echo >> quoting; cat quoting

lines:
\t@echo one; \\
\techo two \\
\t  three; echo 'four \\
\tfive'
\t-@echo before a failure; exit 4
\t@if true; then echo yes; fi | tr a-z A-Z
\t@echo to stderr >&2

environment:
\t@echo $$SAID $$MAKELEVEL; cd /; pwd

sub:
\t+@$(MAKE) --no-print-directory -f Makefile nested

nested:
\t@echo nested at $$MAKELEVEL; echo jobs $(findstring jobserver,$(MAKEFLAGS)) | cut -c1-14

result:
\t@echo made > result; cat result

missing:
\t-@no-such-command-at-all; true

failing:
\t@echo then it fails; exit 7
\t@echo never

.PHONY: all quoting lines environment sub nested result missing failing
";

/// A world in which `fleche` is found, with this Makefile.
fn project(makefile: &str) -> World {
    let world = World::new();
    world.write("Makefile", makefile);
    world.script("bin/draft", "");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleche"), world.path("bin/fleche")).unwrap();
    world
}

fn make(world: &World, words: &[&str]) -> Session {
    let path = format!("{}:{}", world.path("bin").display(), search_path());
    world.program("make", words).env("PATH", path)
}

/// What make prints with `/bin/sh`, and then with `shell`, each time from a clean folder.
fn both(world: &World, shell: &str, words: &[&str]) -> (Outcome, Outcome) {
    let with = |shell: &str| {
        for made in ["result", "quoting"] {
            let _ = fs::remove_file(world.path(made));
        }
        // Not `/bin/sh` as it stands: for that, make starts simple lines without a shell.
        make(world, &[&[format!("SHELL={shell}").as_str()], words].concat()).run()
    };
    (with("/usr/bin/env /bin/sh"), with(shell))
}

#[track_caller]
fn same_with_make(shell: &str, words: &[&str]) {
    let (bare, cached) = both(&project(MAKEFILE), shell, words);
    assert!(!bare.stdout.is_empty());
    assert_eq!((cached.code(), cached.stdout(), cached.stderr()), (bare.code(), bare.stdout(), bare.stderr()));
}

#[test]
fn make_prints_what_it_prints_with_the_shell_itself() {
    same_with_make("fleche shell", &[]);
    same_with_make("fleche shell", &["-k", "failing", "all"]);
    same_with_make("fleche shell", &["failing"]);
    same_with_make("fleche shell", &["-n"]);
    same_with_make("fleche shell", &["-s", "-j1", "--trace"]);
    same_with_make("fleche shell", &[".SHELLFLAGS=-eu -c"]);
}

#[test]
fn a_jobserver_reaches_nested_makes() {
    let world = project(MAKEFILE);
    let (bare, cached) = both(&world, "fleche shell", &["-j3", "sub"]);
    assert_eq!(bare.stdout(), "nested at 2\njobs jobserver\n");
    cached.check(0, &bare.stdout(), &bare.stderr());
}

#[test]
fn many_jobs_print_the_same_lines() {
    let world = project(MAKEFILE);
    let (bare, cached) = both(&world, "fleche shell", &["-j4"]);
    let lines = |text: String| {
        // Whether a glob finds what another recipe makes meanwhile is for them to race for.
        let mut lines: Vec<String> = text.lines().map(|line| line.replace(" bin result ", " bin ")).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(cached.stdout()), lines(bare.stdout()));
    assert_eq!(cached.code(), 0);
}

const ONE_SHELL: &str = ".ONESHELL:\nall:\n\t@cd /\n\tpwd\n\tx=kept\n\t@echo $$x\n";

#[test]
fn with_oneshell_make_wants_one_word_and_a_script_is_one() {
    let world = project(ONE_SHELL);
    world.script("bin/sh", "#!/bin/sh\nexec fleche shell \"$@\"\n");
    let script = world.path("bin/sh");
    make(&world, &[&format!("SHELL={}", script.display())]).prints("/\nkept\n");
    make(&world, &["SHELL=/bin/sh"]).prints("/\nkept\n");
}

#[test]
fn with_oneshell_a_script_of_that_very_name_is_found() {
    let world = project(".ONESHELL:\nall:\n\t@cd /\n\tpwd\n\tx=kept\n\techo $$x\n");
    world.script("bin/fleche shell", "#!/bin/sh\nexec fleche shell \"$@\"\n");
    let path = std::env::join_paths(
        [world.path("bin"), std::path::Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(crate::world::search_path())),
    );
    make(&world, &["SHELL=fleche shell"]).env("PATH", path.unwrap()).prints("/\nkept\n");
}

/// Recipes that know nothing of fleche, and one line that makes their shell a cache.
const CACHED: &str = "\
all: whole
whole: SHELL = fleche shell $(addprefix --input=,$^) --output=$@
whole: one.part two.part
\tcat $^ > $@; echo x >> $(COUNT)
%.part: SHELL = fleche shell --input=$< --output=$@
%.part: %.text
\ttr a-z A-Z < $< > $@; echo x >> $(COUNT)
";

/// Runs make without what was made before; how many recipes were run.
#[track_caller]
fn recipes(world: &World) -> usize {
    for made in ["whole", "one.part", "two.part"] {
        let _ = fs::remove_file(world.path(made));
    }
    let count = world.count_file("recipes");
    let _ = fs::remove_file(&count);
    let outcome = make(world, &["-s", "-j2", &format!("COUNT={}", count.display())]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    world.executions("recipes")
}

#[test]
fn a_shell_of_its_own_for_a_target_caches_its_recipe() {
    let world = project(CACHED);
    world.write("one.text", "a\n");
    world.write("two.text", "b\n");
    assert_eq!((recipes(&world), world.read("whole")), (3, "A\nB\n".into()));
    assert_eq!((recipes(&world), world.read("whole")), (0, "A\nB\n".into()));
    world.write("two.text", "c\n");
    assert_eq!((recipes(&world), world.read("whole")), (2, "A\nC\n".into()));
    world.write("two.text", "b\n");
    assert_eq!((recipes(&world), world.read("whole")), (0, "A\nB\n".into()));
}

#[test]
fn a_line_is_replayed_and_its_status_is_its_own() {
    let world = World::new();
    world.counted("tool", "echo out; echo err >&2");
    let line = |line: &str| world.fleche(["shell", "--pure", "--cache-exit", "3", "-c", line]);
    line("./tool; exit 3").ends(3, "out\n", "err\n");
    line("./tool; exit 3").ends(3, "out\n", "err\n");
    assert_eq!(world.executions("tool"), 1);
    line("exit 5").ends(5, "", "");
    line("kill -TERM $$").ends(128 + 15, "", "");
}

#[test]
fn long_options_are_fleches_until_the_first_other_word() {
    let world = World::new();
    world
        .fleche([
            "shell",
            "--pure",
            "--tag=a=1",
            "--tag",
            "b=2",
            "-eu",
            "-c",
            "echo \"$0\" $*; false; echo no",
            "-v",
            "--tag",
        ])
        .ends(1, "-v --tag\n", "");
    world.fleche(["shell", "--shell", "bash", "-o", "pipefail", "-c", "false | true"]).ends(1, "", "");
    world.fleche(["shell", "--shell=bash", "--", "--norc", "-c", "echo $-"]).prints("hBc\n");
    world.fleche(["shell", "--pure", "--verbose", "-c", "echo a"]).run();
    world.fleche(["query", "--tag", "a"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn undeclared_lines_are_not_talked_about_but_with_verbose() {
    let world = World::new();
    world.fleche(["shell", "--trace", "off", "-c", "echo a"]).prints("a\n");
    for verbose in [
        world.fleche(["shell", "--trace", "off", "--verbose", "-c", "echo a"]),
        world.fleche(["-v", "shell", "--trace", "off", "-c", "echo a"]),
    ] {
        verbose.ends(0, "a\n", "fleche: not cached: its inputs are not declared\n");
    }
    let outcome = world.fleche(["-v", "shell", "--pure", "-c", "echo a"]).run();
    assert_eq!(
        masked(&outcome.stderr()),
        "fleche: miss: no call is stored for this state; stored <short> (took <time>)\n"
    );
}

#[test]
fn what_fleche_refuses_ends_with_125() {
    let world = World::new();
    let outcome = world.fleche(["shell", "--no-such-option", "-c", "echo a"]).run();
    assert_eq!((outcome.code(), outcome.stdout()), (125, String::new()));
    assert!(outcome.stderr().contains("--no-such-option"), "{}", outcome.stderr());
    world.fleche(["shell", "--input", "*.none", "-c", "echo a"]).ends(125, "", "fleche: no input matches `*.none`\n");
    world.fleche(["shell", "--shell", "/no/such", "-c", "a"]).ends(
        127,
        "",
        "fleche: cannot run `/no/such`: no such file or directory\n",
    );
    assert!(!Path::new("/no/such").exists());
}

#[test]
fn without_words_it_reads_lines_as_the_shell_does() {
    World::new().fleche(["shell"]).input("echo read\nexit 6\n").ends(6, "read\n", "");
}

#[test]
fn under_the_name_fleche_shell_it_is_one_word() {
    let world = project(ONE_SHELL);
    let name = world.path("fleche-shell");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleche"), &name).unwrap();
    world.program(&name, ["-c", "echo $0 $1", "a", "b"]).prints("a b\n");
    let lines = project(".ONESHELL:\nall:\n\t@cd /\n\tpwd\n\tx=kept\n\techo $$x\n");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleche"), lines.path("fleche-shell")).unwrap();
    let shell = format!("SHELL={}", lines.path("fleche-shell").display());
    make(&lines, &[&shell]).prints("/\nkept\n");
}
