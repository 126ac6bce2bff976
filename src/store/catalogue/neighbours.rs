//! Calls that may be near a command that has none, and why its last run was not stored.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rusqlite::{OptionalExtension, Params, params};

use super::Catalogue;
use super::entry::text;
use crate::error::Result;
use crate::model::{CommandDigest, Digest, Key};

/// Why the last run of a command was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When it ended, in nanoseconds since 1970.
    pub time: i64,
    /// The name of the reason, see [`Reason::name`](crate::model::Reason::name).
    pub reason: String,
    /// The reason in full; empty where that could tell of something redacted.
    pub detail: String,
}

impl Catalogue {
    /// The calls of exactly this command, those that the catalogue read last first, `most` of them. Not by time: a command may
    /// have a million calls, and sorting them takes seconds.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn calls_of(&self, command: &CommandDigest, most: u32) -> Result<Vec<Key>> {
        let question = "SELECT key FROM call WHERE command = ?1 ORDER BY id DESC LIMIT ?2";
        self.listed(question, params![command.0.0, most])
    }

    /// When the last run of exactly this command that is stored ended, in nanoseconds since 1970, by the `most` calls that the
    /// catalogue read last; `None` where it knows none.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn stopped(&self, command: &CommandDigest, most: u32) -> Result<Option<i64>> {
        let question =
            "SELECT max(stopped) FROM (SELECT stopped FROM call WHERE command = ?1 ORDER BY id DESC LIMIT ?2)";
        let read = || self.connection.prepare_cached(question)?.query_row(params![command.0.0, most], |row| row.get(0));
        read().map_err(|error| self.failed(error))
    }

    /// The calls whose command goes by this name, the latest first, `most` of them.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn calls_named(&self, name: &OsStr, most: u32) -> Result<Vec<Key>> {
        let question = "SELECT key FROM call WHERE name = ?1 ORDER BY started DESC LIMIT ?2";
        self.listed(question, params![text(name.as_bytes()), most])
    }

    /// The latest calls of whatever command, the latest first, `most` of them.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn latest_calls(&self, most: u32) -> Result<Vec<Key>> {
        self.listed("SELECT key FROM call ORDER BY started DESC LIMIT ?1", params![most])
    }

    /// Why the last run of this command that was not stored was not.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn refusal(&self, command: &CommandDigest) -> Result<Option<Refusal>> {
        let question = "SELECT time, reason, detail FROM refusal WHERE command = ?1";
        let read = || {
            let mut statement = self.connection.prepare_cached(question)?;
            let refusal =
                |row: &rusqlite::Row| Ok(Refusal { time: row.get(0)?, reason: row.get(1)?, detail: row.get(2)? });
            statement.query_row([command.0.0], refusal).optional()
        };
        read().map_err(|error| self.failed(error))
    }

    fn listed(&self, question: &str, bound: impl Params) -> Result<Vec<Key>> {
        let read = || -> rusqlite::Result<Vec<Key>> {
            let mut statement = self.connection.prepare_cached(question)?;
            statement.query_map(bound, |row| row.get(0).map(|key| Key(Digest(key))))?.collect()
        };
        read().map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;
    use crate::store::testing::{World, call};

    #[test]
    fn calls_are_found_by_command_and_by_name_and_refusals_by_command() {
        let world = World::new();
        let stored = world.record(call("a"));
        let detail = || "it exited with 3".to_owned();
        let refused =
            Event::NotStored { command: stored.command, reason: "exit".into(), detail: detail(), name: "a".into() };
        world.store.note(&refused);
        let catalogue = world.store.catalogue().unwrap();
        assert_eq!(catalogue.calls_of(&stored.command, 9).unwrap(), [stored.key]);
        let stopped = |command: &CommandDigest| catalogue.stopped(command, 9).unwrap();
        assert_eq!(stopped(&stored.command), Some(stored.metadata.usage.stopped));
        assert_eq!(stopped(&CommandDigest(Digest::of(b"other"))), None);
        assert_eq!(catalogue.calls_named(stored.name(), 9).unwrap(), [stored.key]);
        assert_eq!(catalogue.calls_named(OsStr::new("other"), 9).unwrap(), []);
        let refusal = catalogue.refusal(&stored.command).unwrap().unwrap();
        assert_eq!((refusal.reason.as_str(), refusal.detail), ("exit", detail()));
        assert_eq!(catalogue.refusal(&CommandDigest(Digest::of(b"other"))).unwrap(), None);
    }
}
