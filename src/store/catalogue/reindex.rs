//! Building the catalogue anew from the files, beside the one that is there.
//!
//! The new one takes the place of the old one as one transaction of the old one's file (SQLite's backup interface), so
//! that whoever has it open reads the one or the other, and so does who comes after a crash at any point. Renaming the
//! file over the old one would be simpler and wrong: the side files of SQLite are found by name, and those of the old
//! catalogue would be played into the new one (<https://sqlite.org/howtocorrupt.html>, section 2.4).

use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::fold::{Books, fold};
use super::{Progress, Store, Trouble, failed, is_of_the_moment, laid_out, put_aside};
use crate::error::Error;
use crate::store::Access;
use crate::sys::clock;

/// How often the old catalogue is asked for, and how long it is left alone in between: ten seconds in all.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Builds the catalogue anew from the files and puts it in the place of the one that is there.
    ///
    /// # Errors
    ///
    /// Where the store is read-only, the disk is full, a newer fleche made the catalogue, or others write it for ten
    /// seconds on end. The old catalogue is then as it was.
    pub fn reindex(&self, progress: Progress) -> Result<(), Error> {
        if self.access == Access::ReadOnly {
            return Err(Error::failure("cannot build the catalogue anew: the cache is read-only"));
        }
        let place =
            self.folder.temporary().map_err(|why| Error::failure("cannot build the catalogue anew").because(why))?;
        let built = (|| {
            // Refused before the work, if it is a newer one.
            drop(self.old()?);
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(place.path(), flags)?;
            // Nobody needs it after a crash.
            let mut new = laid_out(connection, "DELETE", "OFF")?;
            fold(&mut new, self, Books::Copied, progress)?;
            let mut old = self.old()?;
            Ok(replace(&mut old, &new)?)
        })();
        match built.map_err(|trouble| self.unopened(trouble))? {
            StepResult::Done => Ok(()),
            _ => Err(Error::failure("cannot replace the catalogue: others write it all the time")),
        }
    }

    /// The catalogue that is there, or an empty one in the place of a damaged one.
    fn old(&self) -> Result<Connection, Trouble> {
        match self.live() {
            Err(Trouble::Sql(error)) if !is_of_the_moment(&error) => {
                put_aside(&self.folder);
                self.live()
            }
            other => other,
        }
    }
}

/// Copies all pages in one transaction.
fn replace(old: &mut Connection, new: &Connection) -> rusqlite::Result<StepResult> {
    let backup = Backup::new(new, old)?;
    for _ in 0..ATTEMPTS {
        match backup.step(-1)? {
            StepResult::Busy | StepResult::Locked => clock::pause(PAUSE),
            other => return Ok(other),
        }
    }
    Ok(StepResult::Busy)
}
