//! Bytes that are whole and named, and not yet in the store.

use std::io;
use std::iter::successors;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::folder::{Folder, Temporary, read_at};
use crate::model::Digest;

/// Bytes that one search looks at.
const WINDOW: usize = 256 << 10;

/// Whole bytes with known digest and length, not yet in `values/`. Dropped, they are gone.
#[derive(Debug)]
pub struct Pending {
    pub(super) digest: Digest,
    pub(super) length: u64,
    pub(super) held: Held,
    pub(super) folder: Arc<Folder>,
}

/// Where pending bytes are.
#[derive(Debug)]
pub(super) enum Held {
    Memory(Vec<u8>),
    File(Temporary),
}

impl Pending {
    /// What these bytes will be called.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether they begin with these.
    ///
    /// # Errors
    ///
    /// Where the temporary file cannot be read.
    pub fn starts_with(&self, beginning: &[u8]) -> io::Result<bool> {
        match &self.held {
            Held::Memory(bytes) => Ok(bytes.starts_with(beginning)),
            Held::File(file) => {
                let mut bytes = vec![0; beginning.len()];
                let read = read_at(file.as_file(), &mut bytes, 0)?;
                Ok(bytes[..read] == *beginning)
            }
        }
    }

    /// Whether `needle` occurs in them; an empty one always does.
    ///
    /// # Errors
    ///
    /// Where the temporary file cannot be read.
    pub fn contains(&self, needle: &[u8]) -> io::Result<bool> {
        self.search(needle, |_, _| true)
    }

    /// Whether `word` occurs in them without a letter, digit or underscore on either side.
    ///
    /// # Errors
    ///
    /// Where the temporary file cannot be read.
    pub fn contains_word(&self, word: &[u8]) -> io::Result<bool> {
        self.search(word, ends_words)
    }

    /// Whether `needle` occurs where `fits` likes the bytes before and after it.
    fn search(&self, needle: &[u8], fits: impl Fn(Option<u8>, Option<u8>) -> bool) -> io::Result<bool> {
        let finder = memmem::Finder::new(needle);
        // One that begins within another one counts, too: what is on either side of the two is not the same.
        let occurs = |bytes: &[u8], judged: Range<usize>| {
            let next = |from: usize| Some(from + finder.find(bytes.get(from..)?)?);
            let around = |at: usize| (at.checked_sub(1).map(|at| bytes[at]), bytes.get(at + needle.len()).copied());
            let all = successors(next(judged.start), |at| next(at + 1)).take_while(|at| judged.contains(at));
            all.map(around).any(|(before, after)| fits(before, after))
        };
        let file = match &self.held {
            Held::Memory(bytes) => return Ok(occurs(bytes, 0..bytes.len() + 1)),
            Held::File(file) => file.as_file(),
        };
        let mut window = vec![0; WINDOW.max(needle.len() * 2 + 2)];
        // A match may lie across two windows, and so may what is on either side of it. So they overlap, and each judges those
        // of which it sees both sides: what ends where a window ends is the next one's, and what begins there was the former's.
        let step = window.len() - needle.len() - 1;
        let (mut offset, mut first) = (0, 0);
        loop {
            let read = read_at(file, &mut window, offset)?;
            let is_last = read < window.len();
            if occurs(&window[..read], first..if is_last { read + 1 } else { step + 1 }) {
                return Ok(true);
            }
            if is_last {
                return Ok(false);
            }
            (offset, first) = (offset + step as u64, 1);
        }
    }

    /// A descriptor from which the bytes can be read from the beginning.
    #[cfg(test)]
    pub(super) fn open(&self) -> io::Result<std::fs::File> {
        use std::io::{Seek, Write};
        match &self.held {
            Held::File(file) => self.folder.reopen(file),
            Held::Memory(bytes) => {
                let mut file = self.folder.temporary()?.into_file();
                file.write_all(bytes)?;
                file.rewind()?;
                Ok(file)
            }
        }
    }
}

/// Whether a word may end between something and each of these.
fn ends_words(before: Option<u8>, after: Option<u8>) -> bool {
    let is_of_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    !is_of_word(before) && !is_of_word(after)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use crate::store::testing::World;

    #[test]
    fn a_needle_is_found_wherever_it_lies() {
        let world = World::new();
        let length = super::WINDOW * 2 + 100;
        for at in [0, super::WINDOW - 3, super::WINDOW, super::WINDOW * 2 - 7, length - 6] {
            let mut bytes = vec![b'.'; length];
            bytes[at..at + 6].copy_from_slice(b"needle");
            let pending = world.pending(&bytes);
            assert!(pending.contains(b"needle").unwrap(), "{at}");
            assert!(!pending.contains(b"noodle").unwrap(), "{at}");
            assert!(pending.contains_word(b"needle").unwrap(), "{at}");
            assert!(!pending.contains_word(b"needl").unwrap() && !pending.contains_word(b"eedle").unwrap(), "{at}");
            assert_eq!(pending.starts_with(b"needle").unwrap(), at == 0);
        }
        for at in super::WINDOW - 10..super::WINDOW + 10 {
            let mut bytes = vec![b'.'; super::WINDOW * 2];
            for (around, is_word) in [(b"xneedle.", false), (b".needlex", false), (b".needle.", true)] {
                bytes[at..at + 8].copy_from_slice(around);
                assert_eq!(world.pending(&bytes).contains_word(b"needle").unwrap(), is_word, "{at}");
            }
        }
        // At the end of a file that has as many bytes as a window.
        assert!(world.pending(&[&[b'.'; super::WINDOW - 6][..], b"needle"].concat()).contains_word(b"needle").unwrap());
        assert!(world.pending(b"xa a a").contains_word(b"a a").unwrap());
        assert!(world.pending(b"").contains(b"").unwrap());
        // The last byte.
        for before in [1, super::WINDOW - 1, super::WINDOW] {
            let bytes = [&vec![b'.'; before][..], b"n"].concat();
            assert!(world.pending(&bytes).contains(b"n").unwrap(), "{before}");
        }
        assert!(world.pending(b"a needle").contains(b"needle").unwrap());
        assert!(!world.pending(b"").contains(b"needle").unwrap());
        assert!(world.pending(b"a needle").starts_with(b"a n").unwrap());
        assert!(!world.pending(b"a").starts_with(b"a n").unwrap());
    }

    #[test]
    fn pending_bytes_can_be_read_from_their_beginning() {
        let world = World::new();
        for length in [0, 10, 300_000] {
            let bytes = vec![b'x'; length];
            let mut read = Vec::new();
            world.pending(&bytes).open().unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
        }
        assert_eq!(std::fs::read_dir(world.store.folder().join("tmp")).unwrap().count(), 0);
    }
}
