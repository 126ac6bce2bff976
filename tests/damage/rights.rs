//! Files and folders that their user may not read or write.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::kinds;
use crate::places::path;
use crate::scene::{Scene, WAYS, Way};
use crate::sweep::{each, is_one_in, sample};

/// A mode for the first thing of a kind.
struct Step {
    place: &'static str,
    mode: u32,
}

impl Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{} has mode {:o}", self.place, self.mode)
    }
}

#[test]
fn what_may_not_be_read_or_written_is_in_nobodys_way() {
    let places: BTreeSet<&str> = kinds::ALL.iter().copied().chain(["."]).collect();
    let modes = [0o000, 0o400, 0o200, 0o500];
    let steps: Vec<Step> =
        places.into_iter().flat_map(|place| modes.into_iter().map(move |mode| Step { place, mode })).collect();
    each("rights that are missing", Scene::of_somebody, &sample(steps, 2), |scene, step| {
        let path = if step.place == "." { scene.cache() } else { path(scene, step.place) };
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(&path, Permissions::from_mode(step.mode)).unwrap();
        for way in WAYS {
            // Right, and where nothing can be stored not replayed.
            scene.run(way);
            scene.run(way);
        }
        let is_asked = is_one_in(8, step);
        if is_asked {
            scene.ask_all(&scene.key(Way::Declared));
        }
        // What is still there has its rights again.
        if path.exists() {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        WAYS.iter().for_each(|way| drop(scene.heals(*way)));
        if is_asked {
            assert!(scene.ask(&["verify", "--repair"], "").code() <= 1);
            scene.answers_all(&scene.key(Way::Declared));
        }
    });
}
