//! `fleche verify --rerun`: whether stored commands do again what is recorded.

use std::io::IsTerminal;

use crate::engine::{self, Rechecked};
use crate::error::{Error, Result};
use crate::model::{Fact, Key};
use crate::store::Store;
use crate::ui::{Sheet, Talk};

/// The tag of a call whose command did something else when it was run again.
const NONDETERMINISTIC: &str = "nondeterministic";
const COLUMNS: [&str; 3] = ["key", "name", "different"];

/// Runs the commands of these calls again in private folders. What did something else is printed and tagged; what could not be
/// run so is counted.
///
/// # Errors
///
/// Of kind `No` where a command did something else. Where a call cannot be tagged, or a signal ended a command.
pub fn run(store: &Store, keys: &[Key], progress: &dyn Fn(u64, u64), talk: &Talk) -> Result<()> {
    let columns = COLUMNS.map(str::to_owned);
    let mut sheet = if std::io::stdout().is_terminal() { Sheet::drawn(&columns) } else { Sheet::tsv(&columns) };
    let (mut different, mut skipped) = (0_u64, 0_u64);
    for (done, key) in keys.iter().enumerate() {
        progress(done as u64, keys.len() as u64);
        let read = store.call(key).map_err(|reason| Error::failure(reason.to_string()))?;
        let Some(call) = read else { continue };
        match engine::recheck(store, &call) {
            Rechecked::Same => talk.detail(&format!("{} does the same", key.0.short())),
            Rechecked::Skipped(why) => {
                skipped += 1;
                talk.detail(&format!("{} is skipped: {why}", key.0.short()));
            }
            Rechecked::Different(what) => {
                different += 1;
                let name = Fact::Text(call.name().display().to_string());
                sheet.row(&[Fact::Digest(key.0), name, Fact::Text(what)])?;
                let tagged = store.tag(key, |tags| drop(tags.insert(NONDETERMINISTIC.to_owned(), "yes".to_owned())));
                tagged.map_err(|reason| Error::failure(format!("cannot tag {}: {reason}", key.0.short())))?;
            }
            Rechecked::Interrupted(signal) => {
                return Err(Error::failure(format!("{} was ended by signal {signal}", key.0.short())));
            }
        }
    }
    progress(keys.len() as u64, keys.len() as u64);
    sheet.end()?;
    if skipped > 0 && !talk.is_verbose() {
        talk.warn(&format!("{skipped} {} skipped; -v says why", counted(skipped, "call was", "calls were")));
    }
    match different {
        0 => Ok(()),
        many => Err(Error::no(format!("{many} {} something else", counted(many, "command does", "commands do")))),
    }
}

fn counted(number: u64, one: &'static str, many: &'static str) -> &'static str {
    if number == 1 { one } else { many }
}
