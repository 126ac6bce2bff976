//! Whole files that belong elsewhere: under another name, or of another cache.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use crate::harm::rewrite;
use crate::scene::{LARGE, Scene, WAYS, Way, clear, copy};
use crate::sweep::{each, tell};

/// Two files that change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swap {
    Calls,
    CallAndOther,
    PathSets,
    Values,
    Stamps,
    CallAndPathSets,
    LedgerAndJournal,
    JournalAndOldJournal,
    SecretAndStamp,
    CatalogueAndLog,
}

const SWAPS: [Swap; 10] = [
    Swap::Calls,
    Swap::CallAndOther,
    Swap::PathSets,
    Swap::Values,
    Swap::Stamps,
    Swap::CallAndPathSets,
    Swap::LedgerAndJournal,
    Swap::JournalAndOldJournal,
    Swap::SecretAndStamp,
    Swap::CatalogueAndLog,
];

impl Display for Swap {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{self:?}")
    }
}

impl Swap {
    fn files(self, scene: &Scene) -> (PathBuf, PathBuf) {
        let place = |name: &str| scene.cache().join(name);
        let is_of = |byte: u8| move |path: &Path| fs::read(path).unwrap() == vec![byte; LARGE];
        let all = |folder: &str| -> Vec<PathBuf> {
            let files = scene.paths().into_iter().filter(|path| path.starts_with(folder));
            files.map(|path| scene.cache().join(path)).filter(|path| path.is_file()).collect()
        };
        let [declared, watched] = WAYS.map(|way| scene.call_file(way));
        let other =
            |files: Vec<PathBuf>, not: &[&PathBuf]| files.into_iter().find(|file| !not.contains(&file)).unwrap();
        let stamps = all("stamps");
        match self {
            Swap::Calls => (declared, watched),
            Swap::CallAndOther => (other(all("calls"), &[&declared, &watched]), watched),
            Swap::PathSets => (scene.paths_file(), other(all("paths"), &[&scene.paths_file()])),
            Swap::Values => {
                (scene.only("values", is_of(b'm')), other(all("values"), &[&scene.only("values", is_of(b'm'))]))
            }
            Swap::Stamps => (stamps[0].clone(), stamps[1].clone()),
            Swap::CallAndPathSets => (watched, scene.paths_file()),
            Swap::LedgerAndJournal => (place("ledger"), place("journal")),
            Swap::JournalAndOldJournal => (place("journal"), place("journal.old")),
            Swap::SecretAndStamp => (place("secret"), stamps[0].clone()),
            Swap::CatalogueAndLog => (place("index.sqlite"), place("index.sqlite-wal")),
        }
    }
}

#[test]
fn what_lies_under_another_name_is_not_taken_for_what_it_says() {
    each("files that changed places", Scene::new, &SWAPS, |scene, swap| {
        let (one, other) = swap.files(scene);
        let (first, second) = (fs::read(&one).unwrap(), fs::read(&other).unwrap());
        assert_ne!(first, second);
        rewrite(&one, &second);
        rewrite(&other, &first);
        let runs = WAYS.map(|way| scene.heals(way));
        let must_run = matches!(swap, Swap::Calls | Swap::Values);
        assert!(!must_run || runs[0].ran, "{runs:?}");
        assert!(scene.ask(&["verify", "--repair"], "").code() <= 1);
        scene.answers_all(&scene.key(Way::Declared));
    });
}

/// What the catalogue tells of the calls that does not change when they are recorded or replayed again.
fn told(scene: &Scene) -> Vec<Vec<String>> {
    const LASTING: [&str; 7] = ["key", "name", "exit", "grade", "outputs", "stdout", "stderr"];
    let listed = scene.listing().unwrap();
    let one = |call: &serde_json::Value| LASTING.map(|column| call[column].to_string()).to_vec();
    let mut told: Vec<Vec<String>> = listed.iter().map(one).collect();
    told.sort();
    told
}

/// Files of a cache that was filled by the same commands in the same place, but for the path sets, which are the same there.
#[test]
fn files_of_another_cache_are_as_good_or_not_believed() {
    let files: Vec<&str> =
        vec!["call", "secret", "journal", "ledger", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm"];
    each("files of another cache", Scene::new, &files, |scene, name| {
        let other = scene.world.root().join("other");
        clear(&other);
        copy(&scene.cache(), &other, scene);
        clear(&scene.cache());
        // Another order, so that the rows of the other catalogue are others.
        for way in [Way::Watched, Way::Declared, Way::Watched] {
            scene.run(way);
        }
        // Without the last call, the answer of one catalogue is not that of the other.
        assert_eq!(scene.ask(&["query", "--count"], "").stdout(), "2\n");
        assert_eq!(WAYS.map(|way| scene.asked_key(way)), WAYS.map(|way| scene.key(way)));
        let listed = told(scene);
        let path = match *name {
            "call" => scene.call_file(Way::Declared),
            name => scene.cache().join(name),
        };
        let from = other.join(path.strip_prefix(scene.cache()).unwrap());
        let (here, there) = (fs::read(&path).ok(), fs::read(&from).ok());
        // Neither cache has a log where nobody has the catalogue open.
        assert!(here != there || name.starts_with("index.sqlite-"), "both are the same");
        match there {
            Some(there) => fs::write(&path, there).unwrap(),
            None => drop(fs::remove_file(&path)),
        }
        WAYS.iter().for_each(|way| drop(scene.heals(*way)));
        let now = told(scene);
        if now != listed && *name != "call" {
            let verified = scene.ask(&["verify", "--repair"], "");
            assert_eq!(verified.code(), 1, "wrong and not found: {now:?}, not {listed:?}");
            assert_eq!(told(scene), listed);
        }
        // What no journal told of, `verify` finds.
        assert!(scene.ask(&["verify", "--repair"], "").code() <= 1);
        scene.answers_all(&scene.key(Way::Declared));
    });
    tell("files of another cache: calls, secrets, books and catalogues");
}
