//! When, where and at what cost a call was made.

use super::codec::text;
use super::{Malformed, Reader, Writer};

/// When a run was, and what it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Start, in nanoseconds since 1970.
    pub started: i64,
    /// End, in nanoseconds since 1970.
    pub stopped: i64,
    /// Wall time in nanoseconds, by the monotonic clock.
    pub wall: u64,
    /// User CPU time in nanoseconds.
    pub user_time: u64,
    /// System CPU time in nanoseconds.
    pub system_time: u64,
    /// Peak resident memory in bytes.
    pub peak_memory: u64,
}

/// When, where and at what cost a call was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// When the run was, and what it took.
    pub usage: Usage,
    /// The machine's name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The version of fleche that recorded the call.
    pub version: String,
    /// The commit that was checked out in the working directory.
    pub git_commit: Option<String>,
    /// The branch that was checked out in the working directory.
    pub git_branch: Option<String>,
}

impl Metadata {
    /// Appends the fields to `writer`.
    pub(super) fn encode(&self, writer: &mut Writer) {
        let mut times = Writer::new();
        times.signed(self.usage.started).signed(self.usage.stopped).number(self.usage.wall);
        times.number(self.usage.user_time).number(self.usage.system_time).number(self.usage.peak_memory);
        writer.field("times", &times.into_bytes());
        writer.field("host", self.host.as_bytes());
        writer.field("user", self.user.as_bytes());
        writer.field("version", self.version.as_bytes());
        for (name, value) in [("git-commit", &self.git_commit), ("git-branch", &self.git_branch)] {
            if let Some(value) = value {
                writer.field(name, value.as_bytes());
            }
        }
    }

    /// Takes a field if it is one of the metadata's.
    pub(super) fn decode_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        match name {
            b"times" => {
                let mut reader = Reader::new(value);
                self.usage.started = reader.signed()?;
                self.usage.stopped = reader.signed()?;
                self.usage.wall = reader.number()?;
                self.usage.user_time = reader.number()?;
                self.usage.system_time = reader.number()?;
                self.usage.peak_memory = reader.number()?;
            }
            b"host" => self.host = text(value)?,
            b"user" => self.user = text(value)?,
            b"version" => self.version = text(value)?,
            b"git-commit" => self.git_commit = Some(text(value)?),
            b"git-branch" => self.git_branch = Some(text(value)?),
            _ => {}
        }
        Ok(())
    }
}
