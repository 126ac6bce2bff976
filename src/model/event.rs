//! What the journal tells of: a line an event.

use super::{CommandDigest, Key};

/// Something that happened to the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call was stored.
    Stored {
        /// The call.
        key: Key,
        /// Bytes that it added to the store.
        bytes: u64,
    },
    /// A call was replayed.
    Hit {
        /// The call.
        key: Key,
        /// Wall time that the recorded run took, in nanoseconds.
        saved: u64,
    },
    /// A command ran and nothing was stored.
    NotStored {
        /// The command.
        command: CommandDigest,
        /// The name of the reason, see [`Reason::name`](super::Reason::name).
        reason: String,
    },
    /// A call was removed.
    Evicted {
        /// The call.
        key: Key,
    },
}
