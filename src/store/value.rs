//! Values, proved whole before anybody sees a byte of them.

use std::fs::File;

use super::folder::{Opened, value_name};
use super::{Store, hash, unusable};
use crate::model::{Content, Digest, Reason};

/// The bytes of a value, verified.
#[derive(Debug)]
pub enum Value {
    /// A small one.
    Bytes(Vec<u8>),
    /// A large one.
    File {
        /// Open for reading, at its beginning. It stays readable if the value is removed meanwhile.
        file: File,
        /// Its size in bytes.
        length: u64,
    },
}

impl Store {
    /// The bytes of a value, after its whole digest and its length were checked.
    ///
    /// # Errors
    ///
    /// [`Reason::Damaged`] where it is gone or is not what its name says; it is then in quarantine.
    /// [`Reason::StoreUnusable`] where it cannot be opened.
    pub fn value(&self, content: &Content) -> Result<Value, Reason> {
        let own = self.own_value(content);
        if own.is_ok() || self.behind.is_empty() {
            return own;
        }
        let behind = self.behind.iter().find_map(|member| member.own_value(content).ok());
        behind.map_or(own, Ok)
    }

    /// The same of this very store.
    pub(super) fn own_value(&self, content: &Content) -> Result<Value, Reason> {
        if let Some(bytes) = &content.inline {
            let whole = bytes.len() as u64 == content.length && Digest::of(bytes) == content.digest;
            return if whole { Ok(Value::Bytes(bytes.clone())) } else { Err(wrong(content, "its digest is wrong")) };
        }
        let name = value_name(&content.digest);
        let damaged = |why: &str| {
            self.damaged(&name, String::new());
            Err(wrong(content, why))
        };
        let (file, stat) = match self.folder.open(&name) {
            Ok(Opened::Absent) => return Err(wrong(content, "it is gone")),
            Ok(Opened::Wrong(why)) => return damaged(&why),
            Ok(Opened::File(file, stat)) => (file, stat),
            Err(error) => return Err(unusable(format!("cannot open value {}", content.digest.short()), error)),
        };
        if stat.st_size as u64 != content.length {
            return damaged("its length is wrong");
        }
        match hash::digest(&file, content.length) {
            Ok(Some(digest)) if digest == content.digest => Ok(Value::File { file, length: content.length }),
            Ok(_) => damaged("its digest is wrong"),
            Err(error) => damaged(&format!("it cannot be read: {error}")),
        }
    }
}

fn wrong(content: &Content, why: &str) -> Reason {
    Reason::Damaged(format!("value {}: {why}", content.digest.short()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::store::testing::World;

    #[test]
    fn a_value_comes_back_whole_inline_or_not() {
        let world = World::new();
        let small = Content::inline(b"small".to_vec());
        assert!(matches!(world.store.value(&small), Ok(Value::Bytes(bytes)) if bytes == b"small"));

        let bytes = vec![7; 100_000];
        let large = world.keep(&bytes);
        assert_eq!(large.inline, None);
        let Ok(Value::File { mut file, length }) = world.store.value(&large) else { panic!() };
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!((read, length), (bytes, 100_000));
    }

    #[test]
    fn a_wrong_inline_value_is_damaged() {
        let world = World::new();
        let mut content = Content::inline(b"small".to_vec());
        content.inline = Some(b"smell".to_vec());
        assert!(matches!(world.store.value(&content), Err(Reason::Damaged(_))));
    }

    #[test]
    fn a_flipped_cut_or_missing_value_is_damaged_and_makes_room_for_a_whole_one() {
        let world = World::new();
        let bytes = vec![7; 100_000];
        type Harm = fn(&fs::File);
        let harms: [Harm; 3] = [
            |file| file.write_all_at(&[8], 50_000).unwrap(),
            |file| file.set_len(99_999).unwrap(),
            |file| file.set_len(100_001).unwrap(),
        ];
        for harm in harms {
            let content = world.keep(&bytes);
            harm(&fs::OpenOptions::new().write(true).open(world.value_file(&content)).unwrap());
            assert!(matches!(world.store.value(&content), Err(Reason::Damaged(_))));
            assert!(!world.value_file(&content).exists());
            assert!(matches!(world.store.value(&content), Err(Reason::Damaged(_))));
        }
        let content = world.keep(&bytes);
        assert!(world.store.value(&content).is_ok());
    }

    #[test]
    fn wherever_a_value_is_flipped_or_cut_it_is_damaged() {
        let world = World::new();
        // Just too large to be inline.
        let bytes: Vec<u8> = (0..=crate::store::INLINE_LIMIT).map(|number| (number % 251) as u8).collect();
        let content = world.keep(&bytes);
        let file = world.value_file(&content);
        let aside = world.store.folder().join("tmp/aside");
        fs::rename(&file, &aside).unwrap();
        let mut steps = 0;
        for at in (0..bytes.len()).step_by(5) {
            for cut in [false, true] {
                let mut damaged = bytes.clone();
                if cut {
                    damaged.truncate(at)
                } else {
                    damaged[at] ^= 1 << (at % 8)
                }
                fs::write(&file, damaged).unwrap();
                assert!(matches!(world.store.value(&content), Err(Reason::Damaged(_))), "{at} {cut}");
                assert!(!file.exists(), "{at} {cut}");
                steps += 1;
            }
        }
        assert!(steps > 6000);
        fs::rename(&aside, &file).unwrap();
        assert!(world.store.value(&content).is_ok());
    }
}
