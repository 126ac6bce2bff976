//! `fleche remote`: setting up a store that many machines share.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueHint};

use crate::config;
use crate::error::{Error, Result};
use crate::model::CacheAccess;
use crate::store::{Patience, SigningKey, Tier};
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
    /// Try whether a store can be used as it is configured
    Check {
        /// Its name [default: all of the caches in use]
        #[arg(value_name = "CACHE", add = candidates::caches())]
        store: Option<String>,
    },
}

/// Does what is asked for.
pub fn run(args: &Args, talk: &Talk) -> Result<()> {
    match &args.what {
        What::Key { name, to } => make_key(name, to.as_deref(), talk),
        What::Check { store } => check(store.as_deref()),
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

fn check(name: Option<&str>) -> Result<()> {
    for remote in config::remotes(name, "CACHE")? {
        Tier::open(&remote, Patience::LONG)?.check()?;
        let may = match remote.access {
            CacheAccess::ReadOnly => "read",
            CacheAccess::ReadWrite if remote.upload.is_empty() => "read and written, but `upload` names no command",
            CacheAccess::ReadWrite => "read and written",
        };
        ui::print(&format!("{}\t{}\t{} can be {may}\n", remote.name, remote.url, remote.namespace))?;
    }
    Ok(())
}
