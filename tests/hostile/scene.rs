//! A world with a command that was recorded, something outside that nobody may touch, and a bare twin.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::canary::{self, Tree};
use crate::forgery;
use crate::world::{Outcome, World};

/// More memory than an ordinary run must not be taken by one that meets what others made, in KiB.
pub const MORE_MEMORY: u64 = 192 << 10;

/// Starts its words from a process that is small, since the first process image counts in what the kernel tells of a
/// process's memory; notes the most of that, ends what does not end, and ends in the same way.
const LAUNCHER: &str = r"
import os, signal, sys
for name in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(name, signal.SIG_DFL)
child = os.fork()
if child == 0:
    # What python adds to the environment.
    os.environ.pop('LC_CTYPE', None)
    os.execv(sys.argv[2], sys.argv[2:])
late = []
def end(*_):
    late.append(1)
    os.kill(child, signal.SIGKILL)
signal.signal(signal.SIGALRM, end)
signal.alarm(60)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], 'w') as note:
    note.write('%d %d' % (usage.ru_maxrss, len(late)))
if os.WIFSIGNALED(status):
    signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.waitstatus_to_exitcode(status))
";

/// What a run of fleche came to.
pub struct Measured {
    pub outcome: Outcome,
    /// The most memory that it or something that it started had, in KiB.
    pub memory: u64,
}

impl Measured {
    /// It ended by itself and without a defect, and says nothing that drives a terminal.
    #[track_caller]
    pub fn is_sound(&self) {
        let Outcome { status, stdout, stderr } = &self.outcome;
        let said = String::from_utf8_lossy(stderr);
        assert!(status.core_dumped() || status.signal().is_none(), "{status:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("defect"), "{said}");
        is_harmless(stderr);
        is_harmless(stdout);
    }

    /// The same, and within the bound of memory.
    #[track_caller]
    pub fn is_sound_and_small(&self) {
        self.is_sound();
        let most = ordinary_memory() + MORE_MEMORY;
        assert!(self.memory <= most, "{} KiB, and at most {most} were to be", self.memory);
    }
}

/// Nothing in it does more on a terminal than to be shown.
#[track_caller]
pub fn is_harmless(text: &[u8]) {
    let text = std::str::from_utf8(text).expect("what is said is text");
    let is_shown = |c: char| {
        matches!(c, '\n' | '\t')
            || !c.is_control()
                && !matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    assert!(text.chars().all(is_shown), "{text:?}");
}

/// Runs a session through the launcher.
pub fn measured(world: &World, words: &[&str]) -> Measured {
    let note = world.root().join("note-of-memory");
    let start = ["-c", LAUNCHER, note.to_str().unwrap(), env!("CARGO_BIN_EXE_fleche")];
    let outcome = world.program("python3", start.iter().chain(words)).run();
    let text = fs::read_to_string(&note).unwrap_or_else(|_| panic!("the launcher failed: {outcome:?}"));
    fs::remove_file(&note).unwrap();
    let (memory, late) = text.split_once(' ').unwrap();
    assert_eq!(late, "0", "{words:?} does not end");
    Measured { outcome, memory: memory.parse().unwrap() }
}

/// What an ordinary hit takes, in KiB.
fn ordinary_memory() -> u64 {
    static MEMORY: OnceLock<u64> = OnceLock::new();
    *MEMORY.get_or_init(|| {
        let scene = Scene::new(Way::Declared);
        let hit = scene.run(&[]);
        hit.outcome.check(0, "1\ndone\n", "");
        assert_eq!(scene.executions(), 1);
        hit.memory
    })
}

/// How the inputs of the command are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `-i`, `-o`.
    Declared,
    /// It is watched.
    Traced,
}

/// A world in which the command `./tool` was recorded.
pub struct Scene {
    pub world: World,
    way: Way,
    /// All but what a run may change, before anything was forged.
    outside: Tree,
}

const TOOL: &str = "cat input\necho made > out\necho done";

impl Scene {
    pub fn new(way: Way) -> Scene {
        Scene::recorded(World::new(), way)
    }

    fn recorded(world: World, way: Way) -> Scene {
        match way {
            Way::Declared => world.counted("tool", TOOL),
            // What it counts outside would be seen.
            Way::Traced => world.script("tool", &format!("#!/bin/sh\n{TOOL}\n")),
        };
        furnish(&world);
        let mut scene = Scene { world, way, outside: Tree::new() };
        scene.world.fleche(scene.words(&[])).run().check(0, "1\ndone\n", "");
        assert_eq!(scene.calls().len(), 1, "nothing was recorded");
        scene.outside = canary::exactly(&scene.outer());
        scene
    }

    /// A folder outside the project, in which nothing may change.
    pub fn outer(&self) -> PathBuf {
        self.world.root().join("outside")
    }

    /// The same in a cache that is shared with a group.
    pub fn shared(way: Way) -> Scene {
        let world = World::new();
        let team = world.root().join("team");
        let text = format!("cache = \"team\"\n[caches.team]\npath = \"{}\"\nshared = \"group\"\n", team.display());
        world.write(world.home().join(".config/fleche/config.toml"), text);
        Scene::recorded(world, way)
    }

    /// The store that is used.
    pub fn store(&self) -> PathBuf {
        let team = self.world.root().join("team");
        if team.exists() { team } else { self.world.cache() }
    }

    fn words<'a>(&self, options: &[&'a str]) -> Vec<&'a str> {
        let ways: &[&str] = match self.way {
            Way::Declared => &["-i", "input", "-o", "out", "-o", "own/"],
            Way::Traced => &[],
        };
        [&["run"], ways, options, &["--", "./tool"]].concat()
    }

    /// The files of its calls.
    pub fn calls(&self) -> Vec<PathBuf> {
        forgery::files(&self.store(), "calls")
    }

    /// The one file of path sets.
    pub fn path_sets(&self) -> PathBuf {
        forgery::files(&self.store(), "paths").remove(0)
    }

    pub fn executions(&self) -> usize {
        self.world.executions("tool")
    }

    /// Runs the command with these options.
    pub fn run(&self, options: &[&str]) -> Measured {
        measured(&self.world, &self.words(options))
    }

    /// Nothing changed outside.
    #[track_caller]
    pub fn is_untouched_outside(&self) {
        assert_eq!(canary::exactly(&self.outer()), self.outside);
    }

    /// What a run without fleche does, where `prepare` was done before: its outcome, and the tree that it leaves.
    pub fn bare(prepare: impl Fn(&World)) -> (Outcome, Tree) {
        let twin = World::new();
        twin.counted("tool", TOOL);
        furnish(&twin);
        fs::write(twin.path("out"), "made\n").unwrap();
        prepare(&twin);
        let outcome = twin.program("./tool", [""; 0]).run();
        (outcome, canary::plainly(&twin.work()))
    }

    /// The tree in the project now.
    pub fn tree(&self) -> Tree {
        canary::plainly(&self.world.work())
    }
}

fn furnish(world: &World) {
    world.write("input", "1\n");
    world.write("precious", "the user's\n");
    let outer = world.root().join("outside");
    fs::create_dir_all(outer.join("dir/sub")).unwrap();
    for name in ["f", "dir/x", "dir/sub/x"] {
        fs::write(outer.join(name), "the user's\n").unwrap();
    }
    std::os::unix::fs::symlink("f", outer.join("link")).unwrap();
}

/// Makes a FIFO.
pub fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}
