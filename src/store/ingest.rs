//! Taking in an output file: shared blocks where the file system can, else one pass that copies and hashes.

use std::fs::File;
use std::io;

use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, fstat, ioctl_ficlone};
use rustix::io::{Errno, pread};

use super::Store;
use super::pending::{Held, Pending};
use crate::model::{Reason, Sink};
use crate::sys::hash;

/// Smaller files are not worth an attempt to share blocks.
const CLONE: u64 = 64 << 10;
/// Bytes that one read asks for.
const CHUNK: u64 = 1 << 20;

impl Store {
    /// Takes in the bytes of a regular file of at most `most` bytes, from its beginning. The file's offset stays as it is.
    ///
    /// # Errors
    ///
    /// [`Reason::TooLarge`]; [`Reason::CutShort`] where the file cannot be read; [`Reason::StoreUnusable`] where
    /// its bytes cannot be kept.
    pub fn ingest(&self, file: &File, most: u64) -> Result<Pending, Reason> {
        let stat = fstat(file).map_err(|error| unreadable(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Reason::CutShort("it is not a regular file".into()));
        }
        let length = stat.st_size as u64;
        if length > most {
            return Err(Reason::TooLarge(most));
        }
        let mut spool = self.spool(most);
        if length >= CLONE
            && let Ok(temporary) = self.folder.temporary()
        {
            if ioctl_ficlone(temporary.as_file(), file).is_ok() {
                return self.cloned(temporary, most);
            }
            spool = self.spool_to(temporary, most);
        }
        let mut chunk = Vec::with_capacity((length + 1).min(CHUNK) as usize);
        let mut offset = 0;
        while offset <= most {
            match pread(file, spare_capacity(&mut chunk), offset) {
                Ok(0) => return spool.finish(),
                Ok(read) => offset += read as u64,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(unreadable(error.into())),
            }
            chunk = spool.accept(chunk);
        }
        Err(Reason::TooLarge(most))
    }

    fn cloned(&self, file: super::folder::Temporary, most: u64) -> Result<Pending, Reason> {
        let length = fstat(file.as_file()).map_err(|error| unreadable(error.into()))?.st_size as u64;
        if length > most {
            return Err(Reason::TooLarge(most));
        }
        match hash::of_length(file.as_file(), length).map_err(unreadable)? {
            Some(digest) => Ok(Pending { digest, length, held: Held::File(file), folder: self.folder.clone() }),
            None => Err(Reason::CutShort("it shrinks".into())),
        }
    }
}

fn unreadable(error: io::Error) -> Reason {
    Reason::CutShort(crate::error::Error::failure("it cannot be read").because(error).to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::model::Digest;
    use crate::store::testing::World;

    #[test]
    fn a_file_of_any_size_is_taken_in_and_left_as_it_is() {
        let world = World::new();
        for length in [0, 1, CLONE as usize - 1, CLONE as usize, 3_000_000] {
            let bytes: Vec<u8> = (0..length).map(|n| (n / 7) as u8).collect();
            // Beside the store, where sharing blocks would be possible.
            let mut file = tempfile::tempfile_in(world.store.folder()).unwrap();
            file.write_all(&bytes).unwrap();
            let pending = world.store.ingest(&file, length as u64).unwrap();
            assert_eq!((pending.digest(), pending.length()), (Digest::of(&bytes), length as u64));
            let mut read = Vec::new();
            pending.open().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == bytes);
            assert_eq!(std::io::Seek::stream_position(&mut file).unwrap(), length as u64);
        }
    }

    #[test]
    fn too_large_a_file_is_refused() {
        let world = World::new();
        let file = tempfile::tempfile().unwrap();
        file.set_len(11).unwrap();
        assert_eq!(world.store.ingest(&file, 10).unwrap_err(), Reason::TooLarge(10));
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused() {
        let world = World::new();
        let device = File::open("/dev/zero").unwrap();
        assert!(matches!(world.store.ingest(&device, 10), Err(Reason::CutShort(_))));
    }

    #[test]
    fn shared_blocks_are_counted_and_hashed_too() {
        let world = World::new();
        let cloned = |most| {
            let mut temporary = world.store.folder.temporary().unwrap();
            temporary.as_file_mut().write_all(b"ten bytes.").unwrap();
            world.store.cloned(temporary, most).map(|pending| (pending.digest(), pending.length()))
        };
        assert_eq!(cloned(9), Err(Reason::TooLarge(9)));
        assert_eq!([cloned(10), cloned(11)], [(); 2].map(|()| Ok((Digest::of(b"ten bytes."), 10))));
    }
}
