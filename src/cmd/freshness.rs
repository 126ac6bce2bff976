//! The flags that say which stored calls may be replayed, shared by every subcommand that asks whether one would be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{self, Aftermath, Audited, Detail, Mode, Mtime, Nested, Pace, Policy};

use super::recognise::Spelling;

/// Which calls may be replayed.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Store and replay runs that end with these exit codes too, as in `1,2`
    #[arg(long, value_name = "CODE", value_delimiter = ',', help_heading = "Record")]
    cache_exit: Vec<u8>,
    /// Do not replay a call that is older
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Replay")]
    ttl: Option<Duration>,
    /// Replay a call that is older than --ttl by up to this, and run the command again in the background
    #[arg(long, value_name = "TIME", requires = "ttl", value_parser = humantime::parse_duration, help_heading = "Replay")]
    stale: Option<Duration>,
    /// Do not replay a call with a non-zero exit code that is older
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Replay")]
    failure_ttl: Option<Duration>,
}

impl Args {
    /// Adds the words that spell these flags.
    pub fn spell(&self, words: &mut Spelling) {
        let time = |time: Option<Duration>| time.map(|time| humantime::format_duration(time).to_string());
        words.all("--cache-exit", self.cache_exit.iter().map(u8::to_string));
        words.one("--ttl", time(self.ttl));
        words.one("--stale", time(self.stale));
        words.one("--failure-ttl", time(self.failure_ttl));
    }

    /// The policy of these flags, as it is without any others.
    pub fn policy(&self, mode: Mode) -> Policy {
        Policy {
            mode,
            ttl: self.ttl,
            stale: self.stale,
            failure_ttl: self.failure_ttl,
            cache_exit: self.cache_exit.clone(),
            max_entry: engine::MAX_ENTRY,
            max_input: engine::MAX_INPUT,
            pace: Pace::AtOnce,
            mtime: Mtime::Now,
            wait: None,
            nested: Nested::AsFound,
            aftermath: Aftermath::Removed,
            audit: Audited::No,
            tags: BTreeMap::new(),
            detail: Detail::Reason,
        }
    }
}
