//! The digest of a file, at the speed of memory: plain reads, two threads where it is large.
//!
//! Not mmap: it is slower for one pass, and a file that shrinks meanwhile kills the process by SIGBUS.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::folder::read_at;
use crate::model::Digest;

/// Bytes that one read asks for.
const CHUNK: usize = 128 << 10;
/// From this size in bytes on two threads share the work.
const LARGE: u64 = 8 << 20;
/// Bytes of the subtrees that are shared out; a power of two, so that BLAKE3's tree is made of them.
const SUBTREE: u64 = 4 << 20;

/// The digest of the first `length` bytes of `file`; `None` where it has fewer. Its offset stays as it is.
pub(super) fn digest(file: &File, length: u64) -> io::Result<Option<Digest>> {
    if length < LARGE { in_one(file, length) } else { in_subtrees(file, length) }
}

fn in_one(file: &File, length: u64) -> io::Result<Option<Digest>> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    Ok(feed(&mut hasher, file, &mut buffer, 0, length)?.then(|| hasher.finalize().into()))
}

/// Hashes `length` bytes from `start` on; says whether there were so many.
fn feed(hasher: &mut Hasher, file: &File, buffer: &mut [u8], start: u64, length: u64) -> io::Result<bool> {
    let mut done = 0;
    while done < length {
        let wanted = buffer.len().min(usize::try_from(length - done).unwrap_or(usize::MAX));
        let read = read_at(file, &mut buffer[..wanted], start + done)?;
        if read < wanted {
            return Ok(false);
        }
        hasher.update(&buffer[..read]);
        done += read as u64;
    }
    Ok(true)
}

fn in_subtrees(file: &File, length: u64) -> io::Result<Option<Digest>> {
    let count = length.div_ceil(SUBTREE);
    let next = AtomicU64::new(0);
    let work = || share(file, length, count, &next);
    let shares = thread::scope(|scope| {
        // Where no thread can be had, this one does it all.
        let other = thread::Builder::new().spawn_scoped(scope, work);
        let mine = work();
        let others = other.map(|thread| thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
        [mine, others.unwrap_or_else(|_| Ok(Some(Vec::new())))]
    });
    let mut subtrees = vec![ChainingValue::default(); usize::try_from(count).map_err(|_| io::ErrorKind::FileTooLarge)?];
    for share in shares {
        let Some(share) = share? else { return Ok(None) };
        for (number, value) in share {
            subtrees[number as usize] = value;
        }
    }
    let (left, right) = subtrees.split_at(left_of(subtrees.len()));
    Ok(Some(merge_subtrees_root(&merge(left), &merge(right), Mode::Hash).into()))
}

/// Hashes one subtree after the other until none is left; `None` where the file ends too early.
fn share(file: &File, length: u64, count: u64, next: &AtomicU64) -> io::Result<Option<Vec<(u64, ChainingValue)>>> {
    let mut buffer = vec![0; CHUNK];
    let mut done = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(Some(done));
        }
        let start = number * SUBTREE;
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        if !feed(&mut hasher, file, &mut buffer, start, SUBTREE.min(length - start))? {
            return Ok(None);
        }
        done.push((number, hasher.finalize_non_root()));
    }
}

fn merge(subtrees: &[ChainingValue]) -> ChainingValue {
    match subtrees {
        [] => ChainingValue::default(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(left_of(more.len()));
            merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
        }
    }
}

/// How many of `count` subtrees are on the left: the largest power of two below `count` (BLAKE3 paper, section 2.1).
fn left_of(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn it_is_the_plain_digest_at_every_size_where_the_tree_changes() {
        let most = 5 * SUBTREE + 1;
        let bytes: Vec<u8> = (0..most).map(|n| ((n * 2_654_435_761) >> 13) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let sizes =
            [0, 1, 1024, CHUNK as u64 + 1, LARGE - 1, LARGE, LARGE + 1, 3 * SUBTREE, 4 * SUBTREE, most - 1, most];
        for size in sizes {
            let expected = Digest::of(&bytes[..size as usize]);
            assert_eq!(digest(&file, size).unwrap(), Some(expected), "{size}");
        }
        assert_eq!(file.stream_position().unwrap(), most);
    }

    #[test]
    fn a_file_that_is_too_short_has_no_digest() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(digest(&file, 4).unwrap(), None);
        file.set_len(LARGE).unwrap();
        assert_eq!(digest(&file, LARGE + 1).unwrap(), None);
    }
}
