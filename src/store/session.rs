//! Which calls a job used: for `export --touched`, which carries on what one job of a CI system needed and no more.

use std::io::Write;

use super::folder::Found;
use super::{Access, Store};
use crate::error::Error;
use crate::model::{Digest, Key};

/// Most bytes of the list of one session: a million keys.
const MOST: u64 = 65 << 20;
/// A key and a line feed.
const LINE: usize = 65;

impl Store {
    /// The same store, which from now on notes what is used under this name.
    pub fn in_session(mut self, session: Option<&str>) -> Store {
        self.session = session.map(list_name);
        self
    }

    /// Notes that the session used a call, if there is one; what cannot be written is not worth failing for.
    pub(super) fn note_touched(&self, key: &Key) {
        if let (Access::ReadWrite, Some(name)) = (self.access, &self.session) {
            // One write, so that lines of several processes do not mix.
            let _ = self.folder.open_to_append(name).and_then(|mut file| file.write_all(format!("{key}\n").as_bytes()));
        }
    }

    /// The calls that were stored or replayed in the session of this name, each once, in the order of their first use.
    ///
    /// # Errors
    ///
    /// Where what was noted cannot be read.
    pub fn touched(&self, session: &str) -> Result<Vec<Key>, Error> {
        let read = self.folder.read(&list_name(session), MOST);
        let read = read.map_err(|why| Error::failure("cannot read what the session used").because(why))?;
        let bytes = match read {
            Found::Bytes(bytes, _) => bytes,
            Found::Absent => return Ok(Vec::new()),
            Found::Wrong(why) => return Err(Error::failure(format!("cannot read what the session used: {why}"))),
        };
        let (mut keys, mut seen) = (Vec::new(), std::collections::HashSet::new());
        // A line that a full disk cut is no key.
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.len() == LINE) {
            let key = std::str::from_utf8(line).ok().and_then(|line| line.trim_end().parse().ok()).map(Key);
            keys.extend(key.filter(|key| seen.insert(*key)));
        }
        Ok(keys)
    }
}

/// Where the lists are.
pub(super) const FOLDER: &str = "sessions";

/// Where the list of a session is: its name may be anything.
fn list_name(session: &str) -> String {
    format!("{FOLDER}/{}", Digest::of(session.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;
    use crate::store::testing::{World, call};

    #[test]
    fn what_a_session_stored_or_replayed_is_told_and_nothing_else() {
        let world = World::new();
        let other = world.record(call("other"));
        let store = Store::open(world.store.folder()).unwrap().in_session(Some("../job 1"));
        assert_eq!(store.touched("../job 1").unwrap(), []);
        let set = crate::store::testing::path_set(&call("a"));
        store.recording().unwrap().store(&call("a"), crate::store::Durability::Buffered, Some(set)).unwrap();
        store.used(&call("a").key, 1, "cc".into());
        store.used(&other.key, 1, "cc".into());
        store.note(&Event::Evicted { key: other.key });
        assert_eq!(world.store.touched("../job 1").unwrap(), [call("a").key, other.key]);
        assert_eq!(world.store.touched("job 2").unwrap(), []);
    }

    #[test]
    fn a_cut_line_is_no_key() {
        let world = World::new();
        let store = Store::open(world.store.folder()).unwrap().in_session(Some("s"));
        store.used(&call("a").key, 1, "cc".into());
        let file = world.store.folder().join(list_name("s"));
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, [&whole, &whole[..40], b"\n", &whole[..]].concat()).unwrap();
        assert_eq!(store.touched("s").unwrap(), [call("a").key]);
    }
}
