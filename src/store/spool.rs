//! Keeping a stream of unknown length while it is passed on: in memory first, then in a temporary file.
//!
//! Once it is large, a thread of its own writes and hashes, so that the pump only reads and forwards. Buffers go
//! round between the two; there are never more than [`BUFFERS`] of them.

use std::io::{self, Seek, SeekFrom, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use blake3::Hasher;

use super::folder::{Folder, Temporary};
use super::pending::{Held, Pending};
use super::{Store, unusable};
use crate::model::{Digest, Reason, Sink};

/// Bytes that are collected before they are written; a shorter stream stays in memory.
const BATCH: usize = 64 << 10;
/// From this many bytes on a thread of its own writes and hashes.
const LARGE: u64 = 1 << 20;
/// Buffers that go round between pump and thread.
const BUFFERS: usize = 3;

/// Takes a stream in; see [`Store::spool`].
#[derive(Debug)]
pub struct Spool {
    folder: Arc<Folder>,
    /// Most bytes that it may have.
    most: u64,
    /// Bytes so far.
    length: u64,
    /// Bytes that were not written yet.
    batch: Vec<u8>,
    target: Target,
}

/// Where full batches go.
#[derive(Debug)]
enum Target {
    /// Nowhere yet.
    Memory,
    File(Box<Writer>),
    Thread(Worker),
    /// Nowhere: it failed, and the bytes are not kept.
    Failed(Reason),
}

/// A temporary file and the digest of what was written to it.
#[derive(Debug)]
pub(super) struct Writer {
    file: Temporary,
    hasher: Hasher,
    /// Whether nothing was written where the last bytes are.
    ends_in_hole: bool,
}

/// A thread that writes and hashes.
#[derive(Debug)]
struct Worker {
    full: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    /// Buffers that the thread has.
    lent: usize,
    thread: JoinHandle<io::Result<Box<Writer>>>,
}

impl Store {
    /// Takes in a stream of at most `most` bytes.
    ///
    /// It never fails while bytes come: what goes wrong (a full disk, too many bytes) is told by
    /// [`Spool::finish`], and until then the bytes pass through. Memory stays below a few buffers.
    pub fn spool(&self, most: u64) -> Spool {
        Spool { folder: self.folder.clone(), most, length: 0, batch: Vec::new(), target: Target::Memory }
    }

    /// A spool that writes to a temporary file which is there already.
    pub(super) fn spool_to(&self, file: Temporary, most: u64) -> Spool {
        let target = Target::File(Box::new(Writer { file, hasher: Hasher::new(), ends_in_hole: false }));
        let mut spool = self.spool(most);
        spool.target = target;
        spool
    }
}

impl Sink for Spool {
    fn accept(&mut self, mut chunk: Vec<u8>) -> Vec<u8> {
        if matches!(self.target, Target::Failed(_)) {
            chunk.clear();
            return chunk;
        }
        self.length += chunk.len() as u64;
        if self.length > self.most {
            self.fail(Reason::TooLarge(self.most));
            chunk.clear();
            return chunk;
        }
        if self.batch.is_empty() && chunk.len() >= BATCH {
            return self.hand_over(chunk);
        }
        // Small chunks are cheaper to copy together than to write or to send one by one.
        self.batch.extend_from_slice(&chunk);
        chunk.clear();
        if self.batch.len() >= BATCH {
            let batch = mem::take(&mut self.batch);
            self.batch = self.hand_over(batch);
        }
        chunk
    }
}

impl Spool {
    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// What went wrong since the beginning: [`Reason::TooLarge`] or [`Reason::StoreUnusable`].
    pub fn finish(mut self) -> Result<Pending, Reason> {
        let batch = mem::take(&mut self.batch);
        if matches!(self.target, Target::Memory) {
            return Ok(Pending {
                digest: Digest::of(&batch),
                length: self.length,
                held: Held::Memory(batch),
                folder: self.folder.clone(),
            });
        }
        if !batch.is_empty() {
            self.hand_over(batch);
        }
        match self.end() {
            Target::File(mut writer) => Ok(Pending {
                length: writer.complete(self.length).map(|()| self.length).map_err(not_kept)?,
                digest: writer.hasher.finalize().into(),
                held: Held::File(writer.file),
                folder: self.folder.clone(),
            }),
            Target::Failed(reason) => Err(reason),
            Target::Memory | Target::Thread(_) => Err(Reason::Internal),
        }
    }

    /// Passes a full buffer on to be written, and gives an empty one of at least its capacity.
    fn hand_over(&mut self, mut full: Vec<u8>) -> Vec<u8> {
        if matches!(self.target, Target::Memory) {
            match self.folder.temporary() {
                Ok(file) => {
                    self.target = Target::File(Box::new(Writer { file, hasher: Hasher::new(), ends_in_hole: false }))
                }
                Err(error) => self.fail(not_kept(error)),
            }
        }
        if self.length >= LARGE {
            self.start_thread();
        }
        match &mut self.target {
            Target::Thread(worker) => match worker.exchange(full) {
                Ok(empty) => return empty,
                Err(reason) => {
                    self.fail(reason);
                    return Vec::with_capacity(BATCH);
                }
            },
            Target::File(writer) => {
                if let Err(error) = writer.write(&full) {
                    self.fail(not_kept(error));
                }
            }
            Target::Memory | Target::Failed(_) => {}
        }
        full.clear();
        full
    }

    /// Gives the file to a thread; where none can be had, this one goes on.
    fn start_thread(&mut self) {
        let writer = match mem::replace(&mut self.target, Target::Memory) {
            Target::File(writer) => writer,
            other => {
                self.target = other;
                return;
            }
        };
        // The writer waits in a channel, so that it is not lost with a thread that does not start.
        let (give, take) = channel::<Box<Writer>>();
        let (full, full_here) = channel();
        let (empty_here, empty) = channel();
        let started = thread::Builder::new().spawn(move || {
            let writer = take.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            drain(writer, &full_here, &empty_here)
        });
        self.target = match started {
            Err(_) => Target::File(writer),
            Ok(thread) => match give.send(writer) {
                Ok(()) => Target::Thread(Worker { full, empty, lent: 0, thread }),
                Err(unsent) => Target::File(unsent.0),
            },
        };
    }

    /// Forgets all bytes, and remembers why.
    fn fail(&mut self, reason: Reason) {
        self.batch = Vec::new();
        self.end();
        self.target = Target::Failed(reason);
    }

    /// Waits for the thread, if there is one; gives the target and leaves none.
    fn end(&mut self) -> Target {
        match mem::replace(&mut self.target, Target::Memory) {
            Target::Thread(worker) => match worker.finish() {
                Ok(writer) => Target::File(writer),
                Err(reason) => Target::Failed(reason),
            },
            other => other,
        }
    }
}

impl Drop for Spool {
    /// The temporary file must be gone before the process is.
    fn drop(&mut self) {
        self.end();
    }
}

impl Writer {
    /// Where nothing but zeros is in as much as a batch a hole is left, so that a sparse file needs no room; see
    /// [`complete`](Writer::complete).
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_hole = bytes.len() >= BATCH && bytes.iter().all(|byte| *byte == 0);
        match is_hole {
            true => drop(self.file.as_file_mut().seek(SeekFrom::Current(bytes.len() as i64))?),
            false => self.file.as_file_mut().write_all(bytes)?,
        }
        self.ends_in_hole = is_hole;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Makes the file as long as what was written.
    fn complete(&mut self, length: u64) -> io::Result<()> {
        if self.ends_in_hole { self.file.as_file().set_len(length) } else { Ok(()) }
    }
}

impl Worker {
    fn exchange(&mut self, full: Vec<u8>) -> Result<Vec<u8>, Reason> {
        let capacity = full.capacity();
        self.full.send(full).map_err(|_| Reason::Internal)?;
        self.lent += 1;
        let mut empty = match self.empty.try_recv() {
            Ok(empty) => self.returned(empty),
            Err(_) if self.lent < BUFFERS => Vec::new(),
            Err(_) => {
                let empty = self.empty.recv().map_err(|_| Reason::Internal)?;
                self.returned(empty)
            }
        };
        empty.reserve_exact(capacity);
        Ok(empty)
    }

    fn returned(&mut self, empty: Vec<u8>) -> Vec<u8> {
        self.lent -= 1;
        empty
    }

    fn finish(self) -> Result<Box<Writer>, Reason> {
        drop(self.full);
        match self.thread.join() {
            Ok(written) => written.map_err(not_kept),
            Err(_) => Err(Reason::Internal),
        }
    }
}

/// What the thread does. After an error it goes on taking buffers, so that the pump does not wait.
fn drain(mut writer: Box<Writer>, full: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>) -> io::Result<Box<Writer>> {
    let mut outcome = Ok(());
    for mut buffer in full {
        if outcome.is_ok() {
            outcome = writer.write(&buffer);
        }
        buffer.clear();
        // Nobody takes buffers back once the stream has ended.
        let _ = empty.send(buffer);
    }
    outcome.map(|()| writer)
}

fn not_kept(error: io::Error) -> Reason {
    unusable("cannot keep output", error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::store::testing::World;

    fn temporaries(world: &World) -> usize {
        std::fs::read_dir(world.store.folder().join("tmp")).map_or(0, |entries| entries.count())
    }

    /// Feeds `bytes` in chunks of `size`, one buffer going round as a pump does it.
    fn feed(spool: &mut Spool, bytes: &[u8], size: usize) {
        let mut buffer = Vec::with_capacity(size);
        for chunk in bytes.chunks(size) {
            assert!(buffer.is_empty() && buffer.capacity() >= size);
            buffer.extend_from_slice(chunk);
            buffer = spool.accept(buffer);
        }
    }

    #[test]
    fn any_size_in_any_chunks_comes_back() {
        let world = World::new();
        let bytes: Vec<u8> = (0..3_500_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for length in [0, 1, BATCH - 1, BATCH, BATCH + 1, LARGE as usize - 1, LARGE as usize + 1, bytes.len()] {
            for size in [997, BATCH, BATCH * 3 + 1, 1 << 20] {
                let mut spool = world.store.spool(u64::MAX);
                feed(&mut spool, &bytes[..length], size);
                let pending = spool.finish().unwrap();
                assert_eq!((pending.digest(), pending.length()), (Digest::of(&bytes[..length]), length as u64));
                let mut read = Vec::new();
                pending.open().unwrap().read_to_end(&mut read).unwrap();
                assert!(read == bytes[..length]);
            }
        }
        assert_eq!(temporaries(&world), 0);
    }

    #[test]
    fn a_short_stream_touches_no_file() {
        let world = World::new();
        let mut spool = world.store.spool(u64::MAX);
        feed(&mut spool, &vec![1; BATCH - 1], 4096);
        spool.finish().unwrap();
        assert!(!world.store.folder().join("tmp").join("x").exists());
        assert_eq!(temporaries(&world), 0);
    }

    #[test]
    fn too_many_bytes_are_told_at_the_end_and_leave_nothing() {
        let world = World::new();
        for most in [0, 10, BATCH as u64, LARGE, 3 * LARGE] {
            let mut spool = world.store.spool(most);
            feed(&mut spool, &vec![1; most as usize + 1], 50_000);
            feed(&mut spool, &vec![1; 100_000], 50_000);
            assert_eq!(spool.finish().unwrap_err(), Reason::TooLarge(most));
            assert_eq!(temporaries(&world), 0);

            let mut spool = world.store.spool(most);
            feed(&mut spool, &vec![1; most as usize], 50_000);
            assert_eq!(spool.finish().unwrap().length(), most);
        }
    }

    #[test]
    fn a_store_that_cannot_be_written_lets_the_bytes_pass() {
        let world = World::new();
        std::fs::remove_dir_all(world.store.folder()).unwrap();
        let mut spool = world.store.spool(u64::MAX);
        feed(&mut spool, &vec![1; 3 << 20], 1 << 20);
        assert!(matches!(spool.finish(), Err(Reason::StoreUnusable(_))));
    }

    #[test]
    fn a_dropped_spool_leaves_nothing() {
        let world = World::new();
        let mut spool = world.store.spool(u64::MAX);
        feed(&mut spool, &vec![1; 3 << 20], 1 << 20);
        assert_eq!(temporaries(&world), 1);
        drop(spool);
        assert_eq!(temporaries(&world), 0);
    }

    #[test]
    fn a_write_that_fails_later_is_told_at_the_end() {
        let world = World::new();
        let file = world.store.folder.temporary().unwrap();
        let (_, path) = file.into_parts();
        // A descriptor that cannot be written stands for a disk that fills up.
        let unwritable = Temporary::from_parts(std::fs::File::open("/dev/null").unwrap(), path);
        let mut spool = world.store.spool_to(unwritable, u64::MAX);
        spool.length = LARGE;
        feed(&mut spool, &vec![1; 8 << 20], 1 << 20);
        assert!(matches!(spool.finish(), Err(Reason::StoreUnusable(_))));
        assert_eq!(temporaries(&world), 0);
    }

    #[test]
    fn only_what_is_large_has_a_thread() {
        let world = World::new();
        let mut spool = world.store.spool(u64::MAX);
        feed(&mut spool, &vec![1; LARGE as usize - BATCH], BATCH);
        assert!(matches!(spool.target, Target::File(_)));
        feed(&mut spool, &[1; BATCH], BATCH);
        assert!(matches!(spool.target, Target::Thread(_)));
    }

    #[test]
    fn no_more_buffers_go_round_than_there_are() {
        let (full, _taken) = channel();
        let (give_back, empty) = channel();
        let thread = thread::spawn(|| Err(io::ErrorKind::Other.into()));
        let mut worker = Worker { full, empty, lent: 0, thread };
        // What was written before comes back, and nothing after it: then the third one would be waited for in vain.
        give_back.send(Vec::with_capacity(1 << 20)).unwrap();
        drop(give_back);
        assert!(worker.exchange(vec![1]).unwrap().capacity() >= 1 << 20);
        assert!((1..BUFFERS).all(|_| worker.exchange(vec![1]).is_ok()));
        assert!(worker.exchange(vec![1]).is_err());
    }
}
