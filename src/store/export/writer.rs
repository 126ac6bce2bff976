//! Writing calls into a file that is carried elsewhere.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use super::{MAGIC, Parcel, Part};
use crate::error::Error;
use crate::model::{Content, Digest, Reason};
use crate::store::frame::{self, Kind};
use crate::store::{Store, Value};

/// Bytes that are copied at once.
const CHUNK: usize = 256 << 10;

/// A file that is being written.
pub struct Exporter<W> {
    file: W,
    hasher: blake3::Hasher,
    /// Values that are in the file by now.
    written: HashSet<Digest>,
}

impl<W: Write> Exporter<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn begin(file: W) -> Result<Exporter<W>, Error> {
        let mut exporter = Exporter { file, hasher: blake3::Hasher::new(), written: HashSet::new() };
        exporter.put(MAGIC)?;
        Ok(exporter)
    }

    /// Adds a call with those of its values that the file has not yet. All are verified before the first byte is written.
    ///
    /// # Errors
    ///
    /// In a reason: the store lacks a value, or has a damaged one, and the call is left out. Where the file cannot be
    /// written.
    pub fn add(&mut self, parcel: &Parcel, store: &Store) -> Result<Result<(), Reason>, Error> {
        self.add_all_but(&|_| false, parcel, store)
    }

    /// The same without some of its values, which who reads the file has to have from elsewhere.
    ///
    /// # Errors
    ///
    /// As [`add`](Exporter::add).
    pub(in crate::store) fn add_all_but(
        &mut self,
        is_left_out: &dyn Fn(&Content) -> bool,
        parcel: &Parcel,
        store: &Store,
    ) -> Result<Result<(), Reason>, Error> {
        let mut values: Vec<(Digest, Value)> = Vec::new();
        for content in parcel.call.values().filter(|content| content.inline.is_none() && !is_left_out(content)) {
            if self.written.contains(&content.digest) || values.iter().any(|(digest, _)| *digest == content.digest) {
                continue;
            }
            match store.value(content) {
                Ok(value) => values.push((content.digest, value)),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let framed = frame::seal(Kind::Parcel, &parcel.encode());
        self.head(Part::Call, framed.len() as u64)?;
        self.put(&framed)?;
        for (digest, value) in values {
            match value {
                Value::Bytes(bytes) => {
                    self.head(Part::Value, bytes.len() as u64)?;
                    self.put(&bytes)?;
                }
                Value::File { file, length } => {
                    self.head(Part::Value, length)?;
                    self.pour(file, length)?;
                }
            }
            self.written.insert(digest);
        }
        Ok(Ok(()))
    }

    /// Ends the file; gives what was written to.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn end(mut self) -> Result<W, Error> {
        self.head(Part::End, blake3::OUT_LEN as u64)?;
        let digest = self.hasher.finalize();
        self.file.write_all(digest.as_bytes()).and_then(|()| self.file.flush()).map_err(unwritable)?;
        Ok(self.file)
    }

    fn head(&mut self, part: Part, length: u64) -> Result<(), Error> {
        self.put(&[part as u8])?;
        self.put(&length.to_le_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(unwritable)
    }

    fn pour(&mut self, mut from: impl Read, length: u64) -> Result<(), Error> {
        let mut chunk = vec![0; CHUNK];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let read =
                from.read(&mut chunk[..most]).map_err(|why| Error::failure("cannot read a value").because(why))?;
            if read == 0 {
                return Err(Error::failure("a value became shorter while it was read"));
            }
            self.put(&chunk[..read])?;
            left -= read as u64;
        }
        Ok(())
    }
}

fn unwritable(why: io::Error) -> Error {
    Error::failure("cannot write the exported file").because(why)
}
