//! A command with many inputs: its call has an appendix and its look an inventory, which are damaged, cut and mixed.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::form::of_form;
use crate::harm::{Bytes, rewrite};
use crate::sweep::tell;
use crate::world::{World, settle};

/// So many that what they tell is apart from what a replay needs.
const FILES: usize = 1800;
/// The first byte of what a call of 1100 inputs holds apart is behind this, and the last of a body before it.
const BODY: usize = 4096;

struct Wide {
    world: World,
    /// The files of the cache: the call's of each content of the inputs, and the inventory's from then.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// What is in some of the inputs.
const CONTENTS: [&str; 2] = ["before\n", "after!\n"];

impl Wide {
    fn new() -> Wide {
        let world = World::new();
        world.script("tool", "#!/bin/sh\necho x >> ran\ncat in/5/f550 in/5/f599\n");
        for number in 0..FILES {
            world.write(format!("in/{}/f{number}", number / 100), format!("{number}\n"));
        }
        let mut wide = Wide { world, files: Vec::new() };
        for content in CONTENTS {
            wide.write(content);
            settle(&wide.world.path("in/5/f599"));
            assert!(wide.runs(content) && !wide.runs(content) && !wide.runs(content), "it is not replayed");
            let call = wide.only("calls");
            let inventory = wide.only("stamps");
            for path in [call, inventory] {
                let bytes = fs::read(&path).unwrap();
                assert!(bytes.len() > 16 * BODY, "{} has {} bytes", path.display(), bytes.len());
                wide.files.push((path, bytes));
            }
        }
        wide
    }

    /// Another content, of the same size, in so many files that the inventory is worth renewing; at a time that is long ago.
    fn write(&self, content: &str) {
        let number = CONTENTS.iter().position(|one| *one == content).unwrap_or(CONTENTS.len());
        for file in 500..600 {
            let path = self.world.write(format!("in/5/f{file}"), content);
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000 + number as u64);
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
    }

    /// Whether the tool is executed; what it prints is right.
    #[track_caller]
    fn runs(&self, content: &str) -> bool {
        let ran = || fs::read(self.world.path("ran")).map_or(0, |noted| noted.len());
        let before = ran();
        let outcome = self.world.fleche(["run", "-i", "in", "--", "./tool"]).run();
        assert_eq!((outcome.code(), outcome.stdout()), (0, content.repeat(2)), "{}", outcome.stderr());
        let said = outcome.stderr();
        assert!(!said.contains("panicked") && said.lines().count() <= 1, "{said}");
        ran() > before
    }

    /// The one large file below a folder that is not known yet; an inventory keeps its name.
    fn only(&self, folder: &str) -> PathBuf {
        let below = walkdir::WalkDir::new(self.world.cache().join(folder)).into_iter().filter_map(Result::ok);
        let is_large = |entry: &walkdir::DirEntry| {
            entry.metadata().is_ok_and(|found| found.is_file() && found.len() > 16 * BODY as u64)
        };
        let is_known = |path: &PathBuf| folder == "calls" && self.files.iter().any(|(known, _)| known == path);
        let found: Vec<PathBuf> =
            below.filter(is_large).map(walkdir::DirEntry::into_path).filter(|path| !is_known(path)).collect();
        assert_eq!(found.len(), 1, "{folder}: {found:?}");
        found.into_iter().next().unwrap()
    }

    fn restore(&self) {
        // The latest inventory is the one that is there.
        for (path, bytes) in &self.files {
            if !path.exists() {
                fs::write(path, bytes).unwrap();
            }
            rewrite(path, bytes);
        }
    }

    fn is_clean(&self) -> bool {
        self.world.fleche(["verify"]).run().code() == 0
    }
}

#[test]
fn damage_to_many_inputs_is_not_replayed() {
    let wide = Wide::new();
    let [_, (look, former), (call, call_bytes), (same, latter)] = &wide.files[..] else { unreachable!() };
    assert!(look == same && former != latter);
    let count = of_form(40, 1500);
    let places = |length: usize| {
        let near = [0, 7, 8, 40, 47, 48, 100].into_iter();
        near.chain((0..count).map(move |number| number * (length - 1) / count)).chain([length - 1])
    };
    let harms = |length: usize| {
        let ends = [Bytes::Appended(b"x"), Bytes::Zeroed, Bytes::Doubled].into_iter();
        places(length).flat_map(|at| [Bytes::Flipped(at * 8 + at % 8), Bytes::Cut(at)]).chain(ends)
    };
    let (mut steps, mut hits) = (0, 0);
    let mut step = |harm: &dyn Fn()| {
        wide.restore();
        harm();
        hits += usize::from(!wide.runs(CONTENTS[1]));
        hits += usize::from(!wide.runs(CONTENTS[1]));
        steps += 1;
    };
    for harm in harms(latter.len()) {
        step(&|| harm.to(look));
    }
    // As a write leaves it that a power cut ends: stamps of the one beside digests of the other.
    assert_eq!(former.len(), latter.len());
    for start in places(latter.len()) {
        for (one, other) in [(former, latter), (latter, former)] {
            step(&|| rewrite(look, &[&one[..start], &other[start..]].concat()));
        }
    }
    for harm in harms(call_bytes.len()) {
        step(&|| harm.to(call));
    }
    tell(&format!("many inputs: {steps} steps, {hits} hits, 0 failures"));
    assert!(hits > steps, "next to nothing is replayed");
    // What a replay does not read is found by whoever reads it all, and is made anew.
    for at in [BODY, call_bytes.len() / 2, call_bytes.len() - 1] {
        wide.restore();
        assert!(wide.world.fleche(["reindex"]).run().code() == 0 && wide.is_clean());
        Bytes::Flipped(at * 8).to(call);
        assert!(!wide.runs(CONTENTS[1]), "what a replay needs is whole");
        assert!(!wide.is_clean());
        assert_eq!(wide.world.fleche(["verify", "--repair"]).run().code(), 1);
        assert!(wide.runs(CONTENTS[1]) && !wide.runs(CONTENTS[1]) && wide.is_clean());
    }
    wide.write("else!!\n");
    assert!(wide.runs("else!!\n"));
    wide.write(CONTENTS[0]);
    assert!(!wide.runs(CONTENTS[0]));
}
