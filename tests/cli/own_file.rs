//! A standard stream that is a regular file: the command writes to it by itself, and what came to be in it is stored only
//! where nobody else can have written.

use std::fs::{self, File};
use std::io::Write;

use crate::probe;
use crate::world::{World, eventually};

/// The probe among the programs, and a shell line that is run there.
struct Scene {
    world: World,
    path: std::ffi::OsString,
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        let path = probe::install(&world);
        Scene { world, path }
    }

    /// Runs a line; what fleche said of it: `hit`, `stored`, or why not.
    #[track_caller]
    fn told(&self, line: &str) -> String {
        let outcome = self.world.shell(line).env("PATH", &self.path).run();
        let stderr = outcome.stderr();
        let said =
            stderr.lines().rfind(|line| line.starts_with("fleche: ")).unwrap_or_else(|| panic!("silent: {stderr}"));
        if said.starts_with("fleche: hit ") {
            "hit".to_owned()
        } else if said.contains("; stored ") {
            "stored".to_owned()
        } else {
            said.split_once("not stored: ").unwrap_or_else(|| panic!("{said}")).1.to_owned()
        }
    }

    /// The line is stored and then replayed, and each time the file `all` holds this.
    #[track_caller]
    fn is_replayed(&self, line: &str, holds: &str) {
        for told in ["stored", "hit"] {
            assert_eq!(self.told(line), told, "{line}");
            assert_eq!(self.world.read("all"), holds, "{line}");
        }
    }

    /// The line is never stored.
    #[track_caller]
    fn is_refused(&self, line: &str, why: &str) {
        for _ in 0..2 {
            assert_eq!(self.told(line), why, "{line}");
        }
    }
}

const FILE: &str = "a file of 0 bytes, at 0\n";
const SHARED: &str = "its output is not its own alone: ";

#[test]
fn a_file_of_its_own_is_given_to_the_command() {
    let scene = Scene::new();
    // The shell has it too, and waits.
    scene.is_replayed("{ fleche run -v --pure -- tool place -; echo two; } >all", "a file of 0 bytes, at 0\ntwo\n");
    scene.is_replayed("fleche run -v --pure -- probe place - >all", FILE);
    scene.is_replayed("fleche run -v -- tool place - >all", FILE);
    scene.is_replayed(
        "fleche run -v -- tool place - >all 2>&1; sed -n 's/^fleche/&/p' all >&2; sed -i /^fleche/d all",
        FILE,
    );
    // What it wrote after going back is what a replay writes.
    scene.is_replayed("fleche run -v -- tool rewrite - >all", "FIRST\nsecond\n");
    scene.is_replayed("fleche run -v -- tool resize 1 >all", "\0");
}

#[test]
fn appending_replays_only_what_was_appended() {
    let scene = Scene::new();
    scene.world.write("all", "before\n");
    assert_eq!(scene.told("fleche run -v -- tool print hello >>all"), "stored");
    assert_eq!(scene.told("fleche run -v -- tool print hello >>all"), "hit");
    assert_eq!(scene.world.read("all"), "before\nhellohello");
    // What is in the file decides nothing: it gets a pipe.
    fs::remove_file(scene.world.path("all")).unwrap();
    assert_eq!(scene.told("fleche run -v -- tool place - >>all"), "stored");
    assert_eq!(scene.told("fleche run -v -- tool place - >>all"), "hit");
    assert_eq!(scene.world.read("all"), "no file\nno file\n");
}

#[test]
fn a_file_that_others_have_open_gets_what_comes_through_a_pipe() {
    let scene = Scene::new();
    scene.is_replayed("{ echo one; fleche run -v -- tool place -; echo two; } >all", "one\nno file\ntwo\n");
    scene.is_replayed("printf x | xargs sh -c 'fleche run -v --revision 3 -- tool place -' >all", "no file\n");
    // It is there, and not empty.
    scene.is_replayed("printf 0123456789 >all; fleche run -v -- tool print abc 1<>all", "abc3456789");
    // A child that the shell left when it became fleche.
    let line =
        "mkfifo gate; sh -c 'read word <gate & exec fleche run -v --revision 2 -- tool place -' >all; : >gate; rm gate";
    scene.is_replayed(line, "no file\n");
}

#[test]
fn recipes_of_make_share_a_log() {
    let scene = Scene::new();
    let recipes: String =
        (0..8).map(|number| format!("{number}:\n\t@fleche run --pure -- probe out 100{number}\n")).collect();
    scene.world.write("Makefile", format!("all: 0 1 2 3 4 5 6 7\n.PHONY: all 0 1 2 3 4 5 6 7\n{recipes}"));
    let sorted = |line: &str| {
        scene.world.shell(line).env("PATH", &scene.path).prints("");
        let mut bytes = fs::read(scene.world.path("log")).unwrap();
        bytes.sort_unstable();
        bytes
    };
    let (recorded, replayed) = (sorted("make -j2 >log"), sorted("make -j2 >log"));
    assert_eq!(recorded.len(), 8 * 1000 + 28);
    assert!(recorded == replayed);
    assert_eq!(probe::executions(&scene.world), 8);
}

#[test]
fn what_it_looks_at_itself_is_not_stored() {
    let scene = Scene::new();
    scene.world.write("a", "x one\n");
    let why = |name: &str| format!("it looks into `{name}`, which its output goes to");
    // Without an end if it read what it writes; grep knows its file.
    scene.is_refused("fleche run -v -- sh -c 'grep -rh x . 2>/dev/null; exit 0' >all", &why("all"));
    assert_eq!(scene.world.read("all"), "x one\n");
    scene.is_refused("fleche run -v -- cat a out >all; true", "it exited with 1");
    scene.is_refused("fleche run -v -- sh -c 'echo hi; cat all >&2' >all", &why("all"));
    scene.is_refused("fleche run -v -- sh -c 'echo hi; echo ho >/dev/stdout' >all", &why("all"));
    scene.is_refused("fleche run -v -- sh -c 'mv all elsewhere; echo hi' >all", &why("all"));
    // Through a pipe too.
    scene.is_refused("{ fleche run -v -- sh -c 'cat all; echo hi'; echo two; } >all", &why("all"));
    // A name among others is no look into it.
    fs::remove_file(scene.world.path("elsewhere")).unwrap();
    scene.is_replayed("fleche run -v -- ls >all", "a\nall\n");
}

#[test]
fn what_somebody_else_may_have_written_is_not_stored() {
    let scene = Scene::new();
    let opened = format!("{SHARED}the file was opened anew and written");
    scene.is_refused("fleche run -v --pure -- sh -c 'echo hi; : >>all' >all", &opened);
    scene.is_refused("fleche run -v --pure -- sh -c 'echo hi >&2; : >>err' 2>err; cat err >&2; rm err", &opened);
    let why = format!("{SHARED}the file does not end where it wrote last");
    scene.is_refused("fleche run -v --pure -- tool resize-and-stay 10 >all", &why);
}

#[test]
fn who_is_left_behind_may_still_write() {
    let scene = Scene::new();
    scene.world.write("a", "");
    let line = "rm -f gate; mkfifo gate; fleche run -v -i a -- tool leave-behind gate >all 2>err; cat err >&2; : >gate; \
                until grep -q late$ all; do :; done";
    scene.is_refused(line, "a process that it left behind may still write");
    assert_eq!(scene.world.read("all"), "early\nlate\n");
}

#[test]
fn what_an_orphan_writes_to_the_file_is_not_the_commands() {
    let scene = Scene::new();
    scene.world.write("a", "");
    // Nobody's child writes to what fleche was given, and ends before the command does.
    let line = "mkfifo gate back
        sh -c '(sh -c \"read word <gate; echo other; exec >back\" &) && exec fleche run -v -i a -- sh -c \
        \"echo own; echo x >gate; cat back\"' >all; cat all >&2";
    assert_eq!(scene.told(line), "stored");
    assert!(scene.world.read("all").contains("other\n"));
    assert_eq!(scene.told("fleche run -v -i a -- sh -c 'echo own; echo x >gate; cat back' >all"), "hit");
    assert_eq!(scene.world.read("all"), "own\n");
}

#[test]
fn more_than_may_be_kept_is_only_written() {
    let scene = Scene::new();
    let line = "fleche run -v --pure --max-entry 1000B -- probe out 1001 >all";
    scene.is_refused(line, "it made more than 1000 bytes");
    assert_eq!(fs::metadata(scene.world.path("all")).unwrap().len(), 1001);
    // What the file held before is not counted.
    scene.world.write("all", vec![b'x'; 5000]);
    assert_eq!(scene.told("fleche run -v --pure --max-entry 1000B -- probe out 1000 >>all"), "stored");
    assert_eq!(scene.told("fleche run -v --pure --max-entry 1000B -- probe out 1000 >>all"), "hit");
    let bytes = fs::read(scene.world.path("all")).unwrap();
    assert!(bytes.len() == 7000 && bytes[5000..6000] == bytes[6000..]);
}

#[test]
fn nothing_is_lost_when_fleche_is_killed() {
    let scene = Scene::new();
    let gate = scene.world.root().join("gate");
    scene.world.program("mkfifo", [&gate]).prints("");
    // Nobody ever comes to the gate; the command goes with fleche.
    let line = format!("exec fleche run --pure -- sh -c 'echo hello; read word <{}' >all", gate.display());
    let mut running = scene.world.shell(&line).start();
    eventually("the command writes", || fs::read(scene.world.path("all")).is_ok_and(|bytes| bytes == b"hello\n"));
    running.kill().unwrap();
    running.wait().unwrap();
    // It can be opened for writing without waiting only as long as somebody reads.
    eventually("the command ends", || {
        use std::os::unix::fs::OpenOptionsExt;
        File::options()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&gate)
            .and_then(|mut gate| gate.write(b""))
            .is_err()
    });
    assert_eq!(scene.world.read("all"), "hello\n");
}
