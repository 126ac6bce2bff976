//! The flags that say which stored calls may be replayed, shared by every subcommand that asks whether one would be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Ruling;
use crate::engine::{self, Aftermath, Audited, Detail, Mode, Mtime, Nested, Pace, Policy};
use crate::error::{Error, Result};

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
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Replay")]
    stale: Option<Duration>,
    /// Do not replay a call with a non-zero exit code that is older
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Replay")]
    failure_ttl: Option<Duration>,
}

impl Args {
    /// Fills what these flags leave open.
    pub fn fill(&mut self, ruling: &Ruling) {
        if self.cache_exit.is_empty() {
            self.cache_exit = ruling.codes("cache-exit");
        }
        self.ttl = self.ttl.or_else(|| ruling.time("ttl"));
        self.stale = self.stale.or_else(|| ruling.time("stale"));
        self.failure_ttl = self.failure_ttl.or_else(|| ruling.time("failure-ttl"));
    }

    /// Refuses `--stale` where nothing says when a call is old.
    ///
    /// # Errors
    ///
    /// That.
    pub fn check(&self) -> Result<()> {
        match (self.stale, self.ttl) {
            (Some(_), None) => {
                Err(Error::usage("--stale says how far beyond --ttl, and there is none").hint("--ttl TIME"))
            }
            _ => Ok(()),
        }
    }

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
            session: None,
            detail: Detail::Reason,
        }
    }
}
