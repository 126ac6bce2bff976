//! The cache folder: calls, values and what is remembered of them, safe against crashes and against each other.
//!
//! The files are the cache and SQLite is its catalogue: a run needs one exact look-up, for which a folder of small
//! files is the fastest and sturdiest table; only questions open the database.
//!
//! What holds, and where it is kept:
//!
//! 1. A call exists when its file in `calls/` exists; it is renamed into place last ([`Recording::store`]).
//! 2. Whatever is read is verified by its digest before it is used (`frame`, [`Store::value`]). What fails is
//!    moved to `quarantine/` and is a miss.
//! 3. Everything is reached from one open folder that belongs to the user alone (`folder`).
//! 4. A read-only store writes nothing at all, not even what would mend it.
//! 5. What is asked of a store that stands in front of others is asked of all of them; written is the first one (`stack`).
//! 6. What a call needs is not removed (`gc`), and a catalogue can be made again from the files, of which the journal and the
//!    ledger that it leaves behind tell what no call's file does (`catalogue`).

mod alone;
mod arguments;
mod breaker;
mod calls;
mod catalogue;
mod claims;
mod copying;
mod export;
mod flight;
mod folder;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gc;
mod holder;
mod ingest;
mod inventories;
mod journal;
mod misplaced;
#[cfg(test)]
mod model_tests;
mod opening;
mod outbox;
mod pending;
mod private;
mod recording;
mod remote;
mod renaming;
mod repair;
mod resolve;
mod secret;
mod session;
mod spool;
mod stack;
mod stamps;
mod tagging;
#[cfg(test)]
pub(crate) mod testing;
mod value;
mod verify;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use arguments::ArgumentCopy;
pub use breaker::{Breaker, Open, Road};
pub use catalogue::{
    BUILT_IN, BuiltIn, Catalogue, Column, Condition, Counted, PathQuestion, Peek, Period, Refusal, Selection, Totals,
};
pub use claims::{Claim, Turn};
pub use copying::{Copied, Existing};
pub use export::{Exporter, Importer, Parcel, Verdict};
pub use flight::{Flight, FlightLock};
pub use gc::{Cause, Freed, Limits, Plan, Removal, Thing};
pub use opening::Purpose;
pub use outbox::{Sender, Waiting};
pub use pending::Pending;
pub use private::PrivateFolder;
pub use recording::{Durability, Recording};
pub use remote::{Clearance, Failure, Keeping, Patience, PublicKey, SigningKey, There, Tier, Traffic, setup};
pub use resolve::Named;
pub use spool::Spool;
pub use value::Value;
pub use verify::{Fault, Subject, Trouble};

use crate::error::Error;
use crate::model::{CacheLimits, Event, Key, Reason, Remote};
use crate::sys::{clock, temporary};
use folder::Folder;
use opening::Terms;

/// Largest value in bytes that a call's own file holds.
pub const INLINE_LIMIT: u64 = 16 << 10;
/// Most bytes of values that one call's own file holds.
pub const INLINE_TOTAL: u64 = 64 << 10;

/// Shown how much of a long work is done: so many of so many.
pub type Progress<'a> = &'a dyn Fn(u64, u64);

/// Whether a store may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    ReadWrite,
    /// Nothing but the catalogue, which questions keep for questions.
    CatalogueOnly,
    ReadOnly,
}

/// An opened cache folder.
#[derive(Debug)]
pub struct Store {
    folder: Arc<Folder>,
    access: Access,
    /// Who may use its folder.
    terms: Terms,
    /// The one open `lock` file of this store, see [`Store::lock_file`].
    lock: Mutex<Option<Arc<File>>>,
    /// The `lock` file once more, for who must be alone.
    guard: Mutex<Option<File>>,
    /// The shared gc lock, while a recording holds it.
    recording: Mutex<Weak<recording::GcShared>>,
    /// The call read last and its file's modification time, so that [`Store::touch`] need not ask again.
    seen: Mutex<Option<(Key, i64)>>,
    /// The stores that are asked after this one, see [`stack`].
    behind: Vec<Store>,
    /// Those beyond this machine, which are asked where none of these has an answer, see [`remote`].
    remotes: Vec<Remote>,
    /// Where it is noted what a job uses, if that is wanted.
    session: Option<String>,
    /// What it is kept within, by those who store in it.
    limits: CacheLimits,
    /// Whether it is on this process to see to that.
    is_due: AtomicBool,
    /// Whether it has waited for others who write the catalogue for as long as it waits, in vain.
    has_waited: AtomicBool,
}

impl Store {
    fn new(folder: Folder, access: Access) -> Store {
        Store {
            folder: Arc::new(folder),
            access,
            terms: Terms::PRIVATE,
            lock: Mutex::default(),
            guard: Mutex::default(),
            recording: Mutex::default(),
            seen: Mutex::default(),
            behind: Vec::new(),
            remotes: Vec::new(),
            session: None,
            limits: CacheLimits::default(),
            is_due: AtomicBool::new(false),
            has_waited: AtomicBool::new(false),
        }
    }

    /// Where it is, absolute.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Appends a line to the journal. What happens to the cache is not worth failing for: where that
    /// is impossible, nothing is written and nothing is said.
    pub fn note(&self, event: &Event) {
        if self.access == Access::ReadWrite {
            let _ = journal::append(&self.folder, clock::now(), event);
        }
        if let Event::Stored { key, .. } | Event::Copied { key, .. } = event {
            self.note_touched(key);
        }
    }

    /// Tells the journal that a call's file is about to be written; it is told again once that is done.
    ///
    /// Whoever dies in between has put a file where a catalogue lists another one, or one that was removed since, and no look at
    /// the names of files would find that out. So the next question reads this call's file, whatever became of it.
    fn announce(&self, key: &Key) {
        self.note(&Event::Tagged { key: *key });
    }

    /// A new file without a name, to keep bytes in for the life of this process: in the cache folder, or where temporary
    /// files belong if nothing may be written there.
    ///
    /// # Errors
    ///
    /// Where no file can be made.
    pub fn temporary(&self) -> io::Result<File> {
        if self.access == Access::ReadOnly {
            return tempfile::tempfile_in(temporary::folder());
        }
        let (file, path) = self.folder.temporary()?.into_parts();
        path.close()?;
        Ok(file)
    }

    /// The lock file, opened once for the life of the store.
    ///
    /// Once, because a process loses all its announcements on a file when it closes any descriptor of it.
    fn lock_file(&self) -> io::Result<Arc<File>> {
        let mut lock = held(&self.lock);
        if let Some(file) = &*lock {
            return Ok(file.clone());
        }
        let file = Arc::new(self.folder.open_or_create("lock")?);
        *lock = Some(file.clone());
        Ok(file)
    }
}

/// The content of a mutex; what a panicking thread left there is as good as any.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store cannot be used, because of what the system said.
fn unusable(what: impl Into<String>, why: io::Error) -> Reason {
    Reason::StoreUnusable(Error::failure(what).because(why).to_string())
}
