//! The catalogue and what SQLite puts beside it: each page, each frame, each length.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use crate::harm::{noise, rewrite};
use crate::scene::{Scene, WAYS, Way};
use crate::sweep::{each, is_long, sample};

const PAGE: usize = 4096;
/// Bytes before the first frame of a write-ahead log, and before the page in each of them.
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What is done to bytes from one place to another.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Zeroed,
    Noise,
    /// The file ends there.
    Cut,
    /// One bit is another in each of so many bytes.
    Flipped(usize),
    /// The file is gone.
    Removed,
    /// What there is between these places is what is in front of it.
    Repeated,
}

struct Step {
    file: &'static str,
    harm: Harm,
    from: usize,
    to: usize,
}

impl Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{} {:?} from {} to {}", self.file, self.harm, self.from, self.to)
    }
}

impl Step {
    #[track_caller]
    fn carry_out(&self, folder: &Path) {
        let path = folder.join(self.file);
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        let (from, to) = (self.from.min(bytes.len() - 1), self.to.min(bytes.len()));
        match self.harm {
            Harm::Removed => return fs::remove_file(path).unwrap(),
            // Where there were none already.
            Harm::Zeroed if before[from..to].iter().all(|byte| *byte == 0) => bytes[from..to].fill(0xff),
            Harm::Zeroed => bytes[from..to].fill(0),
            Harm::Noise => bytes[from..to].copy_from_slice(&noise(to - from)),
            Harm::Cut => bytes.truncate(from),
            Harm::Flipped(each) => bytes[from..to].iter_mut().step_by(each).for_each(|byte| *byte ^= 0x10),
            Harm::Repeated => bytes.copy_within(from - (to - from)..from, from),
        }
        assert_ne!(bytes, before);
        rewrite(&path, &bytes);
    }
}

/// A scene whose catalogue has no write-ahead log.
fn settled() -> Scene {
    let scene = Scene::new();
    assert_eq!(scene.ask(&["stats"], "").code(), 0);
    assert!(!scene.cache().join("index.sqlite-wal").exists(), "the log is still there");
    scene.keep();
    scene
}

fn length(scene: &Scene, file: &str) -> usize {
    fs::metadata(scene.cache().join(file)).unwrap().len() as usize
}

/// Whatever is damaged, answers are right or errors, runs need none of it, and the question after that is right.
#[track_caller]
fn is_right_or_told(scene: &Scene, step: &Step) {
    let right = scene.listing().unwrap();
    assert_eq!(right.len(), 3);
    scene.restore();
    step.carry_out(&scene.cache());
    let first = scene.listing();
    for way in WAYS {
        let run = scene.run(way);
        assert!(!run.ran && run.said.is_empty(), "{way:?} needs the catalogue: {run:?}");
    }
    match &first {
        Ok(listed) if *listed == right => {}
        // A wrong answer cannot be told from a right one by whoever gets it; then `verify` must be able to.
        Ok(listed) => {
            let verified = scene.ask(&["verify", "--repair"], "");
            assert_eq!(verified.code(), 1, "wrong and not found: {listed:?}");
        }
        Err(told) => assert!(told.starts_with("status 2: fleche: "), "{told}"),
    }
    assert_eq!(scene.listing().as_ref(), Ok(&right), "the second answer");
    scene.answers_all(&scene.key(Way::Declared));
    assert_eq!(scene.listing().as_ref(), Ok(&right), "the last answer");
}

#[test]
fn a_damaged_page_is_never_believed() {
    let index = "index.sqlite";
    let length = length(&settled(), index);
    assert!(length > 20 * PAGE, "{length}");
    let mut steps = Vec::new();
    for from in (0..length).step_by(PAGE) {
        let page = |harm| Step { file: index, harm, from, to: from + PAGE };
        steps.extend([page(Harm::Zeroed), page(Harm::Noise), page(Harm::Flipped(512)), page(Harm::Cut)]);
        if from > 0 {
            steps.push(page(Harm::Repeated));
        }
    }
    let mut steps = sample(steps, 2);
    steps.push(Step { file: index, harm: Harm::Flipped(512), from: 0, to: length });
    steps.push(Step { file: index, harm: Harm::Removed, from: 0, to: 0 });
    each("pages of the catalogue", settled, &steps, is_right_or_told);
}

#[test]
fn a_flipped_byte_of_the_catalogue_is_found() {
    let index = "index.sqlite";
    let length = length(&settled(), index);
    let stride = if is_long() { 61 } else { 1553 };
    let flip = |from| Step { file: index, harm: Harm::Flipped(1), from, to: from + 1 };
    each("bytes of the catalogue", settled, &(0..length).step_by(stride).map(flip).collect::<Vec<_>>(), is_right_or_told);
}

#[test]
fn a_damaged_log_is_never_believed() {
    let scene = Scene::new();
    let mut steps = Vec::new();
    for (file, header, part) in
        [("index.sqlite-wal", WAL_HEADER, PAGE + FRAME_HEADER), ("index.sqlite-shm", 136, 2048)]
    {
        let length = length(&scene, file);
        steps.push(Step { file, harm: Harm::Removed, from: 0, to: 0 });
        let whole = |harm| Step { file, harm, from: 0, to: length };
        steps.extend([Harm::Zeroed, Harm::Noise, Harm::Cut, Harm::Flipped(512)].map(whole));
        for from in [0].into_iter().chain((header..length).step_by(part)) {
            let to = if from == 0 { header } else { from + part };
            let of = |harm| Step { file, harm, from, to };
            steps.extend([Harm::Noise, Harm::Cut, Harm::Flipped(97), Harm::Flipped(usize::MAX)].map(of));
        }
    }
    each("the catalogue's log and its index", Scene::new, &sample(steps, 3), is_right_or_told);
}
