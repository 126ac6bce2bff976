//! What a run that is nested in a watched one tells of a command that it did not execute.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Facet, Malformed, Reader, Room, Writer};

/// What a command would have looked at, and what is about to be put where it would have left it. Paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Where it would have looked, and what for.
    pub seen: Vec<(PathBuf, Facet)>,
    /// What it would have left; folders before what is in them.
    pub left: Vec<(PathBuf, Trail)>,
    /// Whether it was allowed to use the network.
    pub uses_network: bool,
}

/// What is left at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trail {
    /// A file or a link, in the place of what is there.
    File {
        /// Whether its modification time is not that of its making.
        is_dated: bool,
    },
    /// A folder, if none is there.
    Folder {
        /// Whether it is given a modification time.
        is_dated: bool,
    },
    /// Nothing.
    Nothing,
}

impl Account {
    /// The account as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.number(u64::from(self.uses_network)).number(self.seen.len() as u64);
        for (path, facet) in &self.seen {
            writer.bytes(path.as_os_str().as_bytes());
            facet.encode(&mut writer);
            // What decodes a facet of declared inputs leaves what follows alone: the state, which is not told.
            writer.number(0);
        }
        for (path, trail) in &self.left {
            writer.bytes(path.as_os_str().as_bytes()).number(match trail {
                Trail::File { is_dated: false } => 0,
                Trail::File { is_dated: true } => 1,
                Trail::Folder { is_dated: false } => 2,
                Trail::Folder { is_dated: true } => 4,
                Trail::Nothing => 3,
            });
        }
        writer.into_bytes()
    }

    /// Reads what [`encode`](Account::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Account, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut room = Room::of(Room::OWN);
        let mut account = Account { uses_network: reader.number()? == 1, ..Account::default() };
        for _ in 0..reader.number()? {
            let path = path(&mut reader)?;
            let facet = Facet::decode(&mut reader, &mut room)?;
            room.take::<(PathBuf, Facet)>(path.as_os_str().len())?;
            if reader.number()? != 0 {
                return Err(Malformed("account"));
            }
            account.seen.push((path, facet));
        }
        while !reader.is_empty() {
            let path = path(&mut reader)?;
            room.take::<(PathBuf, Trail)>(path.as_os_str().len())?;
            account.left.push((
                path,
                match reader.number()? {
                    0 => Trail::File { is_dated: false },
                    1 => Trail::File { is_dated: true },
                    2 => Trail::Folder { is_dated: false },
                    4 => Trail::Folder { is_dated: true },
                    3 => Trail::Nothing,
                    _ => return Err(Malformed("trail")),
                },
            ));
        }
        Ok(account)
    }
}

fn path(reader: &mut Reader) -> Result<PathBuf, Malformed> {
    Ok(OsString::from_vec(reader.bytes()?.to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_come_through_whole() {
        let facets = [
            Facet::Whole,
            Facet::Kind,
            Facet::Content,
            Facet::Metadata,
            Facet::Replaced,
            Facet::Listing { without: vec!["a".into(), "b".into()] },
            Facet::Attributes,
            Facet::Machine,
        ];
        let trails = [
            Trail::File { is_dated: false },
            Trail::File { is_dated: true },
            Trail::Folder { is_dated: false },
            Trail::Folder { is_dated: true },
            Trail::Nothing,
        ];
        let account = Account {
            seen: facets.into_iter().map(|facet| ("/some/path".into(), facet)).collect(),
            left: trails.into_iter().map(|trail| ("/other".into(), trail)).collect(),
            uses_network: true,
        };
        let bytes = account.encode();
        assert_eq!(Account::decode(&bytes), Ok(account));
        assert!(Account::decode(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(Account::decode(&Account::default().encode()), Ok(Account::default()));
    }
}
