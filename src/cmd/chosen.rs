//! Calls named one by one, on the command line or on standard input, or chosen by filters.

use std::io::{self, BufRead};

use crate::error::{Error, Result};
use crate::model::{Key, Prefix};
use crate::query::none;
use crate::store::{Catalogue, Named, Selection, Store};

use super::filter;

/// The first line of what `fleche table` prints into a pipe, when its other columns were cut off.
const HEADING: &str = "key";

/// Which calls.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Keys, or the first four or more characters of them; `-` reads them from standard input
    #[arg(value_name = "KEY", add = super::candidates::keys())]
    keys: Vec<String>,
    #[command(flatten)]
    filter: filter::Args,
}

/// What was chosen.
pub enum Chosen {
    /// Nothing was said: it is for the subcommand to know what that means.
    Everything,
    /// These.
    These(Vec<Key>),
}

impl Args {
    /// As if these had been given on the command line.
    pub fn new(keys: Vec<String>, filter: filter::Args) -> Args {
        Args { keys, filter }
    }

    /// Whether neither keys nor filters were given.
    pub fn is_everything(&self) -> bool {
        self.keys.is_empty() && self.filter == filter::Args::default()
    }

    /// The calls, in the order of the filter or as they were named.
    ///
    /// # Errors
    ///
    /// Where keys and filters are both given, where a key is unknown or ambiguous, where it is not known which calls there are
    /// that the filters may match, and, of kind `No`, where no call matches them.
    pub fn calls(self, store: &Store, catalogue: &Catalogue) -> Result<Chosen> {
        let filter = self.filter.filter()?;
        if self.keys.is_empty() {
            if filter.is_empty() {
                return Ok(Chosen::Everything);
            }
            catalogue.check_complete()?;
            let keys = catalogue.keys(&filter.resolve(store, catalogue)?)?;
            return if keys.is_empty() { Err(none()) } else { Ok(Chosen::These(keys)) };
        }
        if !filter.is_empty() {
            return Err(Error::usage("keys and filters cannot be combined"));
        }
        let keys = words(self.keys)?.iter().map(|word| call(store, catalogue, word)).collect::<Result<_>>()?;
        Ok(Chosen::These(keys))
    }

    /// The same, with all calls where nothing was said.
    ///
    /// # Errors
    ///
    /// As [`calls`](Args::calls), and where it is not known which calls there are.
    pub fn calls_or_all(self, store: &Store) -> Result<Vec<Key>> {
        let catalogue = store.catalogue()?;
        if self.keys.is_empty() {
            catalogue.check_complete()?;
        }
        match self.calls(store, &catalogue)? {
            Chosen::These(keys) => Ok(keys),
            Chosen::Everything => catalogue.keys(&Selection::default()),
        }
    }
}

/// The words, with those of standard input in the place of `-`: one a line, a heading passed over.
pub fn words(given: Vec<String>) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for word in given {
        if word != "-" {
            words.push(word);
            continue;
        }
        for (number, line) in io::stdin().lock().lines().enumerate() {
            let line = line.map_err(|why| Error::failure("cannot read standard input").because(why))?;
            let word = line.trim();
            if !(word.is_empty() || number == 0 && word == HEADING) {
                words.push(word.to_owned());
            }
        }
    }
    Ok(words)
}

/// The words, or, where there are none, those of standard input.
pub fn words_or_input(given: Vec<String>) -> Result<Vec<String>> {
    words(if given.is_empty() { vec!["-".to_owned()] } else { given })
}

/// A digest's beginning.
pub fn prefix(word: &str) -> Result<Prefix> {
    word.parse().map_err(|why: String| Error::usage(why))
}

/// The call of this name.
pub fn call(store: &Store, catalogue: &Catalogue, word: &str) -> Result<Key> {
    match store.resolve_by(catalogue, &prefix(word)?)? {
        Named::Call(key) => Ok(key),
        Named::Value(digest) => Err(Error::no(format!("{} is a value, not a call", digest.short()))),
    }
}
