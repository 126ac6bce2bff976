//! The lock that keeps recordings out while files are removed.

use std::fs::File;
use std::time::Duration;

use crate::error::Error;
use crate::store::Store;
use crate::store::recording::GC_BYTE;
use crate::sys::{clock, lock};

/// How long recordings are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// The lock file, opened anew: the one that recordings of this store share is one owner to the kernel, and would be let in.
#[derive(Debug)]
pub(super) struct LockFile(File);

/// While it is held, nobody stores a call.
#[derive(Debug)]
pub(super) struct Exclusive<'file>(&'file File);

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        // Where it cannot be released it ends with the open file.
        let _ = lock::release(self.0, GC_BYTE);
    }
}

impl LockFile {
    pub fn open(store: &Store) -> Result<LockFile, Error> {
        let opened = store.folder.open_or_create("lock");
        opened.map(LockFile).map_err(|why| Error::failure("cannot open the lock file of the cache").because(why))
    }

    /// Waits until nobody is storing a call.
    pub fn exclusive(&self) -> Result<Exclusive<'_>, Error> {
        let mut waited = Duration::ZERO;
        loop {
            match lock::try_exclusive(&self.0, GC_BYTE) {
                Ok(true) => return Ok(Exclusive(&self.0)),
                Ok(false) if waited < PATIENCE => {
                    clock::pause(PAUSE);
                    waited += PAUSE;
                }
                Ok(false) => {
                    return Err(Error::failure(format!(
                        "others used the cache for all of {} seconds",
                        PATIENCE.as_secs()
                    )));
                }
                Err(why) => return Err(Error::failure("cannot lock the cache").because(why)),
            }
        }
    }
}
