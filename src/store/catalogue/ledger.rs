//! The ledger: what stands in the journals alone, written down before a journal is forgotten.
//!
//! Calls are in their files, but how often they were replayed, what is counted by the day and why commands were not
//! stored would go with the journal before the last. So whoever lets a journal make room first writes all of it, and how
//! far which journal is covered, to the file `ledger`. A catalogue that did not begin with the ledger that is there
//! takes it over and reads on from where it ends: nothing is lost and nothing counted twice, wherever the writer died.

use std::io::{self, Write};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::super::Store;
use super::super::folder::Found;
use super::super::frame::{self, Bounds, Fault, Kind};
use super::entry::number;
use crate::model::{Fields, Malformed, Reader, Writer};

/// Its file.
pub(in crate::store) const FILE: &str = "ledger";
/// The version of its fields; a reader refuses a newer one.
const FORMAT: u64 = 1;
/// Most refusals that are kept, the latest: a command with the time in it is refused under another digest each time.
const REFUSALS: u32 = 100_000;

/// More bytes than it ever has: a call that was used takes about fifty. What is larger is no ledger.
const LARGEST: u64 = 1 << 34;
/// The same of a store that others may write.
const LARGEST_SHARED: u64 = 1 << 28;

/// How a catalogue and the ledger stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The catalogue knows all that is in it.
    InStep,
    /// It is gone or damaged, and the catalogue knows what was in it.
    Lost,
    /// A newer fleche wrote it.
    Newer,
}

/// Whose use is forgotten when the ledger is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pruning {
    /// That of calls that the catalogue does not list, which knows all that there are.
    CallsThatAreGone,
    /// Nobody's.
    Nothing,
}

/// What is wrong with the ledger; `None` where it is whole or there is none.
///
/// # Errors
///
/// Where it cannot be read.
pub(in crate::store) fn fault(store: &Store) -> io::Result<Option<String>> {
    Ok(match read(store)? {
        Content::Damaged(why) => Some(why),
        Content::Absent | Content::Newer | Content::Whole(_) => None,
    })
}

/// What was found in its place.
enum Content {
    Absent,
    Damaged(String),
    Newer,
    /// The bytes of its body.
    Whole(Vec<u8>),
}

fn read(store: &Store) -> io::Result<Content> {
    let largest = if store.folder.bounds() == Bounds::OWN { LARGEST } else { LARGEST_SHARED };
    let opened = match store.folder.read(FILE, largest)? {
        Found::Absent => return Ok(Content::Absent),
        Found::Wrong(why) => Err(Fault::Damaged(why)),
        Found::Bytes(bytes, _) => frame::open(Kind::Ledger, &bytes).map(<[u8]>::to_vec),
    };
    Ok(match opened {
        Ok(body) => Content::Whole(body),
        Err(Fault::Damaged(why)) => Content::Damaged(why),
        Err(Fault::Newer) => Content::Newer,
    })
}

/// The digest at the head of the ledger, which tells one from another without reading them.
pub(super) fn digest(store: &Store) -> Option<Vec<u8>> {
    let head = store.folder.read_small(FILE, frame::FRAME).ok()?;
    (head.len() >= frame::FRAME).then(|| head[frame::HEADER..frame::FRAME].to_vec())
}

/// Takes over the ledger if the catalogue does not know what is in it.
pub(super) fn reconcile(transaction: &Transaction, store: &Store) -> rusqlite::Result<Standing> {
    let known: Option<Vec<u8>> = transaction.query_row("SELECT digest FROM ledger", [], |row| row.get(0)).optional()?;
    let present = digest(store);
    if known == present {
        return Ok(Standing::InStep);
    }
    let lost = if known.is_some() { Standing::Lost } else { Standing::InStep };
    // What cannot be read now may be another time; until then the catalogue goes on with what it knows.
    let Ok(content) = read(store) else { return Ok(Standing::InStep) };
    match content {
        Content::Newer => Ok(Standing::Newer),
        Content::Absent => Ok(lost),
        Content::Damaged(why) => {
            store.damaged(FILE, why);
            Ok(lost)
        }
        Content::Whole(body) => match take_over(transaction, &body)? {
            Ok(()) => {
                remember(transaction, present.as_deref())?;
                Ok(Standing::InStep)
            }
            Err(Malformed::NEWER) => Ok(Standing::Newer),
            Err(malformed) => {
                store.damaged(FILE, malformed.to_string());
                Ok(lost)
            }
        },
    }
}

fn remember(connection: &Connection, digest: Option<&[u8]>) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM ledger", [])?;
    connection.execute("INSERT INTO ledger (digest) VALUES (?1)", [digest]).map(drop)
}

/// Puts what the ledger says in the place of what the catalogue says.
fn take_over(transaction: &Transaction, body: &[u8]) -> rusqlite::Result<Result<(), Malformed>> {
    // All of it is read first: what is not understood changes nothing.
    let lines = || Fields::of(body).map(|field| line(field?));
    if let Some(Err(malformed)) = lines().find(Result::is_err) {
        return Ok(Err(malformed));
    }
    transaction.execute_batch("DELETE FROM statistic; DELETE FROM usage; DELETE FROM refusal; DELETE FROM journal;")?;
    for line in lines().filter_map(Result::ok) {
        insert(transaction, &line)?;
    }
    transaction.execute("UPDATE call SET hits = 0 WHERE hits > 0", [])?;
    let used = "UPDATE call SET hits = usage.hits, last_used = max(call.last_used, usage.last_used)
        FROM usage WHERE usage.key = call.key";
    transaction.execute(used, []).map(|_| Ok(()))
}

/// How many fields of a ledger's body are understood; `None` where it is none. For fuzz targets alone.
#[cfg(fuzzing)]
pub fn understood(body: &[u8]) -> Option<usize> {
    Fields::of(body).map(|field| line(field.ok()?).ok()).collect::<Option<Vec<Line>>>().map(|lines| lines.len())
}

/// Something that the ledger says.
enum Line<'a> {
    Nothing,
    Statistic { day: i64, name: &'a str, event: &'a str, reason: &'a str, count: u64, saved: u64, bytes: u64 },
    Usage { key: [u8; 32], hits: u64, last_used: i64 },
    Refusal { command: [u8; 32], time: i64, reason: &'a str, detail: &'a str },
    Journal { inode: u64, head: &'a [u8], read: u64 },
}

fn line<'a>((name, value): (&'a [u8], &'a [u8])) -> Result<Line<'a>, Malformed> {
    let mut reader = Reader::new(value);
    fn word<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
        std::str::from_utf8(reader.bytes()?).map_err(|_| Malformed("text"))
    }
    Ok(match name {
        b"format" if reader.number()? > FORMAT => return Err(Malformed::NEWER),
        b"statistic" => Line::Statistic {
            day: reader.signed()?,
            name: word(&mut reader)?,
            event: word(&mut reader)?,
            reason: word(&mut reader)?,
            count: reader.number()?,
            saved: reader.number()?,
            bytes: reader.number()?,
        },
        b"usage" => Line::Usage { key: reader.digest()?, hits: reader.number()?, last_used: reader.signed()? },
        b"refusal" => Line::Refusal {
            command: reader.digest()?,
            time: reader.signed()?,
            reason: word(&mut reader)?,
            detail: word(&mut reader)?,
        },
        b"journal" => Line::Journal { inode: reader.number()?, head: reader.bytes()?, read: reader.number()? },
        _ => Line::Nothing,
    })
}

fn insert(connection: &Connection, line: &Line) -> rusqlite::Result<()> {
    match *line {
        Line::Nothing => Ok(0),
        Line::Statistic { day, name, event, reason, count, saved, bytes } => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO statistic (day, name, event, reason, count, saved, bytes)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![day, name, event, reason, number(count), number(saved), number(bytes)]),
        Line::Usage { key, hits, last_used } => connection
            .prepare_cached("INSERT OR REPLACE INTO usage (key, hits, last_used) VALUES (?1, ?2, ?3)")?
            .execute(params![key, number(hits), last_used]),
        Line::Refusal { command, time, reason, detail } => connection
            .prepare_cached("INSERT OR REPLACE INTO refusal (command, time, reason, detail) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![command, time, reason, detail]),
        Line::Journal { inode, head, read } => connection
            .prepare_cached("INSERT OR REPLACE INTO journal (inode, head, read) VALUES (?1, ?2, ?3)")?
            .execute(params![number(inode), head, number(read)]),
    }
    .map(drop)
}

/// Writes the ledger anew from the catalogue; says whether it could be written. It is as large as it has to be: one that
/// was not written for its size would never be again, and the journal would grow for ever.
pub(super) fn write(transaction: &Transaction, store: &Store, pruning: Pruning) -> rusqlite::Result<bool> {
    // Calls that went without an eviction (into quarantine, by hand) are not remembered for ever.
    if pruning == Pruning::CallsThatAreGone {
        transaction.execute("DELETE FROM usage WHERE key NOT IN (SELECT key FROM call)", [])?;
    }
    let latest = "DELETE FROM refusal WHERE command NOT IN
        (SELECT command FROM refusal ORDER BY time DESC, command LIMIT ?1)";
    transaction.execute(latest, [REFUSALS])?;
    let bytes = frame::seal(Kind::Ledger, &body(transaction)?);
    if put(store, &bytes).is_err() {
        return Ok(false);
    }
    remember(transaction, Some(&bytes[frame::HEADER..frame::FRAME]))?;
    Ok(true)
}

fn put(store: &Store, bytes: &[u8]) -> io::Result<()> {
    let mut file = store.folder.temporary()?;
    file.as_file_mut().write_all(bytes)?;
    // The journal that it stands for is soon gone.
    file.as_file().sync_all()?;
    store.folder.put(file, FILE)
}

fn body(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    let mut body = Writer::new();
    body.number_field("format", FORMAT);
    each(connection, "SELECT inode, head, read FROM journal", |row| {
        let mut inner = Writer::new();
        inner.number(amount(row, 0)?).bytes(&row.get::<_, Vec<u8>>(1)?).number(amount(row, 2)?);
        body.field("journal", &inner.into_bytes());
        Ok(())
    })?;
    each(connection, "SELECT day, name, event, reason, count, saved, bytes FROM statistic", |row| {
        let mut inner = Writer::new();
        inner.signed(row.get(0)?);
        for n in 1..=3 {
            inner.bytes(row.get::<_, String>(n)?.as_bytes());
        }
        for n in 4..=6 {
            inner.number(amount(row, n)?);
        }
        body.field("statistic", &inner.into_bytes());
        Ok(())
    })?;
    each(connection, "SELECT key, hits, last_used FROM usage", |row| {
        let mut inner = Writer::new();
        inner.raw(&row.get::<_, [u8; 32]>(0)?).number(amount(row, 1)?).signed(row.get(2)?);
        body.field("usage", &inner.into_bytes());
        Ok(())
    })?;
    each(connection, "SELECT command, time, reason, detail FROM refusal", |row| {
        let mut inner = Writer::new();
        inner.raw(&row.get::<_, [u8; 32]>(0)?).signed(row.get(1)?);
        for n in 2..=3 {
            inner.bytes(row.get::<_, String>(n)?.as_bytes());
        }
        body.field("refusal", &inner.into_bytes());
        Ok(())
    })?;
    Ok(body.into_bytes())
}

fn each(
    connection: &Connection,
    question: &str,
    mut take: impl FnMut(&rusqlite::Row) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(question)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn amount(row: &rusqlite::Row, n: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(n).map(|amount| amount.max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, call, cuts_and_flips};

    #[test]
    fn every_flipped_bit_and_every_cut_is_a_fault() {
        let world = World::new();
        let store = &world.store;
        let key = world.record(call("a")).key;
        store.used(&key, 7, "cc".into());
        drop(store.catalogue().unwrap());
        let mut connection = store.live().ok().unwrap();
        let transaction = connection.transaction().unwrap();
        assert!(write(&transaction, store, Pruning::Nothing).unwrap());
        assert_eq!(fault(store).unwrap(), None);
        let file = store.folder().join(FILE);
        let whole = std::fs::read(&file).unwrap();
        for (number, bytes) in cuts_and_flips(&whole).chain([whole.repeat(2)]).enumerate() {
            std::fs::write(&file, bytes).unwrap();
            assert!(fault(store).unwrap().is_some(), "{number}");
        }
    }

    #[test]
    fn the_ledger_of_a_newer_fleche_is_told() {
        for (format, is_newer) in [(0, false), (FORMAT, false), (FORMAT + 1, true)] {
            let mut value = Writer::new();
            value.number(format);
            let value = value.into_bytes();
            let read = line((b"format", &value));
            assert_eq!(matches!(read, Err(Malformed::NEWER)), is_newer, "{format}");
            assert_eq!(matches!(read, Ok(Line::Nothing)), !is_newer, "{format}");
        }
    }

    #[test]
    fn the_ledger_of_a_group_is_no_larger_than_it_ever_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::testing::shared(&folder);
        let file = std::fs::File::create(store.folder().join(FILE)).unwrap();
        file.set_len(LARGEST_SHARED + 1).unwrap();
        assert_eq!(fault(&store).unwrap(), Some(format!("it has {} bytes", LARGEST_SHARED + 1)));
    }
}
