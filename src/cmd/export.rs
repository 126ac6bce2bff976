//! `fleche export`: calls into a file.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueHint;

use crate::config;
use crate::engine;
use crate::error::{Error, Result};
use crate::model::{Key, Reason};
use crate::store::{Exporter, Store};
use crate::ui::{Progress, Talk};

use super::chosen;

/// Write calls, with what they left, into one file, to be imported elsewhere
///
/// Values of the environment are not in it, nor anything that was redacted. What commands printed and made is, so the file is
/// for you alone; `fleche export - > FILE` makes one with the usual mode. A call that is damaged is left out, and the exit
/// status is 1 then.
#[derive(clap::Args)]
pub struct Args {
    /// The file; `-` is standard output
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Only the calls that were stored or replayed in this session, which FLECHE_SESSION names
    #[arg(long)]
    touched: bool,
    #[command(flatten)]
    chosen: chosen::Args,
}

/// Writes the chosen calls, or all.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let store = super::store()?;
    let keys = match args.touched {
        true => touched(&store, args.chosen, talk)?,
        false => args.chosen.calls_or_all(&store)?,
    };
    if args.file == Path::new("-") {
        if io::stdout().is_terminal() {
            return Err(Error::usage("standard output is a terminal").hint("fleche export FILE"));
        }
        return write(&store, &keys, BufWriter::new(io::stdout()), talk)?.whole();
    }
    let unwritable = |why: io::Error| Error::failure(format!("cannot write `{}`", args.file.display())).because(why);
    // What is no file is written into: a pipe has somebody who reads.
    if std::fs::metadata(&args.file).is_ok_and(|found| !found.is_file()) {
        let into = File::options().write(true).open(&args.file).map_err(unwritable)?;
        return write(&store, &keys, BufWriter::new(into), talk)?.whole();
    }
    // Where a link leads, and beside that, so that a file that was there stays until the new one is whole.
    let target = std::fs::canonicalize(&args.file).unwrap_or_else(|_| args.file.clone());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    let written = write(&store, &keys, BufWriter::new(file), talk)?;
    let left_out = written.left_out;
    let file = written.file.into_inner().map_err(|error| unwritable(error.into_error()))?;
    // It stays its owner's alone, as the cache is: it holds what commands printed and made.
    file.as_file().sync_all().map_err(unwritable)?;
    let file = file.persist(&target).map_err(|error| unwritable(error.error))?;
    Written { file, left_out }.whole()
}

/// What was written to.
struct Written<W> {
    file: W,
    /// How many calls are damaged here, and not in it.
    left_out: u64,
}

impl<W> Written<W> {
    /// Whether nothing was left out. What is in the file is whole in any case.
    fn whole(self) -> Result<()> {
        super::all_but(self.left_out, "was left out", "were left out")
    }
}

/// What the session used, and, if others were chosen, of these.
fn touched(store: &Store, chosen: chosen::Args, talk: &Talk) -> Result<Vec<Key>> {
    let session = config::session().ok_or_else(|| Error::usage("FLECHE_SESSION is not set"))?;
    let touched = store.touched(&session)?;
    if touched.is_empty() {
        talk.warn(&format!("nothing was used in the session `{session}`"));
    }
    if chosen.is_everything() {
        return Ok(touched);
    }
    let wanted: std::collections::HashSet<Key> = chosen.calls_or_all(store)?.into_iter().collect();
    Ok(touched.into_iter().filter(|key| wanted.contains(key)).collect())
}

fn write<W: Write>(store: &Store, keys: &[Key], file: W, talk: &Talk) -> Result<Written<W>> {
    let progress = Progress::new("exporting calls", talk);
    let mut exporter = Exporter::begin(file)?;
    let mut left = 0;
    for (done, key) in keys.iter().enumerate() {
        progress.show(done as u64, keys.len() as u64);
        let mut left_out = |why: String| {
            left += 1;
            progress.beside(|| talk.warn(&format!("{} is left out: {why}", key.0.short())));
        };
        match store.call(key) {
            // Evicted since: nobody misses it.
            Ok(None) => {}
            // It may be whole: a file without it would look so, too.
            Err(reason @ Reason::StoreUnusable(_)) => return Err(Error::failure(reason.to_string())),
            Err(reason) => left_out(reason.to_string()),
            Ok(Some(call)) => {
                let parcel = engine::packed(call, store).map_err(|reason| Error::failure(reason.to_string()))?;
                match exporter.add(&parcel, store)? {
                    Ok(()) => {}
                    Err(reason @ Reason::StoreUnusable(_)) => return Err(Error::failure(reason.to_string())),
                    Err(reason) => left_out(reason.to_string()),
                }
            }
        }
    }
    exporter.end().map(|file| Written { file, left_out: left })
}
