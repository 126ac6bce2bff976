//! Descriptors beyond the standard ones: what a command does there is never lost on a replay.

use crate::mask::masked;
use crate::world::{Outcome, World};

fn world(body: &str) -> World {
    let world = World::new();
    world.counted("tool", body);
    world.write("file", "one\ntwo\n");
    world
}

/// Runs a line in which RUN stands for `fleche run -q -i file --`, and again; how often the tool was executed.
fn twice(world: &World, line: &str) -> (Outcome, Outcome, usize) {
    let before = world.executions("tool");
    let line = line.replace("RUN", "fleche run -q -i file --");
    let (first, second) = (world.shell(&line).run(), world.shell(&line).run());
    (first, second, world.executions("tool") - before)
}

#[test]
fn what_is_written_to_another_descriptor_is_never_lost() {
    let world = world("echo x >&3");
    for line in [
        "RUN ./tool 3>log; cat log",
        "RUN ./tool 3>>log; tail -n 1 log; : >log",
        "RUN ./tool 3<>log; cat log; rm log",
        "RUN ./tool 3>&1",
        "{ RUN ./tool 3>&1 >/dev/null; } | cat",
        "RUN ./tool 3>&1 | cat",
    ] {
        let (first, second, executions) = twice(&world, line);
        assert_eq!((first.stdout(), second.stdout(), executions), ("x\n".into(), "x\n".into(), 2), "{line}");
    }
}

#[test]
fn what_is_read_from_another_descriptor_is_read_again() {
    let world = world("read line <&3; echo $line");
    for line in [
        "{ RUN ./tool 3<&0 </dev/null; cat; } <file",
        "{ RUN ./tool; cat <&3; } 3<file",
        "cat file | { RUN ./tool 3<&0 </dev/null; cat; }",
        "{ RUN ./tool; cat <&3; } 3<>file",
    ] {
        let (first, second, executions) = twice(&world, line);
        assert_eq!((first.stdout(), executions), ("one\ntwo\n".into(), 2), "{line}");
        assert_eq!(first, second, "{line}");
    }
}

#[test]
fn what_is_read_through_a_path_or_in_place_counts() {
    let world = world("n=3; cat /dev/fd/$n");
    // The same file with other text, then another file; the last line has another offset.
    for (line, printed, executions) in [
        ("echo one >d; RUN ./tool 3<d", "one\n", 1),
        ("RUN ./tool 3<d", "one\n", 1),
        ("echo two >d; RUN ./tool 3<d", "two\n", 2),
        ("echo six >e; RUN ./tool 3<e", "six\n", 3),
        ("RUN ./tool 3<>e", "six\n", 4),
        ("exec 3<e; read line <&3; RUN ./tool", "six\n", 5),
    ] {
        world.shell(&line.replace("RUN", "fleche run -q -i file --")).prints(printed);
        assert_eq!(world.executions("tool"), executions, "{line}");
    }
}

#[test]
fn a_folder_counts_like_a_file() {
    let world = world("n=3; ls /proc/self/fd/$n/");
    world.write("a/one", "");
    world.write("b/two", "");
    let line = |folder: &str| format!("fleche run -q -i file -- ./tool 3<{folder}");
    world.shell(&line("a")).prints("one\n");
    world.shell(&line("b")).prints("two\n");
    world.write("b/three", "");
    world.shell(&line("b")).prints("three\ntwo\n");
    let executions = world.executions("tool");
    // One that nobody changes any more.
    let bare = world.shell("ls /usr/").run();
    assert_eq!(
        (world.shell(&line("/usr")).run(), world.shell(&line("/usr")).run()),
        (bare, world.shell("ls /usr/").run())
    );
    assert_eq!(world.executions("tool"), executions + 1);
}

#[test]
fn a_file_that_changes_under_the_command_is_no_part_of_a_stored_call() {
    let world = world("echo two >d; cat d");
    world.write("d", "one\n");
    world.shell("fleche run -v -i file -- ./tool 3<d").ends(
        0,
        "two\n",
        "fleche: miss: no call is stored for this state; not stored: the file at descriptor 3 was read or written; close \
         it, as in `3>&-`, if the command does not need it\n",
    );
}

#[test]
fn what_was_recorded_with_a_closed_descriptor_answers_for_no_open_one() {
    let world = world("{ echo x >&3; } 2>/dev/null; true");
    let (_, _, executions) = twice(&world, "RUN ./tool");
    assert_eq!(executions, 1);
    let (first, second, executions) = twice(&world, "RUN ./tool 3>log; cat log");
    assert_eq!((first.stdout(), second.stdout(), executions), ("x\n".into(), "x\n".into(), 2));
}

#[test]
fn descriptors_that_are_not_used_do_no_harm() {
    let world = world("echo out");
    world.program("mkfifo", ["../ended"]).prints("");
    for line in [
        "RUN ./tool 3<file 4>>log 5</dev/null 6</usr 7</dev/zero",
        "flock lock RUN ./tool",
        ": >../ended & exec 8<../ended; wait; RUN ./tool",
        // A pipe that nobody told the command of.
        "exec bash -c 'RUN ./tool 77>&1' | cat",
    ] {
        let (first, second, executions) = twice(&world, line);
        assert_eq!((first.stdout(), second.stdout(), executions), ("out\n".into(), "out\n".into(), 1), "{line}");
    }
}

#[test]
fn a_descriptor_of_which_the_command_was_told_may_be_used() {
    let world = world("exec bash -c \"echo x >&${1#--fd=}\"");
    let (first, second, executions) = twice(&world, "exec bash -c 'RUN ./tool --fd=77 77>&1' | cat");
    assert_eq!((first.stdout(), second.stdout(), executions), ("x\n".into(), "x\n".into(), 2));
}

#[test]
fn what_is_open_where_an_argument_or_a_variable_tells_counts() {
    let world = world("echo hi 2>/dev/null >&\"$1\"; cat /dev/fd/$FD; echo done");
    world.script("tool", &world.read("tool").replace("#!/bin/sh", "#!/bin/bash"));
    // The number is closed, then a file is open there, then the file holds another text.
    let run = "fleche run -q -i file -- ./tool";
    for (line, printed, executions) in [
        (format!("FD=9 {run} 12 9</dev/null"), "done\n", 1),
        (format!("FD=9 {run} 12 9</dev/null 12>log; cat log"), "done\nhi\n", 2),
        (format!("FD=12 {run} 1 12<file"), "hi\none\ntwo\ndone\n", 3),
        (format!("echo x >text; FD=12 {run} 1 12<text"), "hi\nx\ndone\n", 4),
        (format!("FD=12 {run} 1 12<text"), "hi\nx\ndone\n", 4),
        (format!("echo y >text; FD=12 {run} 1 12<text"), "hi\ny\ndone\n", 5),
    ] {
        world.shell(&format!("exec bash -c '{line}'")).prints(printed);
        assert_eq!(world.executions("tool"), executions, "{line}");
    }
}

#[test]
fn a_pipe_of_which_the_command_was_told_refuses_it_at_once() {
    let world = world("echo out");
    for (told, line) in [
        (true, "fleche run -i file -- ./tool --fd=77 77>&1"),
        (true, "fleche run -i file -- ./tool --fd=077 77>&1"),
        (true, "OUT=/dev/fd/77 fleche run -i file -- ./tool 77>&1"),
        (false, "FD=77 fleche run -i file --env-mode strict -- ./tool 77>&1"),
        (false, "COLORS=01:77 fleche run -i file -- ./tool 177 77>&1"),
    ] {
        let said = "fleche: not cached: descriptor 77 is a pipe, which a replay cannot serve; close it, as in `3>&-`, if the \
                    command does not need it\n";
        let outcome = world.shell(&format!("exec bash -c '{line}' | cat")).run();
        assert_eq!(
            (outcome.stdout(), outcome.stderr()),
            ("out\n".into(), if told { said.into() } else { String::new() })
        );
    }
}

#[test]
fn a_second_way_to_standard_output_or_error_is_refused_and_named() {
    let world = world("echo out");
    let refused = |number: u8, what: &str| {
        let hint = "close it, as in `3>&-`, if the command does not need it";
        format!("fleche: not cached: descriptor {number} is {what}, which a replay cannot serve; {hint}\n")
    };
    for (redirections, said, expected) in [
        (">log 3>&1", refused(3, "standard output"), 2),
        (">log 3>>log", refused(3, "standard output"), 2),
        ("2>log 4<>log", refused(4, "standard error"), 2),
        // Of this one nobody told the command: it only is not stored.
        (">log 77>&1", String::new(), 2),
        ("3>/dev/null >/dev/null; echo out >log", String::new(), 1),
    ] {
        let before = world.executions("tool");
        let line = format!("exec bash -c 'fleche run -i file -- ./tool {redirections}; cat log' 2>&1");
        for _ in 0..2 {
            let outcome = world.shell(&line).run();
            let mut lines: Vec<String> = outcome.stdout().lines().map(|line| format!("{line}\n")).collect();
            lines.sort();
            assert_eq!(lines.concat(), format!("{said}out\n"), "{redirections}");
        }
        assert_eq!(world.executions("tool") - before, expected, "{redirections}");
        world.program("rm", ["log"]).prints("");
        world.write("file", redirections);
    }
}

#[test]
fn what_fleche_itself_opens_is_none_of_them() {
    let world = world("cat");
    let taken = "3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null 9</dev/null";
    let line = format!("fleche run -i file --stdin -- ./tool 10 11 12 13 14 15 16 {taken}");
    world.shell(&format!("echo x | {line}")).prints("x\n");
    world.shell(&format!("echo x | {line}")).prints("x\n");
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn a_jobserver_is_none_of_them() {
    let world = world("echo out");
    world.write("Makefile", "all: ; +@fleche run -i file -- ./tool\nplain: ; @fleche run -i file -- ./tool\n");
    for target in ["all", "plain", "all"] {
        let outcome = world.shell(&format!("make -j2 {target}")).run();
        assert_eq!((outcome.stdout(), outcome.stderr()), ("out\n".into(), String::new()), "{target}");
    }
    assert_eq!(world.executions("tool"), 1);
    // make still names it to those who do not get it, where another thing may be open.
    let line = "MAKEFLAGS=--jobserver-auth=3,4 fleche run -q -i file -- ./tool 3>&1 | cat";
    world.shell(line).prints("out\n");
    world.shell(line).prints("out\n");
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn a_stale_call_with_a_descriptor_is_made_again_at_once() {
    // The refresh would have to do without the descriptor.
    let world = world("echo out");
    let line = "fleche run -v -i file --ttl 0s --stale 1h -- ./tool 3<file";
    world.shell(line).run();
    let outcome = world.shell(line).run();
    let said = "fleche: miss: the stored call is too old; stored <short> (took <time>)\n";
    assert_eq!((outcome.stdout(), masked(&outcome.stderr())), ("out\n".into(), said.into()));
}

#[test]
fn the_reason_is_named() {
    let world = world("echo out");
    world.shell("fleche run -i file -- ./tool 3>&1 | cat").ends(
        0,
        "out\n",
        "fleche: not cached: descriptor 3 is a pipe, which a replay cannot serve; close it, as in `3>&-`, if the command does \
         not need it\n",
    );
    world.counted("tool", "echo x >&3");
    world.shell("fleche run -v -i file -- ./tool 3>log").ends(
        0,
        "",
        "fleche: miss: no call is stored for this state; not stored: the file at descriptor 3 was read or written; close \
         it, as in `3>&-`, if the command does not need it\n",
    );
}
