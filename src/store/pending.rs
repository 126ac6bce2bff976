//! Bytes that are whole and named, and not yet in the store.

use std::fs::File;
use std::io::{self, Seek, Write};
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

    /// Whether `needle` occurs in them; an empty one always does.
    ///
    /// # Errors
    ///
    /// Where the temporary file cannot be read.
    pub fn contains(&self, needle: &[u8]) -> io::Result<bool> {
        let finder = memmem::Finder::new(needle);
        let file = match &self.held {
            Held::Memory(bytes) => return Ok(finder.find(bytes).is_some()),
            Held::File(file) => file.as_file(),
        };
        let mut window = vec![0; WINDOW.max(needle.len() * 2)];
        // A match may lie across two windows, so they overlap.
        let step = (window.len() + 1 - needle.len().max(1)) as u64;
        let mut offset = 0;
        loop {
            let read = read_at(file, &mut window, offset)?;
            if finder.find(&window[..read]).is_some() {
                return Ok(true);
            }
            if read < window.len() {
                return Ok(false);
            }
            offset += step;
        }
    }

    /// A descriptor from which the bytes can be read from the beginning, for instance as standard input.
    ///
    /// # Errors
    ///
    /// Where the temporary file cannot be made or opened.
    pub fn open(&self) -> io::Result<File> {
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
        }
        assert!(world.pending(b"a needle").contains(b"needle").unwrap());
        assert!(!world.pending(b"").contains(b"needle").unwrap());
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
