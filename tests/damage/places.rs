//! Something else in the place of each file and each folder of a cache.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::path::PathBuf;

use crate::harm::{KINDS, Kind};
use crate::kinds;
use crate::scene::{Scene, WAYS, Way, everything};
use crate::sweep::{each, is_one_in, sample, tell};

/// Something is put in the place of the first thing of a kind.
struct Step {
    place: &'static str,
    by: Kind,
}

impl Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{} becomes {:?}", self.place, self.by)
    }
}

/// Which of several things of a kind is damaged: one that a replay needs, if there is such a thing.
pub fn path(scene: &Scene, place: &str) -> PathBuf {
    let of_kind = |path: &PathBuf| kinds::of(path).is_some_and(|kind| kind == place);
    let all: Vec<PathBuf> = scene.paths().into_iter().filter(of_kind).map(|path| scene.cache().join(path)).collect();
    let size = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let needed = |path: &PathBuf| scene.call_file(Way::Declared).starts_with(path);
    let all_files = all.iter().all(|path| path.is_file());
    let found = match place {
        "calls/*" | "calls/*/*" => all.into_iter().find(needed),
        _ if all_files => all.into_iter().max_by_key(size),
        // The folder that has something in it.
        _ => all.into_iter().find(|path| std::fs::read_dir(path).unwrap().count() > 0),
    };
    found.unwrap_or_else(|| panic!("there is no {place}"))
}

fn steps() -> Vec<Step> {
    let possible: Vec<Kind> = KINDS.into_iter().filter(|kind| kind.is_possible()).collect();
    if possible.len() < KINDS.len() {
        tell("skipped: devices in the place of files, because this machine does not let us make any");
    }
    let places: BTreeSet<&str> = kinds::ALL.iter().copied().collect();
    let all = places.into_iter().flat_map(|place| possible.iter().map(move |by| Step { place, by: *by }));
    // An empty file in the place of an empty file is no damage.
    all.filter(|step| {
        (step.place, step.by) != ("layout-1", Kind::EmptyFile) && (step.place, step.by) != ("lock", Kind::EmptyFile)
    })
    .collect()
}

/// Runs are right, leave alone what is not the cache's, and are replayed again.
#[test]
fn runs_are_right_and_mend_it() {
    each("something else in the place of a file or folder", Scene::new, &steps(), |scene, step| {
        let path = path(scene, step.place);
        let foreign = step.by.replace(&path, scene);
        let before = everything(&foreign);
        for way in WAYS {
            scene.heals(way);
        }
        // What no run needs is mended by whoever is asked to.
        if is_one_in(8, step) {
            assert!(scene.ask(&["verify", "--repair"], "").code() <= 1);
            scene.answers_all(&scene.key(Way::Declared));
        }
        assert_eq!(everything(&foreign), before, "what is elsewhere was touched");
    });
}

/// Questions end, leave alone what is not the cache's, and do not keep the next runs from mending it.
#[test]
fn questions_end_and_touch_nothing_else() {
    each("questions about something else in a place", Scene::new, &sample(steps(), 11), |scene, step| {
        let (path, declared) = (path(scene, step.place), scene.key(Way::Declared));
        let foreign = step.by.replace(&path, scene);
        let before = everything(&foreign);
        scene.ask_all(&declared);
        for way in WAYS {
            scene.heals(way);
        }
        assert!(scene.ask(&["verify", "--repair"], "").code() <= 1);
        scene.answers_all(&declared);
        assert_eq!(everything(&foreign), before, "what is elsewhere was touched");
    });
}
