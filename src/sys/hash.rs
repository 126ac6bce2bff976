//! The digest of a file, at the speed of memory: plain reads, several threads where it is large.
//!
//! Not mmap: it is slower for one pass, and a file that shrinks meanwhile kills the process by SIGBUS.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use rustix::io::{pread, retry_on_intr};

use super::threads;
use crate::model::Digest;

/// From this size in bytes on several threads share the work.
const LARGE: u64 = 8 << 20;
/// Bytes that one read asks for: as much as fits beside the rest into the cache of one processor.
const CHUNK: usize = 128 << 10;
/// The fewest bytes of a subtree that a thread takes at a time; a power of two, so that BLAKE3's tree is made of them.
const SUBTREE: u64 = 4 << 20;
/// The most subtrees; their values are kept until the last is known, 32 bytes each.
const SUBTREES: u64 = 1 << 14;
/// More threads than this only wait for each other's memory.
const THREADS: usize = 8;
/// No file has more bytes than this, but `/proc/kcore` says so.
const LARGEST: u64 = 1 << 46;
/// More bytes than this behind its end no file has: `/proc/self/pagemap`, which claims to have none, goes on for hours.
const MOST_MORE: u64 = 64 << 20;

/// The digest of the first `length` bytes of `file`; `None` where it has fewer. Its offset stays as it is.
///
/// # Errors
///
/// As `pread(2)`.
pub fn of_length(file: impl AsFd, length: u64) -> io::Result<Option<Digest>> {
    let file = file.as_fd();
    if length >= LARGE {
        return in_subtrees(file, length);
    }
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut hasher = Hasher::new();
    Ok(feed(&mut hasher, file, &mut buffer, 0..length)?.then(|| hasher.finalize().into()))
}

/// The digest of all that is in `file`, at whose end `size` bytes were expected, and how many there are. Its offset stays as it
/// is. Whether `size` was right is for the caller to see; what is there is read if it is more, or less.
///
/// What is shorter than `buffer` is in it afterwards, which is made as large as is good.
///
/// # Errors
///
/// As `pread(2)`; `FileTooLarge` for what has no end that anybody would wait for, as some files of the kernel's.
pub fn whole(file: impl AsFd, size: u64, buffer: &mut Vec<u8>) -> io::Result<(Digest, u64)> {
    let file = file.as_fd();
    if (LARGE..=LARGEST).contains(&size)
        && let Some(digest) = in_subtrees(file, size)?
        && read_some(file, &mut [0], size)? == 0
    {
        return Ok((digest, size));
    }
    in_order(|chunk, offset| Ok(pread(file, chunk, offset)?), size, buffer)
}

fn in_order(
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
    size: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<(Digest, u64)> {
    const MOST: usize = 2 * CHUNK;
    let wanted = usize::try_from(size).unwrap_or(MOST).saturating_add(1).clamp(512, MOST);
    buffer.resize(wanted.max(buffer.len()), 0);
    if size > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut hasher = Hasher::new();
    let (mut offset, mut filled) = (0_u64, 0);
    loop {
        match read(&mut buffer[filled..], offset) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                offset += count as u64;
                if offset.saturating_sub(size) > MOST_MORE {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                if filled == buffer.len() {
                    hasher.update(buffer);
                    filled = 0;
                } else if offset == size {
                    // Short, and all that is there: no need to ask for nothing.
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    hasher.update(&buffer[..filled]);
    Ok((hasher.finalize().into(), offset))
}

/// Hashes the bytes of a range; says whether there were so many.
fn feed(hasher: &mut Hasher, file: BorrowedFd, buffer: &mut [u8], range: std::ops::Range<u64>) -> io::Result<bool> {
    let mut offset = range.start;
    while offset < range.end {
        let wanted = buffer.len().min(usize::try_from(range.end - offset).unwrap_or(usize::MAX));
        let read = read_some(file, &mut buffer[..wanted], offset)?;
        if read == 0 {
            return Ok(false);
        }
        hasher.update(&buffer[..read]);
        offset += read as u64;
    }
    Ok(true)
}

fn read_some(file: BorrowedFd, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    Ok(retry_on_intr(|| pread(file, &mut *buffer, offset))?)
}

/// The digest by subtrees, of which each thread takes the next; `None` where the file has fewer bytes.
fn in_subtrees(file: BorrowedFd, length: u64) -> io::Result<Option<Digest>> {
    let size = length.div_ceil(SUBTREES).next_power_of_two().max(SUBTREE);
    let starts: Vec<u64> = (0..length.div_ceil(size)).map(|number| number * size).collect();
    let value = |buffer: &mut Vec<u8>, start: u64| {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        let is_there = feed(&mut hasher, file, buffer, start..length.min(start + size))?;
        Ok(is_there.then(|| hasher.finalize_non_root()))
    };
    let threads = threads::processors().min(THREADS);
    let values = threads::share(
        &starts,
        1,
        threads,
        || vec![0; CHUNK],
        |buffer, starts| starts.iter().map(|start| value(buffer, *start)).collect(),
    );
    let Some(values) = values.into_iter().collect::<io::Result<Option<Vec<ChainingValue>>>>()? else { return Ok(None) };
    let (left, right) = values.split_at(left_of(values.len()));
    Ok(Some(merge_subtrees_root(&merge(left), &merge(right), Mode::Hash).into()))
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
    use std::cell::Cell;
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn it_is_the_plain_digest_at_every_size_where_the_tree_changes() {
        let most = 5 * SUBTREE + 1;
        let bytes: Vec<u8> = (0..most).map(|n| ((n * 2_654_435_761) >> 13) as u8).collect();
        let mut all = file(&bytes);
        let chunk = CHUNK as u64;
        let small = [0, 1, 511, 512, 513, 1024, chunk - 1, chunk, chunk + 1, 3 * chunk + 7];
        let large = [LARGE - 1, LARGE, LARGE + 1, 3 * SUBTREE, 4 * SUBTREE, most - 1, most];
        for size in small.into_iter().chain(large) {
            let expected = Digest::of(&bytes[..size as usize]);
            assert_eq!(of_length(&all, size).unwrap(), Some(expected), "{size}");
        }
        assert_eq!(all.stream_position().unwrap(), most);
        let mut buffer = Vec::new();
        for size in [most, LARGE, LARGE - 1, 1] {
            all.set_len(size).unwrap();
            let expected = (Digest::of(&bytes[..size as usize]), size);
            // More and fewer than were expected are read as well.
            for claimed in [size, size - 1, size + 1, 0, SUBTREE, 2 * most] {
                assert_eq!(whole(&all, claimed, &mut buffer).unwrap(), expected, "{size} {claimed}");
            }
        }
    }

    #[test]
    fn what_is_small_is_in_the_buffer() {
        let mut buffer = Vec::new();
        for bytes in [&b"some"[..], b"", b"bytes"] {
            whole(file(bytes), bytes.len() as u64, &mut buffer).unwrap();
            assert!(buffer.starts_with(bytes));
        }
    }

    #[test]
    fn a_file_that_is_too_short_has_no_digest() {
        let file = file(b"abc");
        assert_eq!(of_length(&file, 4).unwrap(), None);
        file.set_len(LARGE).unwrap();
        assert_eq!(of_length(&file, LARGE + 1).unwrap(), None);
    }

    #[test]
    fn the_largest_files_have_no_more_subtrees_than_memory() {
        let file = tempfile::tempfile().unwrap();
        // Empty behind its start: the tree is made, without an end in sight nothing is read.
        for length in [SUBTREE * SUBTREES, SUBTREE * SUBTREES + 1, LARGEST] {
            assert_eq!(of_length(&file, length).unwrap(), None);
            let size = length.div_ceil(SUBTREES).next_power_of_two().max(SUBTREE);
            assert!(length.div_ceil(size) <= SUBTREES && size.is_power_of_two());
        }
    }

    #[test]
    fn files_that_hide_their_size_are_read_whole() {
        let content = std::fs::read("/proc/self/environ").unwrap();
        let environ = File::open("/proc/self/environ").unwrap();
        assert_eq!(whole(environ, 0, &mut Vec::new()).unwrap(), (Digest::of(&content), content.len() as u64));
    }

    #[test]
    fn a_file_is_read_to_an_end_that_nobody_foresaw() {
        let content = b"0123456789";
        let read = |chunk: &mut [u8], offset: u64| (&content[offset as usize..]).read(&mut chunk[..3]);
        for size in [10, 0, 600] {
            let digest = in_order(read, size, &mut Vec::new()).unwrap();
            assert_eq!(digest, (Digest::of(content), 10), "{size}");
        }
    }

    #[test]
    fn what_has_no_end_is_given_up_and_what_only_seems_so_is_read() {
        // A buffer so large that this takes few steps.
        let of = |bytes: u64, size: u64| {
            let given = |chunk: &mut [u8], offset: u64| Ok(chunk.len().min(bytes.saturating_sub(offset) as usize));
            in_order(given, size, &mut vec![0; 8 << 20]).map_err(|error| error.kind())
        };
        let too_large = Err(io::ErrorKind::FileTooLarge);
        assert_eq!(of(MOST_MORE, 0), Ok((Digest::of(&vec![0; MOST_MORE as usize]), MOST_MORE)));
        assert_eq!(of(MOST_MORE + 1, 0), too_large);
        assert_eq!(of(u64::MAX, 0), too_large);
        assert_eq!(of(1, LARGEST), Ok((Digest::of(&[0]), 1)));
        assert_eq!(of(1, LARGEST + 1), too_large);
        assert_eq!(of(1, u64::MAX), too_large);
        assert_eq!(whole(file(b"x"), u64::MAX, &mut Vec::new()).map_err(|why| why.kind()), too_large);
    }

    #[test]
    fn a_signal_while_a_file_is_read_is_no_fault() {
        let signals = Cell::new(2);
        let read = |chunk: &mut [u8], offset: u64| match signals.get() {
            0 => (&b"0123456789"[offset as usize..]).read(&mut chunk[..3]),
            left => {
                signals.set(left - 1);
                Err(io::ErrorKind::Interrupted.into())
            }
        };
        assert_eq!(in_order(read, 10, &mut Vec::new()).unwrap().0, Digest::of(b"0123456789"));
        let refused = |_: &mut [u8], _: u64| Err(io::ErrorKind::PermissionDenied.into());
        assert_eq!(in_order(refused, 10, &mut Vec::new()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
