//! Every doubt is a miss: states that a key cannot hold are not cached, and nobody's work is overwritten.

use std::fs;

use crate::world::World;

#[test]
fn process_substitution_is_not_cached() {
    let world = World::new();
    world.write("in", "z ");
    for word in ["one", "two"] {
        let line = format!("fleche run -q -i in -- cat in /dev/fd/3 3<<E\n{word}\nE\n");
        world.shell(&line).prints(&format!("z {word}\n"));
    }
}

#[test]
fn a_descriptor_of_another_process_is_not_cached() {
    let world = World::new();
    world.write("in", "z ");
    let run = "(exec 3<&-; fleche run -q -i in -- cat in /proc/$$/fd/3)";
    world.shell(&format!("exec 3<<E\none\nE\n{run}; exec 3<<E\ntwo\nE\n{run}; true")).prints("z one\nz two\n");
}

#[test]
fn a_fifo_is_not_cached() {
    let world = World::new();
    for word in ["one", "two"] {
        let line = format!(
            "rm -f p; mkfifo p; echo {word} >p & until [ -p p ]; do :; done; fleche run -q --pure -- cat p; wait"
        );
        world.shell(&line).prints(&format!("{word}\n"));
    }
}

#[test]
fn an_edit_of_what_a_glob_matches_survives() {
    let world = World::new();
    world.write("in", "x");
    world.write("notes.txt", "v1");
    let run = || world.fleche(["run", "-i", "in", "-o", "*.txt", "--", "cp", "in", "out.txt"]).run();
    let refused = "fleche: not stored: output `notes.txt` was there before, and this run did not write it\n";
    run().check(0, "", refused);
    world.write("notes.txt", "precious");
    run().check(0, "", refused);
    assert_eq!(world.read("notes.txt"), "precious");
}

#[test]
fn what_another_call_of_the_command_made_is_not_recorded_as_made_by_this_one() {
    let world = World::new();
    world.write("in", "1");
    let made = world.counted("made", "test -e out/once || { mkdir -p out; cp in out/once; }; cp in out/each");
    let run = || world.fleche(["run", "-i", "in", "-o", "out/", "--"]).arg(&made).run();
    run().check(0, "", "");
    world.write("in", "2");
    run().check(0, "", "fleche: not stored: output `out/once` was there before, and this run did not write it\n");
    // In a clean folder the command makes all of it.
    for _ in 0..2 {
        fs::remove_dir_all(world.path("out")).unwrap();
        run().check(0, "", "");
        assert_eq!((world.read("out/once").as_str(), world.read("out/each").as_str()), ("2", "2"));
    }
    assert_eq!(world.executions("made"), 3);
}

#[test]
fn closed_standard_input_is_not_an_empty_one() {
    let world = World::new();
    world.write("in", "x");
    world.shell("fleche run -i in -- cat </dev/null").prints("");
    let bare = world.shell("cat <&-").run();
    let here = world.shell("fleche run -i in -- cat <&-").run();
    assert_eq!((here.code(), here.stdout), (bare.code(), bare.stdout));
}

#[test]
fn what_one_run_ignores_counts_for_another() {
    let world = World::new();
    world.write("in", "x");
    world.fleche(["run", "-i", "in", "--ignore-arg", "-n", "--", "echo", "-n", "hello"]).prints("hello");
    world.fleche(["run", "-i", "in", "--", "echo", "hello"]).prints("hello\n");
}

#[test]
fn the_file_that_a_step_of_ci_writes_to_counts() {
    let world = World::new();
    for name in ["one", "two"] {
        let file = world.path(name);
        let step = world.fleche(["run", "--pure", "--", "sh", "-c", "echo made; echo x=1 >>\"$GITHUB_OUTPUT\""]);
        step.env("GITHUB_OUTPUT", &file).prints("made\n");
        assert_eq!(world.read(name), "x=1\n");
    }
}
