//! Random shell scripts over a random tree, with random edits between: what a watched command does, run or replayed, is
//! what it does bare.
//!
//! `FLECHE_STEPS` and `FLECHE_SEED` ask for longer walks and other ones; a failure names the seed that leads to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::world::{Outcome, World};

/// Steps of the walk that every run of the tests takes.
const STEPS: usize = 300;
/// Steps after which a walk begins again with another tree and other scripts.
const LEG: usize = 60;
/// Scripts in one leg: few, so that the same one meets the same tree again.
const SCRIPTS: usize = 6;

/// A source of numbers that look random: splitmix64, by Sebastiano Vigna.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.roll() % most as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const FILES: [&str; 9] = ["a", "b", "d/a", "d/b.c", "d/c.h", "e/a", "e/f/x", "out", "d/out"];
const FOLDERS: [&str; 5] = [".", "d", "e", "e/f", "g"];
const CONTENTS: [&str; 6] = ["", "one\n", "two\n", "one\ntwo\nthree\n", "b\na\nc\n", "#include \"c.h\"\n"];

/// One line of a script. What it prints must not depend on the clock, nor on where the tree lies.
fn line(dice: &mut Dice) -> String {
    let (f, g, o) = (dice.pick(&FILES), dice.pick(&FILES), dice.pick(&FILES));
    let (d, c) = (dice.pick(&FOLDERS), dice.pick(&FOLDERS));
    match dice.below(48) {
        0 => format!("cat {f}"),
        1 => format!("cat {f} {g} > {o}"),
        2 => format!("grep -r o {d} | sort"),
        3 => format!("find {d} -type f | sort"),
        4 => format!("ls {d}"),
        5 => format!("wc -c {f} {g}"),
        6 => format!("[ -e {f} ] && echo there || echo not there"),
        7 => format!("[ {f} -nt {g} ] && echo newer || echo not newer"),
        8 => format!("cp {f} {o}"),
        9 => format!("mv {f} {o}"),
        10 => format!("rm -f {f}"),
        11 => format!("mkdir -p {d}"),
        12 => format!("mkdir {d}"),
        13 => format!("ln -sf {} {o}", dice.pick(&["a", "../a", "b.c", "nowhere", "f"])),
        14 => format!("readlink {f}; cat {f}"),
        15 => format!("echo more >> {f}"),
        16 => format!("sort {f} > {o}"),
        17 => format!("sed -i s/o/0/ {f}"),
        18 => format!("touch {f}"),
        19 => format!("t=$(mktemp); cat {f} > $t; sort $t; rm $t"),
        20 => format!("cat <<END > {o}\nhere $(cat {f})\nEND"),
        21 => format!("for f in {d}/*; do echo $f; done"),
        22 => format!("test -x {f} && echo executable"),
        23 => format!("chmod {} {f}", dice.pick(&["644", "755", "600"])),
        24 => format!("head -c 3 {f}"),
        25 => format!("tar cf - {d} 2>/dev/null | tar tf - | sort"),
        26 => format!("(cd {d} && cat a)"),
        27 => format!("if cmp -s {f} {g}; then echo same; else echo other; fi"),
        28 => format!("set -C; echo new > {o}; set +C"),
        29 => format!("while read l; do echo \"$l.\"; done < {f}"),
        30 => format!("stat -c '%s %a %F' {f}"),
        31 => format!("rmdir {d}"),
        32 => format!("rm -rf {d}/f"),
        33 => format!("mv {d} {c}"),
        // Not the folder that it is copied into: how deep that goes is a matter of the order in which names come.
        34 => format!("cp -r {} g", dice.pick(&FOLDERS[1..4])),
        35 => format!("[ -e {o} ] || cat {f} > {o}"),
        36 => format!("if [ -s {o} ]; then rm {o}; echo off; else echo x > {o}; echo on; fi"),
        // Not through a link, behind which the archive would stay, with the times of its files in it.
        37 => format!("rm -f {o}; tar cf {o} {d} 2>/dev/null; tar tf {o} | sort; rm {o}"),
        // Not folders, whose times a replay changes where the command wrote into a file that was there.
        38 => format!("find {d} -type f -newer {f} | sort"),
        39 => format!("ls -l {d} | wc -l"),
        40 => format!("n=$(ls {d} | wc -l); echo $n > {o}"),
        41 => format!("ln {f} {o}"),
        42 => format!("dd if={f} of={o} bs=1 count=2 conv=notrunc 2>/dev/null"),
        43 => format!("cp -a {} g", dice.pick(&FOLDERS[1..4])),
        44 => format!("rm -f {o}; tar cf {o} {d} 2>/dev/null; mkdir -p g; tar xf {o} -C g; rm {o}"),
        45 => format!("touch -h -d @{} {f}", 1_100_000_000 + dice.below(3)),
        46 => format!("mkdir -p g; touch -d @{} g; stat -c %Y g", 1_200_000_000 + dice.below(3)),
        _ => format!("touch -d @{} {f}", 1_000_000_000 + dice.below(3)),
    }
}

fn script(dice: &mut Dice) -> String {
    (0..1 + dice.below(4)).fold(String::new(), |script, _| script + &line(dice) + "\n")
}

/// A change that somebody makes between two runs, told so that it can be made in two trees alike.
enum Edit {
    Write(&'static str, &'static str, u64),
    Remove(&'static str),
    Link(&'static str),
    Mode(&'static str, u32),
    Folder(&'static str),
    /// All of it as it was at first.
    Restore,
    Nothing,
}

impl Edit {
    fn roll(dice: &mut Dice) -> Edit {
        let file = dice.pick(&FILES);
        match dice.below(12) {
            0..=3 => Edit::Write(file, dice.pick(&CONTENTS), dice.below(4) as u64),
            4 => Edit::Remove(file),
            5 => Edit::Link(file),
            6 => Edit::Mode(file, [0o644, 0o755][dice.below(2)]),
            7 => Edit::Folder(dice.pick(&FOLDERS)),
            8..=9 => Edit::Restore,
            _ => Edit::Nothing,
        }
    }

    /// Makes it in `tree`, as far as it can be made there.
    fn make(&self, tree: &Path) {
        match self {
            Edit::Write(name, content, hours) => {
                let path = tree.join(name);
                let _ = fs::remove_file(&path);
                if fs::write(&path, content).is_ok() {
                    date(&path, *hours);
                }
            }
            Edit::Remove(name) => drop(fs::remove_file(tree.join(name))),
            Edit::Link(name) => {
                let _ = fs::remove_file(tree.join(name));
                let _ = symlink("a", tree.join(name));
            }
            Edit::Mode(name, mode) => {
                let path = tree.join(name);
                if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
                    let _ = fs::set_permissions(path, Permissions::from_mode(*mode));
                }
            }
            Edit::Folder(name) => drop(fs::create_dir_all(tree.join(name))),
            Edit::Restore => plant(tree),
            Edit::Nothing => {}
        }
    }
}

/// Gives a file the time of so many hours after a certain one.
fn date(path: &Path, hours: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000 + 3600 * hours);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// Makes the tree as it is at first.
fn plant(tree: &Path) {
    for entry in fs::read_dir(tree).unwrap().flatten() {
        let path = entry.path();
        match entry.file_type().unwrap().is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    fs::create_dir_all(tree.join("d")).unwrap();
    fs::create_dir_all(tree.join("e/f")).unwrap();
    for (hours, (name, content)) in
        [("a", "one\n"), ("d/a", "two\n"), ("d/b.c", "#include \"c.h\"\n"), ("e/f/x", "b\na\nc\n")].iter().enumerate()
    {
        fs::write(tree.join(name), content).unwrap();
        date(&tree.join(name), hours as u64);
    }
    symlink("f/x", tree.join("e/l")).unwrap();
}

/// What is in a tree: types, modes, contents, texts of links; of two files which is the newer is for the scripts to find.
fn shown(tree: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(tree).min_depth(1) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(tree).unwrap().to_owned();
        let found = entry.path().symlink_metadata().unwrap();
        let what = if found.is_dir() {
            "folder".to_owned()
        } else if found.is_symlink() {
            format!("link to {}", fs::read_link(entry.path()).unwrap().display())
        } else {
            format!("{:?}", String::from_utf8_lossy(&fs::read(entry.path()).unwrap()))
        };
        all.insert(path, format!("{:o} {what}", found.mode() & 0o7777));
    }
    all
}

/// What one run showed.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: i32,
    stdout: String,
    stderr: String,
    tree: BTreeMap<PathBuf, String>,
}

impl Seen {
    fn of(outcome: &Outcome, tree: &Path) -> Seen {
        Seen { code: outcome.code(), stdout: outcome.stdout(), stderr: outcome.stderr(), tree: shown(tree) }
    }
}

struct Walk {
    world: World,
    /// How often a script was replayed.
    hits: usize,
    /// How often two runs differed because a clock ticked between or not.
    lucky: usize,
    story: String,
}

impl Walk {
    fn new() -> Walk {
        let world = World::new();
        for tree in ["bare/t", "watched/t"] {
            fs::create_dir_all(world.path(tree)).unwrap();
            plant(&world.path(tree));
        }
        Walk { world, hits: 0, lucky: 0, story: String::new() }
    }

    /// Runs the script in both trees, and holds them against each other.
    fn step(&mut self, script: &str, number: usize) {
        let (bare, watched) = (self.world.path("bare/t"), self.world.path("watched/t"));
        let hits = self.recorded_hits();
        let seen = Seen::of(&self.world.program("/bin/sh", ["-c", script]).current_dir(&bare).run(), &bare);
        let run = self.world.fleche(["run", "--cache-exit", "1,2", "--", "/bin/sh", "-c", script]);
        let replayed = Seen::of(&run.current_dir(&watched).run(), &watched);
        let is_hit = self.recorded_hits() > hits;
        self.hits += usize::from(is_hit);
        let how = if is_hit { "replayed" } else { "run" };
        let _ = writeln!(self.story, "{number}. {how}:\n{script}");
        // Whether one of two files that were made within a tick of the clock is the newer is a matter of luck for the bare
        // command too. Of a replay it is not.
        let is_luck = !is_hit && (script.contains("-newer") || script.contains("-nt"));
        if seen != replayed && is_luck {
            self.lucky += 1;
            plant(&bare);
            plant(&watched);
        } else if seen != replayed {
            let story = &self.story[self.story.len().saturating_sub(6000)..];
            panic!("step {number} ({how}) differs from the bare run\n{story}\nbare: {seen:#?}\nfleche: {replayed:#?}");
        }
    }

    /// The lines of the journal that tell of hits.
    fn recorded_hits(&self) -> usize {
        let journal = fs::read_to_string(self.world.cache().join("journal")).unwrap_or_default();
        journal.lines().filter(|line| line.contains("hit")).count()
    }

    fn edit(&mut self, dice: &mut Dice) {
        let edit = Edit::roll(dice);
        for tree in ["bare/t", "watched/t"] {
            edit.make(&self.world.path(tree));
        }
        let _ = writeln!(
            self.story,
            "{}",
            match edit {
                Edit::Write(name, content, hours) => format!("* {name} = {content:?} at {hours}"),
                Edit::Remove(name) => format!("* {name} removed"),
                Edit::Link(name) => format!("* {name} -> a"),
                Edit::Mode(name, mode) => format!("* {name} has mode {mode:o}"),
                Edit::Folder(name) => format!("* folder {name}"),
                Edit::Restore => "* all as at first".to_owned(),
                Edit::Nothing => String::new(),
            }
        );
    }
}

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn random_scripts_do_what_they_do_bare() {
    let (steps, first) = (number("FLECHE_STEPS", STEPS), number("FLECHE_SEED", 1));
    let (mut taken, mut hits, mut lucky, mut seed) = (0, 0, 0, first);
    while taken < steps {
        let mut dice = Dice(seed as u64);
        let mut walk = Walk::new();
        let _ = writeln!(walk.story, "seed {seed}");
        let scripts: Vec<String> = (0..SCRIPTS).map(|_| script(&mut dice)).collect();
        for number in 0..LEG.min(steps - taken) {
            walk.edit(&mut dice);
            let script = &scripts[dice.below(SCRIPTS)];
            walk.step(script, 2 * number);
            walk.step(script, 2 * number + 1);
        }
        taken += LEG;
        hits += walk.hits;
        lucky += walk.lucky;
        seed += 1;
    }
    println!("{steps} steps, {hits} of {} runs replayed, {lucky} left to a tick of the clock", 2 * steps);
    assert!(lucky * 200 <= steps, "{lucky} of {steps} steps differed where only the clock may tell");
    assert!(hits * 5 > steps, "only {hits} hits in {steps} steps show little");
}
