//! Values, proved whole before anybody sees a byte of them.

use std::fs::File;
use std::io;

use super::folder::{Opened, read_at, value_name};
use super::{Store, unusable};
use crate::model::{Content, Digest, Reason};
use crate::sys::hash;

/// Values of at most so many bytes are read once: what proves them is what is used.
const SMALL: u64 = 64 << 10;

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
        let behind = || self.behind.iter().find_map(|member| member.own_value(content).ok());
        self.own_value(content).or_else(|reason| behind().ok_or(reason))
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
        // A device that fails once may not fail twice, and a value that is moved away is gone for all calls that name it.
        let read = || whole(&file, content);
        match read().or_else(|_| read()) {
            Ok(Some(Whole::Bytes(bytes))) => Ok(Value::Bytes(bytes)),
            Ok(Some(Whole::File)) => Ok(Value::File { file, length: content.length }),
            Ok(None) => damaged("its digest is wrong"),
            Err(error) => damaged(&format!("it cannot be read: {error}")),
        }
    }
}

/// Bytes that are what their name says.
enum Whole {
    /// Few of them.
    Bytes(Vec<u8>),
    /// Many, in their file.
    File,
}

/// What is in the file of a value, if it is that value.
fn whole(file: &File, content: &Content) -> io::Result<Option<Whole>> {
    if content.length <= SMALL {
        let mut bytes = vec![0; content.length as usize];
        let read = read_at(file, &mut bytes, 0)?;
        let is_whole = read == bytes.len() && Digest::of(&bytes) == content.digest;
        return Ok(is_whole.then_some(Whole::Bytes(bytes)));
    }
    let digest = hash::of_length(file, content.length)?;
    Ok((digest == Some(content.digest)).then_some(Whole::File))
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

        let bytes = vec![8; SMALL as usize];
        let content = world.keep(&bytes);
        assert!(content.inline.is_none());
        assert!(matches!(world.store.value(&content), Ok(Value::Bytes(read)) if read == bytes));

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
        type Harm = fn(&fs::File, u64);
        let harms: [Harm; 3] = [
            |file, length| file.write_all_at(&[8], length / 2).unwrap(),
            |file, length| file.set_len(length - 1).unwrap(),
            |file, length| file.set_len(length + 1).unwrap(),
        ];
        for (length, harm) in [100_000, SMALL].into_iter().flat_map(|length| harms.map(|harm| (length, harm))) {
            let bytes = vec![7; length as usize];
            let content = world.keep(&bytes);
            assert!(content.inline.is_none());
            harm(&fs::OpenOptions::new().write(true).open(world.value_file(&content)).unwrap(), length);
            assert!(matches!(world.store.value(&content), Err(Reason::Damaged(_))));
            assert!(!world.value_file(&content).exists());
            assert!(matches!(world.store.value(&content), Err(Reason::Damaged(_))));
            let content = world.keep(&bytes);
            assert!(world.store.value(&content).is_ok());
        }
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
