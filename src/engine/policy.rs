//! What a user wants done with a call, as far as it does not identify the command.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Mtime;

/// `--max-entry` without the flag, for a stream or an output, in bytes.
pub const MAX_ENTRY: u64 = 4 << 30;
/// `--max-entry` without the flag, for standard input that must be read ahead, in bytes: the command waits for it, and
/// who pipes in what has no end should see its output soon.
pub const MAX_INPUT: u64 = 256 << 20;

/// How a run uses the cache.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `--mode`.
    pub mode: Mode,
    /// `--ttl`: an older call is a miss.
    pub ttl: Option<Duration>,
    /// `--stale`: a call older than `ttl` by up to this is replayed, and refreshed in the background.
    pub stale: Option<Duration>,
    /// `--failure-ttl`: an older call with a non-zero exit code is a miss.
    pub failure_ttl: Option<Duration>,
    /// `--cache-exit`: exit codes beside 0 that are stored.
    pub cache_exit: Vec<u8>,
    /// `--max-entry`: the most bytes of a stream or of an output.
    pub max_entry: u64,
    /// `--max-entry`: the most bytes of standard input that are read ahead.
    pub max_input: u64,
    /// `--realtime`.
    pub pace: Pace,
    /// `--mtime`.
    pub mtime: Mtime,
    /// `--wait`: how long to wait for another run of the same command; without it as long as that lives.
    pub wait: Option<Duration>,
    /// `--keep`: what becomes of the private folder of an isolated command.
    pub aftermath: Aftermath,
    /// What runs of fleche that are nested in the command do.
    pub nested: Nested,
    /// Whether the command is run, watched and held against what is declared.
    pub audit: Audited,
    /// Tags of the call.
    pub tags: BTreeMap<String, String>,
    /// The name under which the cache notes what is used, if it is to.
    pub session: Option<String>,
    /// What a miss is to tell.
    pub detail: Detail,
}

/// What a miss tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The reason.
    Reason,
    /// The nearest recorded call too, as far as some files tell of it.
    Nearest,
    /// The nearest of all recorded calls, and why the last run was not stored, for which the catalogue is asked.
    Searched,
}

/// Which halves of the cache are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Replay and store.
    On,
    /// Neither.
    Off,
    /// Replay, never store.
    ReadOnly,
    /// Never replay, store anew.
    Refresh,
}

/// What becomes of a private folder when the command that worked in it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// It vanishes.
    Removed,
    /// It stays for a look.
    Kept,
}

/// Whether a run is held against what is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// As `--trace audit` asks: it is run although a call may answer it.
    Yes,
    /// It is not.
    No,
}

/// What runs of fleche that are nested in a command do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// What the caller's environment says.
    AsFound,
    /// They are refreshed too.
    Refreshed,
}

/// How fast output is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    AtOnce,
    /// As it came when it was recorded.
    Recorded,
}

impl Policy {
    /// Whether a run that ended with `exit` is stored and replayed.
    pub fn keeps_exit(&self, exit: u8) -> bool {
        exit == 0 || self.cache_exit.contains(&exit)
    }
}
