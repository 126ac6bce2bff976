//! Bytes from the store to files, by the cheapest road that the file system has.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{copy_file_range, ioctl_ficlone};
use rustix::io::Errno;

use crate::model::Digest;

use super::Stored;

/// Bytes copied at a time where the kernel does not copy by itself.
const CHUNK: usize = 256 << 10;
/// Bytes that the kernel is asked to copy at a time.
const STRETCH: u64 = 1 << 30;

/// Fills the empty file `to` with `stored`: shares its blocks where the file system can, else copies.
pub fn fill(mut to: &File, stored: &Stored) -> io::Result<()> {
    match stored {
        Stored::Bytes(bytes) => to.write_all(bytes),
        Stored::File { file, .. } if ioctl_ficlone(to, file).is_ok() => Ok(()),
        Stored::File { file, length } => {
            let copied = copy_in_kernel(file, to, *length)?;
            copy_by_hand(file, to, copied, *length)
        }
    }
}

/// How much the kernel could copy.
fn copy_in_kernel(from: &File, to: &File, length: u64) -> io::Result<u64> {
    let mut copied = 0;
    while copied < length {
        let mut offset = copied;
        match copy_file_range(from, Some(&mut offset), to, None, (length - copied).min(STRETCH) as usize) {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(Errno::INTR) => {}
            Err(why @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => return Err(why.into()),
            Err(_) => break,
        }
    }
    Ok(copied)
}

fn copy_by_hand(from: &File, mut to: &File, mut copied: u64, length: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK.min((length - copied) as usize)];
    while copied < length {
        let most = chunk.len().min((length - copied) as usize);
        match from.read_at(&mut chunk[..most], copied) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                to.write_all(&chunk[..count])?;
                copied += count as u64;
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// The digest of a file, read from its offset.
pub fn digest(file: &File) -> io::Result<Digest> {
    Ok(blake3::Hasher::new().update_reader(file)?.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_road_copies_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..CHUNK as u32 * 3 + 7).map(|i| (i % 251) as u8).collect();
        fs::write(folder.path().join("from"), &bytes).unwrap();
        let from = File::open(folder.path().join("from")).unwrap();
        let length = bytes.len() as u64;
        let kernel = |to: &File| {
            let copied = copy_in_kernel(&from, to, length).unwrap();
            copy_by_hand(&from, to, copied, length).unwrap();
        };
        let by_hand = |to: &File| copy_by_hand(&from, to, 0, length).unwrap();
        let any = |to: &File| fill(to, &Stored::File { file: from.try_clone().unwrap(), length }).unwrap();
        let memory = |to: &File| fill(to, &Stored::Bytes(bytes.clone())).unwrap();
        for road in [&kernel as &dyn Fn(&File), &by_hand, &any, &memory] {
            let to = folder.path().join("to");
            road(&File::create(&to).unwrap());
            assert!(fs::read(&to).unwrap() == bytes);
            assert_eq!(digest(&File::open(&to).unwrap()).unwrap(), Digest::of(&bytes));
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_said_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("from"), "abc").unwrap();
        let from = File::open(folder.path().join("from")).unwrap();
        let to = File::create(folder.path().join("to")).unwrap();
        assert!(copy_by_hand(&from, &to, 0, 4).is_err());
    }
}
