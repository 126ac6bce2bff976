//! `fleche stats`: what the cache was good for.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::model::Fact;
use crate::query::{History, Shared, Worth};
use crate::store::{Catalogue, Condition, Period, Selection, Totals};
use crate::ui::{self, JsonStyle, Sheet, Style};

use super::{filter, store};

const DAY: i64 = 86_400 * 1_000_000_000;
/// Rows that a section shows where nobody asks for more.
const SHOWN: usize = 10;
/// Characters of the longest bar.
const BAR: u64 = 24;

/// Show hits, misses, the time saved and the bytes stored
///
/// The filters choose among the calls that are stored now. What happened is known by the command's name and the day, so with
/// any filter but --name, --since and --until that part is left out.
#[derive(clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Print one table in full: a row a command name, a day, a reason or a cache beyond this machine
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<By>,
    #[command(flatten)]
    filter: filter::Args,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people; with --by tab-separated in a pipe
    #[default]
    Text,
    /// An object; times in nanoseconds, sizes in bytes
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Name,
    Day,
    Reason,
    Cache,
}

/// Prints the figures.
pub fn run(args: Args) -> Result<()> {
    let filter = args.filter.filter()?;
    let store = store()?;
    let catalogue = store.catalogue()?;
    let selection = filter.resolve(&store, &catalogue)?;
    let totals = catalogue.totals(&selection)?;
    let history = history(&catalogue, &selection)?;
    match (args.format, args.by) {
        (Format::Json, _) => {
            let mut object = history.as_ref().map_or(Map::new(), |history| history.json(ui::day));
            object.insert("calls".to_owned(), json!(totals.calls));
            object.insert("bytes".to_owned(), json!(totals.bytes));
            object.insert("calls_hits".to_owned(), json!(totals.hits));
            object.insert("calls_saved_ns".to_owned(), json!(totals.saved));
            ui::print(&ui::json(&Value::Object(object), JsonStyle::Indented))
        }
        (Format::Text, Some(by)) => table(&history.unwrap_or_default(), by),
        (Format::Text, None) => ui::print(&text(&totals, history.as_ref())),
    }
}

/// What happened; none where the selection asks for what is not known of it.
fn history(catalogue: &Catalogue, selection: &Selection) -> Result<Option<History>> {
    let Selection { conditions, .. } = selection;
    let mut period = Period::default();
    for condition in conditions {
        match condition {
            Condition::Name(glob) => period.name = Some(glob.clone()),
            Condition::Since(time) => period.first = Some(time.div_euclid(DAY)),
            Condition::Until(time) => period.last = Some((time - 1).div_euclid(DAY)),
            _ => return Ok(None),
        }
    }
    Ok(Some(History::of(&catalogue.statistics(&period)?)))
}

fn text(totals: &Totals, history: Option<&History>) -> String {
    let heading = |text: &str| format!("\n{}\n", ui::painted(Style::Heading, text));
    let mut text = format!("{:<10} {} in {}\n", "calls", totals.calls, ui::size(totals.bytes));
    let Some(history) = history else {
        text.push_str(&format!("{:<10} {}\n{:<10} {}\n", "hits", totals.hits, "saved", ui::duration(totals.saved)));
        return text;
    };
    let all = &history.all;
    let rate = all.rate().map_or(String::new(), |rate| format!(" ({rate} %)"));
    text.push_str(&format!("{:<10} {}{rate}\n{:<10} {}\n", "hits", all.hits, "misses", all.misses()));
    text.push_str(&format!("{:<10} {}\n{:<10} {}\n", "saved", ui::duration(all.saved), "stored", ui::size(all.bytes)));
    if all.copied > 0 {
        text.push_str(&format!("{:<10} {} from other caches\n", "copied", all.copied));
    }
    if all.evicted > 0 {
        text.push_str(&format!("{:<10} {}\n", "evicted", all.evicted));
    }
    for (title, reasons) in
        [("missed because", &history.missed_because), ("not stored because", &history.not_stored_because)]
    {
        if !reasons.is_empty() {
            text.push_str(&heading(title));
            let most = reasons.values().copied().max().unwrap_or(0);
            let mut reasons: Vec<_> = reasons.iter().collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            for (reason, count) in reasons {
                text.push_str(&row(reason, &format!("{count}"), *count, most));
            }
        }
    }
    if !history.by_name.is_empty() {
        text.push_str(&heading("by command: time saved, hits of runs"));
        text.push_str(&worths(history.names().into_iter().take(SHOWN).map(|(name, worth)| (named(name), worth))));
    }
    if !history.by_day.is_empty() {
        text.push_str(&heading("by day: time saved, hits of runs"));
        let latest: Vec<_> = history.by_day.iter().rev().take(SHOWN).collect();
        text.push_str(&worths(latest.into_iter().rev().map(|(day, worth)| (ui::day(*day), worth))));
    }
    if !history.by_cache.is_empty() {
        text.push_str(&heading("beyond this machine"));
        history.by_cache.iter().for_each(|(name, shared)| text.push_str(&exchanged(name, shared)));
    }
    text
}

/// What passed between here and a store: what it was good for, and what it took.
fn exchanged(name: &str, shared: &Shared) -> String {
    let failed = if shared.failed > 0 { format!(" ({} in error)", shared.failed) } else { String::new() };
    let unsent = if shared.unsent > 0 { format!(" ({} failed)", shared.unsent) } else { String::new() };
    format!(
        "  {:<20} found {} of {}{failed}, saved {}, waited {} ({} in vain)\n  {:<20} {} requests, {} received, {} calls{unsent} \
         of {} sent\n",
        ui::escape(name),
        shared.found,
        shared.asked,
        ui::duration(shared.saved),
        ui::duration(shared.waited),
        ui::duration(shared.lost),
        "",
        shared.requests,
        ui::size(shared.received),
        shared.sent,
        ui::size(shared.bytes_sent),
    )
}

fn worths<'a>(rows: impl Iterator<Item = (String, &'a Worth)>) -> String {
    let rows: Vec<_> = rows.collect();
    let most = rows.iter().map(|(_, worth)| worth.saved).max().unwrap_or(0);
    let said =
        |worth: &Worth| format!("{:>11}  {} of {}", ui::duration(worth.saved), worth.hits, worth.hits + worth.misses());
    rows.iter().map(|(name, worth)| row(name, &said(worth), worth.saved, most)).collect()
}

/// A name, a figure, and on a terminal a bar as long as the figure is large.
fn row(name: &str, figure: &str, value: u64, most: u64) -> String {
    let length = (u128::from(value) * u128::from(BAR)).div_ceil(u128::from(most.max(1))) as usize;
    let bar = match ui::draws_bars() && length > 0 {
        true => format!("  {}", ui::painted(Style::Good, &"█".repeat(length))),
        false => String::new(),
    };
    format!("  {:<20} {figure:<26}{bar}", ui::escape(name)).trim_end().to_owned() + "\n"
}

fn named(name: &str) -> String {
    if name.is_empty() { "(not known)".to_owned() } else { name.to_owned() }
}

fn table(history: &History, by: By) -> Result<()> {
    let number = |number: u64| Fact::Number(i64::try_from(number).unwrap_or(i64::MAX));
    let of_worth = |first: String, worth: &Worth| {
        vec![
            Fact::Text(first),
            number(worth.hits),
            number(worth.misses()),
            number(worth.not_stored),
            Fact::Duration(worth.saved),
            Fact::Bytes(worth.bytes),
        ]
    };
    let reason = |kind: &str, (reason, count): (&String, &u64)| {
        let count = Fact::Number(i64::try_from(*count).unwrap_or(i64::MAX));
        vec![Fact::Text(kind.to_owned()), Fact::Text(reason.clone()), count]
    };
    let worth = |first| [first, "hits", "misses", "not_stored", "saved", "stored"].to_vec();
    let (columns, rows): (Vec<&str>, Vec<Vec<Fact>>) = match by {
        By::Name => {
            (worth("name"), history.names().into_iter().map(|(name, of)| of_worth(name.to_owned(), of)).collect())
        }
        By::Day => (worth("day"), history.by_day.iter().map(|(day, of)| of_worth(ui::day(*day), of)).collect()),
        By::Reason => {
            let missed = history.missed_because.iter().map(|line| reason("missed", line));
            let not_stored = history.not_stored_because.iter().map(|line| reason("not stored", line));
            (vec!["what", "because", "count"], missed.chain(not_stored).collect())
        }
        By::Cache => {
            let columns = ["cache", "asked", "found", "failed", "saved", "waited", "lost", "requests", "received"];
            let row = |(name, shared): (&String, &Shared)| {
                let mut row = vec![Fact::Text(name.clone())];
                row.extend([shared.asked, shared.found, shared.failed].map(number));
                row.extend([shared.saved, shared.waited, shared.lost].map(Fact::Duration));
                row.extend([number(shared.requests), Fact::Bytes(shared.received)]);
                row.extend([number(shared.sent), number(shared.unsent), Fact::Bytes(shared.bytes_sent)]);
                row
            };
            ([&columns[..], &["sent", "unsent", "bytes_sent"]].concat(), history.by_cache.iter().map(row).collect())
        }
    };
    let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
    let mut sheet = if ui::draws_bars() { Sheet::drawn(&columns) } else { Sheet::tsv(&columns) };
    rows.iter().try_for_each(|row| sheet.row(row))?;
    sheet.end().map(drop)
}
