//! The time in which nobody stores anything: whoever moves, removes or rewrites what calls need waits for it.
//!
//! One byte of the lock file, shared by those who store and exclusive for who holds an [`Alone`]. The lock file is opened
//! anew for it: the one that the recordings of this store share is one owner to the kernel, and would be let in.

use std::fs::File;
use std::io;
use std::sync::MutexGuard;
use std::time::Duration;

use super::{Store, held};
use crate::error::Error;
use crate::sys::{clock, lock};

/// The byte of the lock file that is shared by those who store.
pub(super) const GC_BYTE: u64 = 0;
/// How long those who store are waited for: there may be many, and they come one after the other.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// While it is held, nobody stores a call, nor does anybody else hold one: not in this process either.
#[derive(Debug)]
pub(super) struct Alone<'store>(MutexGuard<'store, Option<File>>);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if let Some(file) = &*self.0 {
            // Where it cannot be released it ends with the open file.
            let _ = lock::release(file, GC_BYTE);
        }
    }
}

impl Store {
    /// Waits until nobody is storing a call; `None` where locks are impossible, so that nobody else has one either.
    ///
    /// # Errors
    ///
    /// Where the lock file cannot be opened, or others store for a minute on end.
    pub(super) fn alone(&self) -> Result<Option<Alone<'_>>, Error> {
        self.alone_within(PATIENCE)
    }

    pub(super) fn alone_within(&self, patience: Duration) -> Result<Option<Alone<'_>>, Error> {
        let mut file = held(&self.guard);
        if file.is_none() {
            // Kept for the life of the store: closing it would end the announcements of this process (see `lock_file`).
            let opened = self.folder.open_or_create("lock");
            *file = Some(opened.map_err(|why| Error::failure("cannot open the lock file of the cache").because(why))?);
        }
        let ask = || file.as_ref().map_or(Ok(false), |file| lock::try_exclusive(file, GC_BYTE));
        match granted_within(patience, PAUSE, ask) {
            Ok(true) => Ok(Some(Alone(file))),
            Ok(false) => {
                let seconds = patience.as_secs();
                Err(Error::failure(format!("others used the cache for all of {seconds} seconds")))
            }
            Err(_) => Ok(None),
        }
    }
}

/// Asks for a lock until it is granted, at most for `patience`; says whether it was.
pub(super) fn granted_within(
    patience: Duration,
    pause: Duration,
    ask: impl Fn() -> io::Result<bool>,
) -> io::Result<bool> {
    let mut waited = Duration::ZERO;
    while !ask()? {
        if waited >= patience {
            return Ok(false);
        }
        clock::pause(pause);
        waited += pause;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::World;

    #[test]
    fn nobody_is_alone_while_anybody_stores_not_even_who_stores() {
        let world = World::new();
        let other = Store::open(world.store.folder()).unwrap();
        let at_once = |store: &Store| store.alone_within(Duration::ZERO).map(|alone| alone.is_some()).ok();
        let recording = world.store.recording().unwrap();
        assert_eq!((at_once(&world.store), at_once(&other)), (None, None));
        drop(recording);
        assert_eq!((at_once(&world.store), at_once(&other)), (Some(true), Some(true)));
        let alone = other.alone().unwrap();
        assert_eq!(at_once(&world.store), None);
        let error = world.store.alone_within(Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "others used the cache for all of 0 seconds");
        drop(alone);
        // The recording's lock is still its own: who was alone did not give it back.
        let _recording = world.store.recording().unwrap();
        assert_eq!((at_once(&world.store), at_once(&other)), (None, None));
    }
}
