//! What the journal tells of: a line an event.

use super::{CommandDigest, Digest, Key};

/// Something that happened to the cache.
///
/// It says all that the statistics count, so that they can be made again when the call is long gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call was stored.
    Stored {
        /// The call.
        key: Key,
        /// Bytes that it added to the store.
        bytes: u64,
        /// The name of its command, for people.
        name: String,
        /// Why it had to run: the name of the reason.
        why: String,
    },
    /// A call was taken over from another cache.
    Copied {
        /// The call.
        key: Key,
        /// Bytes that it added to the store.
        bytes: u64,
        /// The name of its command, for people.
        name: String,
    },
    /// A call was replayed.
    Hit {
        /// The call.
        key: Key,
        /// Wall time that the recorded run took, in nanoseconds.
        saved: u64,
        /// The name of its command, for people.
        name: String,
    },
    /// A command ran and nothing was stored.
    NotStored {
        /// The command.
        command: CommandDigest,
        /// The name of the reason, see [`Reason::name`](super::Reason::name).
        reason: String,
        /// The reason in full; empty where that could tell of something redacted.
        detail: String,
        /// The name of the command, for people.
        name: String,
    },
    /// A call was written anew with other tags, or is about to be written.
    Tagged {
        /// The call.
        key: Key,
    },
    /// A call was given another key, under which it is stored too.
    Renamed {
        /// Its former key.
        from: Key,
        /// Its key from now on.
        to: Key,
    },
    /// Somebody came to write where a command was running that writes there.
    Contested {
        /// Stands for the place.
        place: Digest,
    },
    /// A call was removed.
    Evicted {
        /// The call.
        key: Key,
    },
    /// A store beyond this machine was asked for what answers a command.
    Asked {
        /// The command.
        command: CommandDigest,
        /// What passed.
        exchange: Exchange,
        /// Wall time of the recorded run that was found, in nanoseconds.
        saved: u64,
    },
    /// A call was put into a store beyond this machine, or was to be.
    Sent {
        /// The call.
        key: Key,
        /// What passed.
        exchange: Exchange,
    },
}

/// What passed between here and a store beyond this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What the store is called.
    pub cache: String,
    /// What came of it.
    pub reply: Reply,
    /// How often something was asked or sent.
    pub requests: u64,
    /// Bytes of objects.
    pub bytes: u64,
    /// How long it took, in nanoseconds.
    pub took: u64,
}

/// What came of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What was wanted.
    Done,
    /// There is nothing of it.
    Nothing,
    /// Nothing: the store, or what it said, was of no use.
    Failed,
}

impl Reply {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Reply::Done => "done",
            Reply::Nothing => "nothing",
            Reply::Failed => "failed",
        }
    }

    /// The one that is written so.
    pub fn named(name: &str) -> Option<Reply> {
        [Reply::Done, Reply::Nothing, Reply::Failed].into_iter().find(|reply| reply.name() == name)
    }
}
