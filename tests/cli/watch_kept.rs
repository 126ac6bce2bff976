//! What counts only for some programs, or only where they are told to look: caches that programs keep for themselves, and what
//! tells of the machine.

use std::fs;
use std::process::Command;

use crate::watch::{is_hit, is_refused, is_stored, told};
use crate::world::World;

/// A world in which `keeper` and `python3` are shells that fleche does not know as such.
fn world_of_keepers() -> World {
    let world = World::new();
    for name in ["keeper", "python3"] {
        let copied = Command::new("cp").arg("/bin/sh").arg(world.path(name)).status().unwrap();
        assert!(copied.success());
    }
    fs::create_dir_all(world.home().join(".cache/d")).unwrap();
    world
}

#[test]
fn what_is_read_in_the_cache_folder_counts_for_programs_that_keep_nothing_there() {
    let world = world_of_keepers();
    let x = world.home().join(".cache/d/x");
    for line in ["cat ~/.cache/d/x", "cd ~/.cache/d && grep -h . *", "read line < ~/.cache/d/x; echo $line"] {
        for content in ["1\n", "2\n"] {
            fs::write(&x, content).unwrap();
            is_stored(&world, line, content);
            is_hit(&world, line, content);
        }
    }
    is_stored(&world, "ls ~/.cache/d", "x\n");
    is_hit(&world, "ls ~/.cache/d", "x\n");
    fs::write(x.with_file_name("y"), "").unwrap();
    is_stored(&world, "ls ~/.cache/d", "x\ny\n");
}

#[test]
fn what_is_removed_from_the_cache_folder_is_so_each_time() {
    let world = world_of_keepers();
    let x = world.home().join(".cache/d/x");
    let why =
        format!("it wrote `{}`, which is outside the root; --allow-write names folders where it may", x.display());
    for _ in 0..2 {
        fs::write(&x, "1\n").unwrap();
        assert_eq!(told(&world, &[], "rm ~/.cache/d/x").0, why);
        assert!(!x.exists());
    }
}

#[test]
fn programs_keep_caches_for_themselves() {
    let world = world_of_keepers();
    let x = world.home().join(".cache/d/x");
    world.write("body", "[ -e ~/.cache/d/x ] || echo made > ~/.cache/d/x; read line < ~/.cache/d/x; echo ${#line}\n");
    is_stored(&world, "./keeper body", "4\n");
    assert_eq!(fs::read_to_string(&x).unwrap(), "made\n");
    fs::write(&x, "other\n").unwrap();
    is_hit(&world, "./keeper body", "4\n");
    // Told to look there it does not look for itself.
    for line in ["./keeper -c 'read line < ~/.cache/d/x; echo $line'", "./keeper -c '. ./read' name=$HOME/.cache/d"] {
        world.write("read", "read line < ~/.cache/d/x; echo $line\n");
        for content in ["1\n", "2\n"] {
            fs::write(&x, content).unwrap();
            is_stored(&world, line, content);
            is_hit(&world, line, content);
        }
    }
}

#[test]
fn what_a_keeper_has_changed_is_nobodys_input() {
    let world = world_of_keepers();
    let x = world.home().join(".cache/d/x");
    world.write("body", "echo made > ~/.cache/d/x\n");
    let line = "./keeper body; cat ~/.cache/d/x";
    is_stored(&world, line, "made\n");
    is_hit(&world, line, "made\n");
    let line = "./keeper body; cat ~/.cache/d/x; :";
    is_refused(&world, &[], line, &format!("it changed `{}` before that could be read", x.display()));
}

#[test]
fn compiled_sources_are_pythons_alone() {
    let world = world_of_keepers();
    world.write("body", "[ -e __pycache__/m.pyc ] || echo x > __pycache__/m.pyc\n");
    fs::create_dir(world.path("__pycache__")).unwrap();
    is_stored(&world, "./python3 body", "");
    assert_eq!(world.read("__pycache__/m.pyc"), "x\n");
    world.write("__pycache__/m.pyc", "y\n");
    is_hit(&world, "./python3 body", "");
    for (line, prints) in [("cat __pycache__/m.pyc", "y\n"), ("find __pycache__ -type f", "__pycache__/m.pyc\n")] {
        is_stored(&world, line, prints);
        is_hit(&world, line, prints);
    }
    world.write("__pycache__/m.pyc", "z\n");
    world.write("__pycache__/n.pyc", "");
    is_stored(&world, "cat __pycache__/m.pyc", "z\n");
    is_stored(&world, "find __pycache__ -type f | sort", "__pycache__/m.pyc\n__pycache__/n.pyc\n");
    // What is copied is an output, whatever it is.
    for verdict in ["stored", "hit"] {
        assert_eq!(told(&world, &[], "cp -r __pycache__ copy").0, verdict);
        assert_eq!(world.read("copy/m.pyc"), "z\n");
        fs::remove_dir_all(world.path("copy")).unwrap();
    }
}

#[test]
fn what_is_never_observed_counts_where_it_is_named() {
    let world = World::new();
    let count = |path: &str| world.fleche(["query", "--count", "--input", path]).run().stdout();
    is_stored(&world, "head -c 0 /etc/passwd", "");
    assert_eq!(count("/etc/passwd"), "1\n");
    is_stored(&world, "cd /etc; head -c 0 group", "");
    assert_eq!(count("/etc/group"), "1\n");
    world.write("script", "read line < /etc/passwd\n");
    is_stored(&world, "sh script", "");
    assert_eq!(count("/etc/passwd"), "2\n");
    // The library reads it for the names of users.
    world.write("f", "");
    assert_eq!(told(&world, &[], "ls -l f").0, "stored");
    assert_eq!(count("/etc/passwd"), "2\n");
}

#[test]
fn what_the_kernel_tells_is_not_stored_where_somebody_wants_to_know_it() {
    let world = World::new();
    world.write("script", "read line < /proc/loadavg; echo $line\n");
    let used = |path: &str| format!("it used `{path}`, which others share");
    for (line, path) in [
        ("cat /proc/loadavg", "/proc/loadavg"),
        ("sh script", "/proc/loadavg"),
        ("cd /proc; cat loadavg", "/proc/loadavg"),
        ("ls /sys/kernel", "/sys/kernel"),
        ("stat -c %a /sys/kernel", "/sys/kernel"),
        ("[ -e /proc/version ] && echo there", "/proc/version"),
    ] {
        is_refused(&world, &[], line, &used(path));
    }
    let line = "echo x > /dev/null; cat /dev/null; [ -c /dev/null ] && echo $((1 + 1))";
    is_stored(&world, line, "2\n");
    is_hit(&world, line, "2\n");
}

#[test]
fn what_programs_tell_of_the_machine_counts_or_is_not_stored() {
    let world = World::new();
    let bare = |line: &str| world.program("/bin/sh", ["-c", line]).run().stdout();
    for line in ["uname -n", "uname -s; id -u", "nproc"] {
        is_stored(&world, line, &bare(line));
        is_hit(&world, line, &bare(line));
    }
    // Wherever it may run, it tells how many of the processors that are.
    for processors in ["0", "0-1", "1"] {
        let run = |with: &str| world.shell(&format!("taskset -c {processors} {with} nproc")).run();
        if run("").code() == 0 {
            assert_eq!(run("fleche run --").stdout(), run("").stdout(), "{processors}");
        }
    }
    for line in ["df .", "stat -f ."] {
        let first = told(&world, &[], line).0;
        assert_eq!(told(&world, &[], line).0, first);
        assert!(first.ends_with("df`, which tells of the machine") || first.ends_with("which others share"), "{first}");
    }
}
