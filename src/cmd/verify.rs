//! `fleche verify`: whether all that is stored is whole.

use std::io::IsTerminal;

use crate::cmd::{quiet_store, store};
use crate::error::{Error, Result};
use crate::model::{Digest, Fact};
use crate::query::object;
use crate::store::{Fault, Subject};
use crate::ui::{Progress, Sheet, Talk};

use super::chosen;
use super::recheck;

/// Check that stored calls and their values are whole
///
/// Without keys or filters every file of the cache is checked, values that no call names and the catalogue too.
#[derive(clap::Args)]
pub struct Args {
    /// Put what is damaged aside, and calls that lost a value: the next run makes them anew
    #[arg(long)]
    repair: bool,
    /// Print a JSON object a fault
    #[arg(long)]
    json: bool,
    /// Run the commands again, in private folders with copies of their inputs, and see whether they do the same
    ///
    /// What does something else is printed and tagged `nondeterministic`. A command that might touch anything outside of its folder
    /// (a path that is absolute or goes up, a variable that names the project) or whose inputs, program or environment
    /// are not what they were is skipped; -v says why. What a script does that no argument tells of, it does again.
    #[arg(long, conflicts_with_all = ["repair", "json"])]
    rerun: bool,
    #[command(flatten)]
    calls: chosen::Args,
}

const COLUMNS: [&str; 5] = ["fault", "what", "name", "call", "why"];

/// Prints a row a fault.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    if args.rerun {
        return rerun(args.calls, talk);
    }
    if args.repair {
        super::check_changeable()?;
    }
    // One that may be written puts aside what it meets damaged.
    let looking = quiet_store()?;
    let columns = COLUMNS.map(str::to_owned);
    let mut sheet = match args.json {
        true => Sheet::jsonl(),
        false if std::io::stdout().is_terminal() => Sheet::drawn(&columns),
        false => Sheet::tsv(&columns),
    };
    let mut faults = Vec::new();
    let progress = Progress::new("checking", talk);
    let show = |done, of| progress.show(done, of);
    let report = |fault: Fault| {
        let row = row(&fault);
        faults.push(fault);
        if args.json { sheet.object(&object(&columns, &row)) } else { sheet.row(&row) }
    };
    let everything = args.calls.is_everything();
    if everything {
        looking.verify_all(&show, report)?;
    } else {
        let keys = args.calls.calls_or_all(&looking)?;
        looking.verify_calls(&keys, &show, report)?;
    }
    if args.repair && !faults.is_empty() {
        let store = store()?;
        faults.iter().try_for_each(|fault| store.repair(fault, &show))?;
    }
    // Bringing the catalogue up to date moves damaged calls: only where there are none, or none any more.
    let is_damaged = |fault: &Fault| matches!(fault.subject, Subject::Call(_));
    if everything
        && (args.repair || !faults.iter().any(is_damaged))
        && let Some(fault) = store()?.verify_catalogue()?
    {
        let row = row(&fault);
        if args.json {
            sheet.object(&object(&columns, &row))?
        } else {
            sheet.row(&row)?
        };
        if args.repair {
            store()?.repair(&fault, &show)?;
        }
        faults.push(fault);
    }
    drop(progress);
    sheet.end()?;
    match faults.len() {
        0 => Ok(()),
        1 => Err(Error::no("1 fault found")),
        many => Err(Error::no(format!("{many} faults found"))),
    }
}

/// Whether the commands of the chosen calls do again what is recorded.
fn rerun(calls: chosen::Args, talk: &Talk) -> Result<()> {
    let store = super::store_to_change()?;
    let keys = calls.calls_or_all(&store)?;
    let progress = Progress::new("running again", talk);
    recheck::run(&store, &keys, &|done, of| progress.show(done, of), talk)
}

fn row(fault: &Fault) -> [Fact; 5] {
    let text = |text: &str| Fact::Text(text.to_owned());
    let digest = |digest: Option<Digest>| digest.map_or(Fact::Nothing, Fact::Digest);
    [
        text(fault.trouble.name()),
        text(fault.subject.kind()),
        digest(fault.subject.digest()),
        digest(fault.call.map(|key| key.0)),
        text(&fault.why),
    ]
}
