//! What an isolated command looked for in vain, and would have found had it been declared.

use std::path::{Path, PathBuf};

use crate::exec::Place;
use crate::model::{Glimpse, Trace};

use super::layout::Layout;

/// Paths that are named in a hint.
const MOST: usize = 3;

/// Names what lies in the caller's folder, was looked for and is not in the private one, as far as it may be told.
pub fn hint(trace: &Trace, layout: &Layout, place: &Place, may_be_told: &dyn Fn(&Path) -> bool) -> Option<String> {
    let mut missed: Vec<PathBuf> = Vec::new();
    for (path, touch) in &trace.touched {
        let outer = match place {
            // Where it sees nothing else, the folder has its own name, and whoever watched it looked at the original.
            Place::View(_) => layout.inner(path).map(|_| path.clone()),
            _ if touch.before != Glimpse::Nothing => None,
            _ => layout.outer(path),
        };
        let Some(outer) = outer.filter(|outer| may_be_told(outer)) else { continue };
        let is_absent = layout.inner(&outer).is_some_and(|inner| inner.symlink_metadata().is_err());
        if is_absent && outer.symlink_metadata().is_ok() {
            missed.push(outer);
        }
    }
    // In their order a folder comes before what is in it, of which the last is what was meant.
    let is_on_the_way = |path: &PathBuf| missed.iter().any(|other| other != path && other.starts_with(path));
    let named: Vec<String> =
        missed.iter().filter(|path| !is_on_the_way(path)).map(|path| word(path, layout.outer_cwd())).collect();
    let quoted = |word: &String| format!("`{word}`");
    let flags = named.iter().take(MOST).map(|word| format!("-i {word}")).collect::<Vec<_>>().join(" ");
    match named.as_slice() {
        [] => None,
        [one] => Some(format!("`{one}` was looked for but is not declared; add {flags}")),
        many if many.len() <= MOST => {
            let names = many.iter().map(quoted).collect::<Vec<_>>().join(", ");
            Some(format!("{names} were looked for but are not declared; add {flags}"))
        }
        many => {
            let names = many.iter().take(MOST).map(quoted).collect::<Vec<_>>().join(", ");
            let more = many.len() - MOST;
            Some(format!("{names} and {more} more were looked for but are not declared; add {flags} ..."))
        }
    }
}

/// The path as it would be written in the folder `cwd`.
fn word(path: &Path, cwd: &Path) -> String {
    let shared = cwd.ancestors().find(|above| path.starts_with(above)).unwrap_or(Path::new("/"));
    let ups = cwd.strip_prefix(shared).map_or(0, |below| below.components().count());
    let mut word: PathBuf = std::iter::repeat_n("..", ups).collect();
    word.push(path.strip_prefix(shared).unwrap_or(path));
    word.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_as_it_would_be_typed() {
        for (path, named) in [("/w/p/data/x.csv", "data/x.csv"), ("/w/lib/a.h", "../lib/a.h"), ("/x", "../../x")] {
            assert_eq!(word(Path::new(path), Path::new("/w/p")), *named);
        }
    }
}
