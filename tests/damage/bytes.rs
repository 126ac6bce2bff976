//! Bytes of small files: each one flipped, each length cut, something appended.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use crate::form::of_form;
use crate::harm::Bytes;
use crate::scene::{LARGE, Scene, WAYS, Way};
use crate::sweep::{each, is_one_in, sample};

/// A damage to the bytes of a file.
struct Step {
    name: &'static str,
    harm: Bytes,
}

impl Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{} {:?}", self.name, self.harm)
    }
}

/// How a file is found.
type Find = fn(&Scene) -> PathBuf;

/// Which files there are, how many bytes of each one are passed over in the short form, and how it is found.
const FILES: &[(&str, usize, Find)] = &[
    ("declared call", 41, |scene| scene.call_file(Way::Declared)),
    ("watched call", 97, |scene| scene.call_file(Way::Watched)),
    ("path sets", 47, Scene::paths_file),
    ("value", 1201, |scene| scene.only("values", |path| is_filled_with(path, b'm'))),
    ("value of a stream", 2401, |scene| scene.largest("values")),
    ("stamp", 13, |scene| scene.largest("stamps")),
    ("journal", 61, |scene| scene.cache().join("journal")),
    ("old journal", 61, |scene| scene.cache().join("journal.old")),
    ("ledger", 61, |scene| scene.cache().join("ledger")),
    ("secret", 5, |scene| scene.cache().join("secret")),
    ("tag", 31, |scene| scene.cache().join("CACHEDIR.TAG")),
    ("session", 13, |scene| scene.largest("sessions")),
    ("argument", 1201, |scene| scene.largest("args")),
];

fn is_filled_with(path: &Path, byte: u8) -> bool {
    fs::read(path).unwrap() == vec![byte; LARGE]
}

fn file(scene: &Scene, name: &str) -> PathBuf {
    let (_, _, find) = FILES.iter().find(|(its, ..)| *its == name).unwrap();
    find(scene)
}

fn steps() -> Vec<Step> {
    let scene = Scene::new();
    let mut steps = Vec::new();
    for (name, stride, find) in FILES {
        let length = fs::metadata(find(&scene)).unwrap().len() as usize;
        assert!(length > 0, "{name} is empty");
        let stride = of_form(*stride, (*stride / 40).max(1));
        let flips = (0..length).step_by(stride).map(|at| Bytes::Flipped(at * 8 + at % 8));
        let cuts = (0..length).step_by(stride * 2).map(Bytes::Cut);
        let others = [Bytes::Appended(b"\0"), Bytes::Appended(b"x\n"), Bytes::Zeroed, Bytes::Doubled];
        let ends = [Bytes::Flipped(length * 8 - 1), Bytes::Cut(length - 1)];
        let harms = flips.chain(cuts).chain(others).chain(ends);
        steps.extend(harms.map(|harm| Step { name, harm }));
    }
    steps
}

/// Whichever byte of a file is another, whichever are missing: the tool's result is right, at once and after.
#[test]
fn damaged_bytes_are_never_replayed() {
    each("bytes of small files", Scene::new, &steps(), |scene, step| {
        let file = file(scene, step.name);
        step.harm.to(&file);
        // What `verify` tells of, the next run mends.
        let [declared, watched] = WAYS.map(|way| scene.heals(way));
        let must_run = match step.name {
            "declared call" => [true, false],
            "watched call" | "path sets" => [false, true],
            // Of one value both calls made the same bytes.
            "value" | "value of a stream" => [true, declared.ran && watched.ran],
            _ => [false, false],
        };
        assert_eq!([declared.ran, watched.ran], must_run, "{declared:?} {watched:?}");
        if !is_one_in(6, step) {
            return;
        }
        let verified = scene.ask(&["verify"], "");
        match step.name {
            // Nobody needs it before its journal is gone, and then it is written anew.
            "ledger" => assert!(verified.code() <= 1, "{verified:?}"),
            _ => assert_eq!((verified.code(), verified.stderr()), (0, String::new()), "{}", verified.stdout()),
        }
        assert_eq!(WAYS.map(|way| scene.asked_key(way)), WAYS.map(|way| scene.key(way)));
    });
}

/// The same before any run: questions do not stumble over it, and `verify` tells of it.
#[test]
fn damaged_bytes_are_told_by_verify() {
    let steps: Vec<Step> = steps().into_iter().filter(|step| !matches!(step.harm, Bytes::Flipped(_))).collect();
    each("questions about damaged bytes", Scene::new, &sample(steps, 14), |scene, step| {
        let file = file(scene, step.name);
        let declared = scene.key(Way::Declared);
        step.harm.to(&file);
        let verified = scene.ask(&["verify"], "");
        let tells = ["declared call", "watched call", "path sets", "value", "value of a stream", "ledger"];
        assert_eq!(verified.code(), i32::from(tells.contains(&step.name)), "{verified:?}");
        scene.ask_all(&declared);
        scene.restore();
        step.harm.to(&file);
        assert_eq!(scene.ask(&["verify", "--repair"], "").code(), verified.code());
        let after = scene.ask(&["verify"], "");
        assert_eq!((after.code(), after.stdout()), (0, String::new()));
        WAYS.iter().for_each(|way| drop(scene.heals(*way)));
        scene.answers_all(&declared);
    });
}
