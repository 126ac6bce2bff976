//! The catalogue and what SQLite puts beside it: each page, each frame, each length; also while somebody reads it.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use crate::form::of_form;
use crate::harm::{noise, rewrite};
use crate::scene::{Scene, WAYS, Way};
use crate::sweep::{each, is_one_in, sample, tell};

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
    if !is_one_in(6, step) {
        return;
    }
    // What no answer was made of may still be damaged.
    let verified = scene.ask(&["verify", "--repair"], "");
    assert!(verified.code() <= 1, "{verified:?}");
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
    let mut steps = sample(steps, 3);
    steps.push(Step { file: index, harm: Harm::Flipped(512), from: 0, to: length });
    steps.push(Step { file: index, harm: Harm::Removed, from: 0, to: 0 });
    each("pages of the catalogue", settled, &steps, is_right_or_told);
}

#[test]
fn a_flipped_byte_of_the_catalogue_is_found() {
    let index = "index.sqlite";
    let bytes = fs::read(settled().cache().join(index)).unwrap();
    // Most of it is empty.
    let used = (0..bytes.len()).filter(|at| bytes[*at] != 0);
    let flip = |from| Step { file: index, harm: Harm::Flipped(1), from, to: from + 1 };
    let steps: Vec<Step> = used.step_by(of_form(307, 7)).map(flip).collect();
    each("bytes of the catalogue", settled, &steps, is_right_or_told);
}

#[test]
fn a_damaged_log_is_never_believed() {
    let scene = Scene::new();
    let mut steps = Vec::new();
    for (file, header, part) in [("index.sqlite-wal", WAL_HEADER, PAGE + FRAME_HEADER), ("index.sqlite-shm", 136, 2048)]
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

/// Somebody has the catalogue open while its log and index are removed under him.
#[test]
fn a_log_that_is_removed_under_a_reader_costs_no_answer() {
    let scene = Scene::new();
    let right = scene.listing().unwrap();
    for names in [&["index.sqlite-wal"][..], &["index.sqlite-shm"], &["index.sqlite-wal", "index.sqlite-shm"]] {
        scene.restore();
        let reader = rusqlite::Connection::open(scene.cache().join("index.sqlite")).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM call;").unwrap();
        for name in names {
            fs::remove_file(scene.cache().join(name)).unwrap();
        }
        for _ in 0..2 {
            match scene.listing() {
                Ok(listed) => assert_eq!(listed, right, "{names:?}"),
                Err(told) => assert!(told.starts_with("status 2: fleche: "), "{told}"),
            }
            assert!(WAYS.iter().all(|way| !scene.run(*way).ran));
        }
        drop(reader);
        // Its last pages may have gone over newer ones.
        assert!(scene.ask(&["verify", "--repair"], "").code() <= 1);
        assert_eq!(scene.listing().as_ref(), Ok(&right), "{names:?}");
        scene.answers_all(&scene.key(Way::Declared));
    }
    tell("log and index removed under a reader: 3 times, 0 failures");
}

/// The catalogue is cut while a question reads it: it ends, with the right answer or an error, and the next one is right.
#[test]
fn a_catalogue_that_is_cut_during_a_question_is_made_anew() {
    const LONG: &str = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000)
        SELECT count(*) FROM n) > 0";
    let scene = settled();
    let right = scene.listing().unwrap();
    let keys: String = right.iter().map(|call| format!("{}\n", call["key"].as_str().unwrap())).collect();
    for length in [0, 100, PAGE as u64, 5 * PAGE as u64 + 7] {
        scene.restore();
        let index = scene.cache().join("index.sqlite");
        let child = scene.fleche(&["query", "--sort", "key", "--where", LONG]).start();
        let opened = format!("/proc/{}/fd", child.id());
        crate::world::eventually("the question opens the catalogue", || {
            let open = fs::read_dir(&opened).into_iter().flatten().flatten();
            open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|path| path == index)
        });
        fs::File::options().write(true).open(&index).unwrap().set_len(length).unwrap();
        let outcome = child.wait_with_output().unwrap();
        let (code, said) = (outcome.status.code(), String::from_utf8(outcome.stderr).unwrap());
        let is_right = code == Some(0) && outcome.stdout == keys.as_bytes() && said.is_empty();
        assert!(is_right || (code == Some(2) && said.starts_with("fleche: ")), "{length}: {code:?} {said}");
        // One that met damage puts it aside as it ends.
        assert_eq!(scene.listing().as_ref(), Ok(&right), "{length}");
        scene.answers_all(&scene.key(Way::Declared));
    }
    tell("a catalogue that is cut during a question: 4 lengths, 0 failures");
}
