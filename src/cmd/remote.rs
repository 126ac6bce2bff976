//! `fleche remote`: setting up a store that many machines share.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueHint};

use crate::config;
use crate::error::{Error, Result};
use crate::model::CacheAccess;
use crate::store::{self, Clearance, Patience, Road, SigningKey, Tier};
use crate::sys::clock;
use crate::ui::{self, Talk};

use super::candidates;

/// Set up a store that many machines share
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key that calls are signed with: NAME.key to sign, NAME.pub to be trusted
    Key {
        /// What it is called
        name: String,
        /// Where its two files go [default: beside your file of configuration]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        to: Option<PathBuf>,
    },
    /// Print what a store has to allow, and no more
    ///
    /// For a bucket the policy of whoever uses it, for a web server the settings of nginx, for Redis one of its users, for a folder what makes it.
    Setup {
        /// Its name [default: all of the caches in use]
        #[arg(value_name = "CACHE", add = candidates::caches())]
        store: Option<String>,
    },
    /// Take away what lies in a store for a long time
    ///
    /// For stores that do not do so by themselves. Calls of the namespace go, and what is remembered of its commands.
    Gc {
        /// Its name [default: all of the caches in use]
        #[arg(value_name = "CACHE", add = candidates::caches())]
        store: Option<String>,
        /// What was put there (in a Redis: used last) longer ago than this, as in 30d
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        older_than: Duration,
        /// Take large values away as well, a day later: they are those of all namespaces, and calls that name one run again
        #[arg(long)]
        values: bool,
        /// Print what would be taken away, and take nothing away
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Try whether a store can be used as it is configured
    Check {
        /// Its name [default: all of the caches in use]
        #[arg(value_name = "CACHE", add = candidates::caches())]
        store: Option<String>,
    },
}

/// Prints what a store has to be like, so that it tells how old something is.
const SETUP: &str = "fleche remote setup";

/// Does what is asked for.
pub fn run(args: &Args, talk: &Talk) -> Result<()> {
    match &args.what {
        What::Key { name, to } => make_key(name, to.as_deref(), talk),
        What::Setup { store } => {
            config::remotes(store.as_deref(), "CACHE")?.iter().try_for_each(|remote| ui::print(&store::setup(remote)))
        }
        What::Gc { store, older_than, values, dry_run } => {
            let what = if *values { Clearance::CallsAndValues } else { Clearance::Calls };
            gc(store.as_deref(), what, *older_than, *dry_run, talk)
        }
        What::Check { store } => check(store.as_deref(), talk),
    }
}

fn make_key(name: &str, to: Option<&Path>, talk: &Talk) -> Result<()> {
    if !config::is_name(name) {
        return Err(Error::usage(format!("`{name}` cannot be the name of a key")).hint("letters, digits and `_-.`"));
    }
    let folder = match to {
        Some(folder) => {
            std::path::absolute(folder).map_err(|why| Error::failure("where the key is to be").because(why))?
        }
        None => config::folder()?,
    };
    let missing = |why: io::Error| Error::failure(format!("cannot make `{}`", folder.display())).because(why);
    std::fs::create_dir_all(&folder).map_err(missing)?;
    let (key, digits) = SigningKey::generate()?;
    let [secret, public] = ["key", "pub"].map(|end| folder.join(format!("{name}.{end}")));
    write_new(&secret, 0o600, &format!("# The secret key `{name}` of fleche: who has it is believed.\n{digits}\n"))?;
    let told = format!("# The public key `{name}` of fleche.\n{}\n", key.public());
    write_new(&public, 0o644, &told).inspect_err(|_| {
        let _ = std::fs::remove_file(&secret);
    })?;
    talk.detail(&format!("calls are signed with `{}`", secret.display()));
    ui::print(&format!("signing-key = \"{}\"\ntrusted-keys = [\"{}\"]\n", secret.display(), public.display()))
}

/// A key that is there stays: calls are signed with it.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<()> {
    let write = || OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes());
    write().map_err(|why| Error::failure(format!("cannot write `{}`", path.display())).because(why))
}

fn gc(name: Option<&str>, what: Clearance, older_than: Duration, dry_run: bool, talk: &Talk) -> Result<()> {
    let age = i64::try_from(clock::nanoseconds(older_than)).unwrap_or(i64::MAX);
    let before = clock::now().saturating_sub(age);
    super::with_each(&config::remotes(name, "CACHE")?, talk, |remote| {
        let tier = Tier::open(remote, Patience::LONG)?;
        if remote.access == CacheAccess::ReadOnly && !dry_run {
            let message = format!("nothing is taken away from the cache `{}`: it is read-only", remote.name);
            return Err(Error::failure(message).hint("access = \"read-write\""));
        }
        let mut names = Vec::new();
        let mut go = |name: &str| {
            names.push(name.to_owned());
            !dry_run
        };
        let cleared = tier.clear(what, before, &mut go);
        if dry_run {
            names.iter().try_for_each(|name| ui::print(&format!("{name}\n")))?;
        }
        let not_cleared = || Error::failure(format!("cannot clear the cache `{}`", remote.name));
        let untold = cleared.map_err(|why| not_cleared().because(why.to_string()))?;
        if !dry_run {
            talk.detail(&format!("{} objects of `{}` are gone", names.len(), remote.name));
        }
        match untold {
            0 => Ok(()),
            1 => Err(not_cleared().because("it does not tell of 1 object how old it is").hint(SETUP)),
            some => {
                let why = format!("it does not tell of {some} objects how old they are");
                Err(not_cleared().because(why).hint(SETUP))
            }
        }
    })
}

fn check(name: Option<&str>, talk: &Talk) -> Result<()> {
    super::with_each(&config::remotes(name, "CACHE")?, talk, |remote| {
        Tier::open(remote, Patience::LONG)?.check()?;
        // Nobody has a reason to leave it alone any more.
        if let Ok(store) = super::store_to_change() {
            let roads = [Road::Ask, Road::Send];
            let roads = if remote.access == CacheAccess::ReadOnly { &roads[..1] } else { &roads };
            roads.iter().for_each(|road| store.breaker_anyway(remote, *road).worked(&store));
        }
        let may = match remote.access {
            CacheAccess::ReadOnly => "read",
            CacheAccess::ReadWrite if remote.upload.is_empty() => "read and written, but `upload` names no command",
            CacheAccess::ReadWrite => "read and written",
        };
        ui::print(&format!("{}\t{}\t{} can be {may}\n", remote.name, remote.url, remote.namespace))
    })
}
