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
