//! `--stdin`: what is read ahead, how much of it, and what the command gets.

use crate::mask::masked;
use crate::world::World;

#[test]
fn input_without_end_reaches_the_command_and_is_not_cached() {
    let world = World::new();
    let ended = |line: &str| {
        let outcome = world.shell(line).run();
        (outcome.code(), outcome.stdout(), outcome.stderr())
    };
    for options in ["--max-entry 100kB", ""] {
        let line = format!("yes | fleche run --pure {options} --stdin -- head -n 1");
        assert_eq!(ended(&line), (0, "y\n".into(), String::new()), "{options}");
    }
    let said = "fleche: not cached: standard input has more than 1000 bytes\n";
    let line = "yes | fleche run -v --pure --max-entry 1kB --stdin -- head -n 1";
    assert_eq!(ended(line), (0, "y\n".into(), said.into()));
    assert!(!world.cache().join("calls").exists());
}

#[test]
fn input_beyond_the_limit_arrives_whole() {
    let world = World::new();
    let bare = world.shell("seq 300000 | cksum").run();
    for limit in ["1B", "64KiB", "1MB", "2MB"] {
        let line = format!("seq 300000 | fleche run --pure --max-entry {limit} --stdin -- cksum");
        assert_eq!(world.shell(&line).run(), bare, "{limit}");
    }
    assert_eq!(world.shell("printf 12345678901 | fleche run -v --pure --max-entry 11 --stdin -- cat").run().code(), 0);
    let outcome = world.shell("printf 12345678901 | fleche run -v --pure --max-entry 11 --stdin -- cat").run();
    assert_eq!(
        (outcome.stdout(), masked(&outcome.stderr())),
        ("12345678901".into(), "fleche: hit <short> (saved <time>)\n".into())
    );
}

#[test]
fn what_is_no_file_is_handed_on_and_not_cached() {
    let world = World::new();
    let said = |name: &str| {
        format!(
            "fleche: not cached: standard input cannot be kept: `{name}` is not a regular file, but `--stdin < {name}` reads \
             it ahead; the command gets it all the same\n"
        )
    };
    let run = "fleche run --pure --stdin-from";
    world.shell(&format!("{run} /dev/zero -- head -c 1 | cksum")).ends(0, "4215202376 1\n", &said("/dev/zero"));
    // A FIFO whose only writer ends: opened a second time it would never be read to the end.
    for word in ["one", "two"] {
        world.shell(&format!("mkfifo p; echo {word} >p & {run} p -- cat; rm p; wait")).ends(
            0,
            &format!("{word}\n"),
            &said("p"),
        );
    }
    let outcome = world.shell(&format!("exec bash -c '{run} <(echo P) -- cat'")).run();
    assert_eq!((outcome.code(), outcome.stdout()), (0, "P\n".into()));
    assert!(!world.cache().join("calls").exists());
}

#[test]
fn nothing_is_as_good_as_an_empty_file() {
    let world = World::new();
    world.counted("tool", "cat; echo done");
    for _ in 0..2 {
        world.shell("fleche run --pure --stdin-from /dev/null -- ./tool").prints("done\n");
    }
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn digesting_opens_no_stream() {
    let world = World::new();
    let said = "fleche: standard input cannot be kept: `p` is not a regular file, but `--stdin < p` reads it ahead\n";
    world.shell("mkfifo p; exec fleche digest --pure --stdin-from p -- cat").ends(2, "", said);
}
