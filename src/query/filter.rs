//! What is asked for, resolved against what is stored.

use crate::error::{Error, Kind, Result};
use crate::model::{Digest, Key, Prefix, State};
use crate::store::{Catalogue, Condition, Named, PathQuestion, Selection, Store};

/// Which calls are wanted, as somebody asks for it: with prefixes of digests, and with states of inputs, which only the
/// calls themselves hold.
#[derive(Debug, Default)]
pub struct Filter {
    /// What the catalogue answers by itself.
    pub selection: Selection,
    /// Values that must be named.
    pub values: Vec<Prefix>,
    /// Paths at which this value must have been seen.
    pub inputs: Vec<(PathQuestion, Prefix)>,
    /// Whether it has to be exactly one call.
    pub only: bool,
}

impl Filter {
    /// Whether it asks for nothing in particular.
    pub fn is_empty(&self) -> bool {
        self.selection == Selection::default() && self.values.is_empty() && self.inputs.is_empty() && !self.only
    }

    /// The selection that it means.
    ///
    /// # Errors
    ///
    /// Where a prefix is ambiguous, where the catalogue cannot be read, and, of kind `No`, where exactly one call is wanted
    /// and there are others or none.
    pub fn resolve(&self, store: &Store, catalogue: &Catalogue) -> Result<Selection> {
        let mut selection = self.selection.clone();
        for prefix in &self.values {
            match value(store, prefix)? {
                Some(digest) => selection.conditions.push(Condition::Value(digest)),
                None => selection.conditions.push(Condition::Keys(Vec::new())),
            }
        }
        for (path, prefix) in &self.inputs {
            selection.conditions.push(Condition::Input(path.clone()));
            let keys = calls_that_saw(store, catalogue, &selection, path, prefix)?;
            selection.conditions.pop();
            selection.conditions.push(Condition::Keys(keys));
        }
        if self.only {
            match catalogue.count(&selection)? {
                1 => {}
                0 => return Err(none()),
                many => return Err(Error::no(format!("{many} calls match, not one"))),
            }
        }
        Ok(selection)
    }
}

/// The answer where no call matches.
pub fn none() -> Error {
    Error::no("no call matches")
}

fn value(store: &Store, prefix: &Prefix) -> Result<Option<Digest>> {
    match store.resolve(prefix) {
        Ok(Named::Value(digest)) => Ok(Some(digest)),
        Ok(Named::Call(_)) => Ok(None),
        Err(error) if error.kind() == Kind::No => Ok(None),
        Err(error) => Err(error),
    }
}

/// The calls of a selection that saw a value at a path. What was seen stands in their files alone: a million calls of
/// hundreds of headers each would make the catalogue larger than all of them.
fn calls_that_saw(
    store: &Store,
    catalogue: &Catalogue,
    selection: &Selection,
    path: &PathQuestion,
    prefix: &Prefix,
) -> Result<Vec<Key>> {
    let everywhere = Selection { conditions: selection.conditions.clone(), ..Selection::default() };
    let saw = |key: &Key| {
        let Ok(Some(call)) = store.call(key) else { return false };
        let at = |seen: &std::path::Path| path.means(seen, &call.root);
        call.observations.iter().any(|seen| at(&seen.path) && digest_of(&seen.state).is_some_and(|d| prefix.begins(d)))
    };
    Ok(catalogue.keys(&everywhere)?.into_iter().filter(saw).collect())
}

fn digest_of(state: &State) -> Option<&Digest> {
    match state {
        State::File { digest, .. } => Some(digest),
        State::Link { behind, .. } => digest_of(behind),
        State::Absent | State::Folder { .. } | State::Special(_) => None,
    }
}
