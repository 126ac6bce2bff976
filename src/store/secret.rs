//! The random key under which environment values are hidden: never exported, never uploaded.

use std::fs::File;
use std::io::{self, Read, Write};

use super::folder::Found;
use super::{Access, Store, unusable};
use crate::model::{Digest, Reason};

const NAME: &str = "secret";
const LENGTH: usize = 32;

impl Store {
    /// The store's random key, made on first use; the same for all who open the store.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`] where there is none yet and none may be made; [`Reason::StoreUnusable`]
    /// where it cannot be read or made.
    pub fn secret(&self) -> Result<[u8; LENGTH], Reason> {
        if let Some(secret) = self.read_secret()? {
            return Ok(secret);
        }
        if self.access != Access::ReadWrite {
            return Err(Reason::ReadOnly);
        }
        self.make_secret().map_err(|error| unusable("cannot make the cache's secret", error))?;
        // Not what was just made: somebody else may have been faster.
        self.read_secret()?.ok_or_else(|| Reason::StoreUnusable("the cache's secret vanishes".into()))
    }

    /// What the store's random key is called where it is not known: calls that were taken over name it.
    ///
    /// # Errors
    ///
    /// As [`Store::secret`].
    pub fn secret_name(&self) -> Result<Digest, Reason> {
        Ok(Digest(blake3::derive_key("fleche 2026-11 name of a cache's secret", &self.secret()?)))
    }

    fn read_secret(&self) -> Result<Option<[u8; LENGTH]>, Reason> {
        match self.folder.read(NAME, LENGTH as u64) {
            Ok(Found::Absent) => Ok(None),
            Ok(Found::Bytes(bytes, _)) if bytes.len() == LENGTH => Ok(bytes.try_into().ok()),
            // A lost secret costs explanations ("everything changed"), never a wrong replay.
            Ok(_) => {
                self.damaged(NAME, String::new());
                Ok(None)
            }
            Err(error) => Err(unusable("cannot read the cache's secret", error)),
        }
    }

    fn make_secret(&self) -> io::Result<()> {
        let mut secret = [0; LENGTH];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        let mut file = self.folder.temporary()?;
        file.as_file_mut().write_all(&secret)?;
        file.as_file().sync_all()?;
        self.folder.put_new(file, NAME).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::testing::World;

    #[test]
    fn all_who_open_the_store_have_one_secret() {
        let world = World::new();
        let folder = world.store.folder();
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Store::open(folder).unwrap().secret())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0] && *secret != [0; 32]));
        let mode = std::fs::metadata(folder.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(World::new().store.secret(), Ok(secrets[0]));
    }

    #[test]
    fn a_damaged_secret_is_replaced_and_a_missing_one_not_made_read_only() {
        let world = World::new();
        let read_only = Store::open_read_only(world.store.folder()).unwrap();
        assert_eq!(read_only.secret(), Err(Reason::ReadOnly));
        let first = world.store.secret().unwrap();
        assert_eq!(read_only.secret(), Ok(first));
        std::fs::write(world.store.folder().join(NAME), "short").unwrap();
        assert!(world.store.secret().is_ok_and(|second| second != first));
    }
}
