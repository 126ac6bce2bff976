//! `fleche import`: calls from a file.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::ValueHint;

use crate::engine;
use crate::error::{Error, Result};
use crate::store::{Existing, Importer, Store, Verdict};
use crate::ui::{self, Progress, Talk};

/// Take over the calls of an exported file
///
/// The file is not trusted: a call whose key, values or outputs are not what they say is refused. What its results tell is
/// only as true as whoever exported it. Interrupted at any point the calls that were taken over stay, and the same line goes
/// on.
#[derive(clap::Args)]
pub struct Args {
    /// The file; `-` is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Replace calls of the same key that are there already
    #[arg(long)]
    overwrite: bool,
    /// Refuse calls with a larger stream or output [default: 4GiB]
    #[arg(long, value_name = "SIZE", value_parser = ui::parse_size)]
    max_entry: Option<u64>,
}

/// Takes the calls over.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let store = super::store_to_change()?;
    let existing = if args.overwrite { Existing::Replaced } else { Existing::Kept };
    let most = args.max_entry.unwrap_or(engine::MAX_ENTRY);
    let refused = match args.file == Path::new("-") {
        true => take_over(io::stdin().lock(), most, &store, existing, &|text, how| how(talk, text))?,
        false => {
            let unreadable = |why| Error::failure(format!("cannot read `{}`", args.file.display())).because(why);
            let file = File::open(&args.file).map_err(unreadable)?;
            let length = file.metadata().map_err(unreadable)?.len();
            let progress = Progress::new("importing calls", talk);
            let file = Shown { file, done: 0, show: &|done| progress.show(done, length) };
            let say = |text: &str, how: Say| progress.beside(|| how(talk, text));
            take_over(file, most, &store, existing, &say)?
        }
    };
    engine::look_after(&store);
    super::all_but(refused, "was refused", "were refused")
}

/// How loud something is.
type Say = fn(&Talk, &str);

/// A file of which is shown how much was read.
struct Shown<'a> {
    file: File,
    done: u64,
    show: &'a dyn Fn(u64),
}

impl Read for Shown<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.done += read as u64;
        (self.show)(self.done);
        Ok(read)
    }
}

/// Gives how many calls were refused.
fn take_over(file: impl Read, most: u64, store: &Store, existing: Existing, say: &dyn Fn(&str, Say)) -> Result<u64> {
    let mut importer = Importer::begin(BufReader::with_capacity(1 << 18, file), most)?;
    let mut refused = 0;
    while let Some(next) = importer.next_call()? {
        let verdict = match next {
            Ok(parcel) => {
                let key = parcel.call.key;
                let parcel = engine::settled(parcel, store).map_err(|reason| Error::failure(reason.to_string()))?;
                match importer.store(&parcel, store, existing)? {
                    Verdict::Refused(why) => Err(format!("{} is refused: {why}", key.0.short())),
                    Verdict::Present => Ok(format!("{} is there already", key.0.short())),
                    Verdict::Stored => Ok(format!("stored {}", key.0.short())),
                }
            }
            Err(why) => {
                importer.pass()?;
                Err(format!("a call is refused: {why}"))
            }
        };
        match verdict {
            Ok(text) => say(&text, Talk::detail),
            Err(text) => {
                refused += 1;
                say(&text, Talk::warn);
            }
        }
    }
    Ok(refused)
}
