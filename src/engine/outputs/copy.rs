//! Bytes from the store to files, by the cheapest road that the file system has.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::{Errno, pread, retry_on_intr};

use super::Stored;

/// Bytes copied at a time where the kernel does not copy by itself.
const CHUNK: usize = 256 << 10;
/// Bytes that the kernel is asked to copy at a time.
const STRETCH: u64 = 1 << 30;

/// Fills the empty file `to` with `stored`: shares its blocks where the file system can, else copies; where `stored` has holes
/// `to` has them too.
pub fn fill(mut to: &File, stored: &Stored) -> io::Result<()> {
    match stored {
        Stored::Bytes(bytes) => to.write_all(bytes),
        Stored::File { file, .. } if ioctl_ficlone(to, file).is_ok() => Ok(()),
        Stored::File { file, length } => {
            let mut end = 0;
            while let Some(data) = data(file, end, *length) {
                end = data.end;
                let copied = copy_in_kernel(file, to, data.clone())?;
                copy_by_hand(file, to, copied..data.end)?;
            }
            if end < *length { to.set_len(*length) } else { Ok(()) }
        }
    }
}

/// The first stretch of data of a file from `start` on; all of the rest where the file system does not tell of holes.
fn data(file: &File, start: u64, length: u64) -> Option<Range<u64>> {
    if start >= length {
        return None;
    }
    let from = match seek(file, SeekFrom::Data(start)) {
        Ok(from) if from < length => from,
        Ok(_) | Err(Errno::NXIO) => return None,
        Err(_) => return Some(start..length),
    };
    let to = seek(file, SeekFrom::Hole(from)).unwrap_or(length);
    Some(from..to.clamp(from, length)).filter(|data| !data.is_empty())
}

/// How far the kernel could copy.
fn copy_in_kernel(from: &File, to: &File, data: Range<u64>) -> io::Result<u64> {
    let mut copied = data.start;
    while copied < data.end {
        let (mut offset, mut place) = (copied, copied);
        let length = (data.end - copied).min(STRETCH) as usize;
        match copy_file_range(from, Some(&mut offset), to, Some(&mut place), length) {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(Errno::INTR) => {}
            Err(why @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => return Err(why.into()),
            Err(_) => break,
        }
    }
    Ok(copied)
}

fn copy_by_hand(from: &File, to: &File, data: Range<u64>) -> io::Result<()> {
    let mut copied = data.start;
    let mut chunk = vec![0; CHUNK.min((data.end - copied) as usize)];
    while copied < data.end {
        let most = chunk.len().min((data.end - copied) as usize);
        match retry_on_intr(|| pread(from, &mut chunk[..most], copied))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                to.write_all_at(&chunk[..count], copied)?;
                copied += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn every_road_copies_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..CHUNK as u32 * 3 + 7).map(|i| (i % 251) as u8).collect();
        fs::write(folder.path().join("from"), &bytes).unwrap();
        let from = File::open(folder.path().join("from")).unwrap();
        let length = bytes.len() as u64;
        let kernel = |to: &File| {
            let copied = copy_in_kernel(&from, to, 0..length).unwrap();
            copy_by_hand(&from, to, copied..length).unwrap();
        };
        let by_hand = |to: &File| copy_by_hand(&from, to, 0..length).unwrap();
        let any = |to: &File| fill(to, &Stored::File { file: from.try_clone().unwrap(), length }).unwrap();
        let memory = |to: &File| fill(to, &Stored::Bytes(bytes.clone())).unwrap();
        for road in [&kernel as &dyn Fn(&File), &by_hand, &any, &memory] {
            let to = folder.path().join("to");
            road(&File::create(&to).unwrap());
            assert!(fs::read(&to).unwrap() == bytes);
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_said_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("from"), "abc").unwrap();
        let from = File::open(folder.path().join("from")).unwrap();
        let to = File::create(folder.path().join("to")).unwrap();
        assert!(copy_by_hand(&from, &to, 0..4).is_err());
    }

    #[test]
    fn holes_stay_holes() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let from = File::options().read(true).write(true).create(true).truncate(true).open(folder.path().join("from"));
        let from = from.unwrap();
        let length = 64 << 20;
        from.set_len(length).unwrap();
        from.write_all_at(b"middle", length / 2).unwrap();
        if from.metadata().unwrap().blocks() * 512 > length / 2 {
            // A file system without holes.
            return;
        }
        let to = File::create(folder.path().join("to")).unwrap();
        fill(&to, &Stored::File { file: from, length }).unwrap();
        let found = to.metadata().unwrap();
        assert!(found.len() == length && found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
        let copy = fs::read(folder.path().join("to")).unwrap();
        assert!(
            copy[length as usize / 2..].starts_with(b"middle") && copy.iter().filter(|byte| **byte != 0).count() == 6
        );
    }

    #[test]
    fn no_more_is_copied_than_was_said() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let from = File::options().read(true).write(true).create(true).truncate(true).open(folder.path().join("from"));
        let from = from.unwrap();
        from.write_all_at(&vec![7; CHUNK * 3], 0).unwrap();
        // It grew behind a hole.
        from.write_all_at(b"end", 64 << 20).unwrap();
        let length = CHUNK as u64 + 10;
        let to = folder.path().join("to");
        copy_by_hand(&from, &File::create(&to).unwrap(), 0..length).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().len(), length);
        // From somewhere on, so that what is left is less than where that ends.
        assert!(copy_in_kernel(&from, &File::create(&to).unwrap(), 10..length).unwrap() <= length);
        assert!(fs::metadata(&to).unwrap().len() <= length);
        for start in [0, length - 1, length, 4 << 20] {
            let found = data(&from, start, 8 << 20);
            assert!(found.is_none_or(|data| data.start >= start && data.end <= 8 << 20), "{start}");
        }
    }
}
