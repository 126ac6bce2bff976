//! `fleche gc`: removes what nobody needs.

use std::io::IsTerminal;
use std::time::Duration;

use crate::cmd::{store, store_to_change};
use crate::error::Result;
use crate::model::Fact;
use crate::store::{Freed, Limits, Plan, Thing};
use crate::sys::clock;
use crate::ui::{self, Progress, Sheet, Talk};

/// What somebody may be about to need again stays for an hour.
const GRACE: &str = "1h";

/// Remove what no call needs, and calls beyond the limits that are given
///
/// Calls that were not used for longest go first; calls with the tag `pin` never go. A limit that no option gives is the one that
/// is configured for the cache, if one is.
#[derive(clap::Args)]
pub struct Args {
    /// Print what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Leave at most so many bytes of calls and their values, as in 20GiB
    #[arg(long, value_name = "SIZE", value_parser = ui::parse_size)]
    max_size: Option<u64>,
    /// Remove calls that were not used for so long, as in 30d
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_age: Option<Duration>,
    /// Leave at most so many calls
    #[arg(long, value_name = "NUMBER")]
    max_entries: Option<u64>,
    /// Leave files alone that are younger
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = GRACE)]
    grace: Duration,
}

/// Makes a plan, and prints it or carries it out.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let store = if args.dry_run { store()? } else { store_to_change()? };
    let limits = Limits {
        max_size: args.max_size,
        max_age: args.max_age.map(clock::nanoseconds),
        max_entries: args.max_entries,
        grace: clock::nanoseconds(args.grace),
    };
    let progress = Progress::new("looking for garbage", talk);
    let plan = store.gc_plan(&limits, &|done, of| progress.show(done, of))?;
    drop(progress);
    if args.dry_run {
        return print(&plan);
    }
    let progress = Progress::new("removing garbage", talk);
    let freed = store.collect(&plan, &|done, of| progress.show(done, of))?;
    store.forget_unneeded()?;
    drop(progress);
    talk.detail(&told(&freed));
    Ok(())
}

/// What is removed and why, a row each.
fn print(plan: &Plan) -> Result<()> {
    let columns = ["what", "name", "why", "size"].map(str::to_owned);
    let mut sheet = if std::io::stdout().is_terminal() { Sheet::drawn(&columns) } else { Sheet::tsv(&columns) };
    for removal in plan.removals() {
        let name = match &removal.thing {
            Thing::Call(key) => Fact::Digest(key.0),
            Thing::Value(digest) => Fact::Digest(*digest),
            Thing::PathSets(command) => Fact::Digest(command.0),
            other => Fact::Text(other.name()),
        };
        let text = |text: &str| Fact::Text(text.to_owned());
        sheet.row(&[text(removal.thing.kind()), name, text(removal.cause.text()), Fact::Bytes(removal.bytes)])?;
    }
    sheet.end().map(drop)
}

fn told(freed: &Freed) -> String {
    let Freed { calls, values, others, bytes } = *freed;
    let many = |number: u64, what: &str| if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") };
    let (calls, values, others) = (many(calls, "call"), many(values, "value"), many(others, "other file"));
    format!("removed {calls}, {values} and {others}: {}", ui::size(bytes))
}
