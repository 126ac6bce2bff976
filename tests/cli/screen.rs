//! What questions show on a terminal: bars, borders and colours, a line a row, how far a long work is.

use crate::terminal::shown;
use crate::world::World;

/// A world with three calls, one of them with a command line that no terminal holds.
fn world() -> World {
    let world = World::new();
    let long = "word ".repeat(60);
    for words in [&["printf", "%s", long.as_str()][..], &["echo", "one"], &["echo", "one"], &["echo", "two"]] {
        let outcome = world.fleche(["run", "--pure", "--"].iter().chain(words)).run();
        assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    }
    world
}

#[test]
fn a_row_of_a_table_is_a_line_of_the_terminal() {
    let world = world();
    let screen = shown(&world, "fleche table --columns key,command,exit");
    let lines: Vec<&str> = screen.lines().collect();
    // Three borders, the heading, a line a call.
    assert_eq!(lines.len(), 7, "{screen}");
    assert!(lines.iter().all(|line| plain(line).chars().count() <= 99), "{screen}");
    assert!(lines[5].contains("printf %s 'word word") && lines[5].contains('…'), "{screen}");
    let keys: Vec<&str> = lines[3..6].iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    let expanded = world.fleche(["expand"].iter().chain(&keys)).run();
    assert_eq!((expanded.code(), expanded.stdout().lines().count()), (0, 3));
}

/// A line without what only colours it.
fn plain(line: &str) -> String {
    let mut rest = line;
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        text.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    text + rest
}

#[test]
fn statistics_have_bars_on_a_terminal() {
    let world = world();
    let screen = shown(&world, "fleche stats");
    let bar = screen.lines().find(|line| line.contains("no-call")).unwrap();
    assert!(plain(bar).ends_with(&"█".repeat(24)), "{screen}");
    assert!(!shown(&world, "fleche stats | cat").contains('█'));
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let world = world();
    let has_colour = |line: &str| shown(&world, line).contains('\u{1b}');
    for command in ["fleche stats", "fleche table", "fleche graph"] {
        assert!(has_colour(command), "{command}");
        assert!(!has_colour(&format!("env NO_COLOR=1 {command}")), "{command}");
        assert!(!has_colour(&format!("env TERM=dumb {command}")), "{command}");
        assert!(!has_colour(&format!("{command} --color never")), "{command}");
        assert!(!has_colour(&format!("{command} | cat")), "{command}");
    }
    // A table in a pipe is for programs, whatever is said of colours.
    assert!(has_colour("fleche stats --color always | cat") && !has_colour("fleche table --color always | cat"));
}

#[test]
fn a_long_work_says_how_far_it_is() {
    let world = world();
    for number in 0..20 {
        world.fleche(["run", "--pure", "--", "echo", &number.to_string()]).prints(&format!("{number}\n"));
    }
    for shard in 0..=255 {
        std::fs::create_dir_all(world.cache().join(format!("values/{shard:02x}"))).unwrap();
    }
    // Each file that is opened, each folder that is listed takes so many microseconds that it is long on any machine.
    for (command, what, slow) in [
        ("verify", "checking", "openat,openat2:delay_exit=12000"),
        ("gc", "looking for garbage", "getdents64:delay_exit=3000"),
    ] {
        let syscall = slow.split(':').next().unwrap();
        let slowly = format!("strace -f -qq -o /dev/null -e trace={syscall} -e inject={slow}");
        let screen = shown(&world, &format!("env TERM=xterm {slowly} fleche {command}"));
        assert!(screen.contains(&format!("{what} [")), "{command}: {}", screen.escape_debug());
        let quiet = shown(&world, &format!("env TERM=xterm {slowly} fleche -q {command}"));
        assert_eq!(quiet, "", "{command}");
        let redirected = shown(&world, &format!("env TERM=xterm {slowly} fleche {command} 2>messages"));
        assert_eq!((redirected.as_str(), world.read("messages").as_str()), ("", ""), "{command}");
    }
}

#[test]
fn a_table_of_a_narrow_terminal_shows_what_tells_most() {
    let world = world();
    let screen = shown(&world, "sh -c 'stty cols 80 <&2; fleche table'");
    let lines: Vec<String> = screen.lines().map(plain).collect();
    assert_eq!(lines.len(), 7, "{screen}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{screen}");
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        ["│", "key", "command", "exit", "started", "walltime", "│"]
    );
}

#[test]
fn what_is_too_long_for_any_table_is_cut() {
    let world = World::new();
    let outcome = world.fleche(["run", "--pure", "--", "true", &"x".repeat(70_000)]).run();
    assert_eq!(outcome.code(), 0);
    let screen = shown(&world, "fleche table");
    assert_eq!(screen.lines().count(), 5, "{screen}");
}
