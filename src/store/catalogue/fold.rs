//! Bringing the catalogue up to date with the files.
//!
//! Which calls there are, their folders say: a folder whose modification time is the one remembered has the same calls
//! in it. What happened to them, the journal says: hits, misses, calls that were replaced. So a journal line that
//! was lost costs a count and never a call.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::super::folder::{Folder, call_name};
use super::super::{Progress, Store, journal};
use super::entry::{self, FileFacts, Ids, number};
use super::ledger::{self, Pruning, Standing};
use crate::model::{Digest, Event, Exchange, Key, Reason};
use crate::sys::{clock, stamp};

/// A folder that changed less than this long ago, in nanoseconds, may change again without another modification time.
const SETTLED: u64 = 2_000_000_000;
/// A journal that is larger than this, in bytes, makes room for a new one.
const ROTATED: u64 = 4 << 20;
const DAY: i64 = 86_400 * 1_000_000_000;

/// How often the journals are read again because somebody rotated them meanwhile.
const ATTEMPTS: usize = 5;

/// Whose books are brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Books {
    /// Those of the store: there is one at a time who writes them, and so the journal can make room.
    Kept,
    /// A copy.
    Copied,
}

/// Reads what is new in the store into the catalogue; shows how many of the folders of calls were compared. Gives how many
/// calls, folders of them or journals could not be read.
pub(super) fn fold(
    connection: &mut Connection,
    store: &Store,
    books: Books,
    progress: Progress,
) -> rusqlite::Result<u64> {
    let mut fold = Fold::new(store);
    for shard in 0..=255 {
        progress(u64::from(shard), 256);
        fold.survey(connection, shard)?;
    }
    progress(256, 256);
    for attempt in 1.. {
        let transaction = fold.transaction(connection)?;
        let before = ledger::digest(store);
        let standing = ledger::reconcile(&transaction, store)?;
        for name in [journal::OLD, journal::CURRENT] {
            fold.journal(&transaction, name)?;
        }
        // Another ledger: between two looks one journal took the place of another, and a third was not seen.
        let is_torn = books == Books::Copied && ledger::digest(store) != before;
        if is_torn && attempt < ATTEMPTS {
            transaction.rollback()?;
            // What was taken in of it is forgotten.
            fold.forget();
            fold.ends = ends(store).ok();
            continue;
        }
        if books == Books::Kept {
            fold.rotate(&transaction, standing)?;
        }
        transaction.commit()?;
        break;
    }
    Ok(fold.unread)
}

/// A longer line of the journal, in bytes, is none of ours, and is passed over in pieces.
const LONGEST: u64 = 64 << 10;

struct Fold<'store> {
    store: &'store Store,
    /// Where the journals ended before the first call was read, by their inodes; `None` where a journal could not be read.
    /// What follows is for the next time: it may tell of a call whose file became another after it was read here.
    ends: Option<HashMap<u64, u64>>,
    ids: Ids,
    /// Calls that were read just now.
    fresh: HashSet<Key>,
    /// How many calls, folders of them or journals could not be read now, and perhaps can be another time.
    unread: u64,
    /// What SQLite calls the catalogue's state, as others left it; see [`Fold::transaction`].
    version: Option<i64>,
}

impl<'store> Fold<'store> {
    fn new(store: &'store Store) -> Fold<'store> {
        Fold { store, ends: ends(store).ok(), ids: Ids::default(), fresh: HashSet::new(), unread: 0, version: None }
    }

    /// Begins to write. Others may have written since the last time, and even put another catalogue in the place of this
    /// one, in which paths and words have other numbers and what was read here never was: that is forgotten.
    fn transaction<'c>(&mut self, connection: &'c mut Connection) -> rusqlite::Result<Transaction<'c>> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = transaction.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.version.replace(version).is_some_and(|before| before != version) {
            self.forget();
        }
        Ok(transaction)
    }

    /// Forgets what was taken in.
    fn forget(&mut self) {
        self.ids = Ids::default();
        self.fresh.clear();
    }

    /// Compares one folder of calls with the catalogue, if it changed.
    fn survey(&mut self, connection: &mut Connection, shard: u8) -> rusqlite::Result<()> {
        let folder = format!("calls/{shard:02x}");
        // What cannot be looked at is looked at next time.
        let Ok(stat) = self.store.folder.stat(&folder) else {
            self.unread += 1;
            return Ok(());
        };
        let modified = stat.map_or(0, |stat| stamp::from_stat(&stat).modified);
        let mut known = connection.prepare_cached("SELECT modified FROM shard WHERE shard = ?1")?;
        let before: Option<i64> = known.query_row([shard], |row| row.get(0)).optional()?;
        drop(known);
        if before.unwrap_or(0) == modified {
            return Ok(());
        }
        let settled = clock::now().saturating_sub(modified).unsigned_abs() > SETTLED;
        let Ok(present) = keys_in(&self.store.folder, shard, &folder) else {
            self.unread += 1;
            return Ok(());
        };
        let transaction = self.transaction(connection)?;
        let listed = listed_keys(&transaction, shard)?;
        for gone in listed.difference(&present) {
            entry::remove(&transaction, gone)?;
        }
        let unread = self.unread;
        for new in present.difference(&listed) {
            self.read(&transaction, new)?;
        }
        if settled && self.unread == unread {
            let save = "INSERT INTO shard (shard, modified) VALUES (?1, ?2)
                ON CONFLICT (shard) DO UPDATE SET modified = excluded.modified";
            transaction.execute(save, params![shard, modified])?;
        }
        transaction.commit()
    }

    /// Reads a call's file into the catalogue, once; one that is gone or damaged leaves it.
    fn read(&mut self, connection: &Connection, key: &Key) -> rusqlite::Result<()> {
        if !self.fresh.insert(*key) {
            return Ok(());
        }
        match self.store.call_and_stat(key) {
            Ok(Some((call, stat))) => {
                let facts = FileFacts { bytes: stat.st_size as u64, used: stamp::from_stat(&stat).modified };
                entry::insert(connection, &call, &facts, &mut self.ids)
            }
            Ok(None) | Err(Reason::Damaged(_)) => entry::remove(connection, key),
            Err(_) => {
                self.unread += 1;
                self.fresh.remove(key);
                Ok(())
            }
        }
    }

    /// Reads what was appended to a journal.
    fn journal(&mut self, transaction: &Transaction, name: &str) -> rusqlite::Result<()> {
        let (Some(ends), Ok(found)) = (&self.ends, headed(&self.store.folder, name)) else {
            self.unread += 1;
            return Ok(());
        };
        let Some((mut file, inode, head)) = found else { return Ok(()) };
        // One that was begun meanwhile has none.
        let Some(end) = ends.get(&inode).copied() else { return Ok(()) };
        let mut known = transaction.prepare_cached("SELECT read FROM journal WHERE inode = ?1 AND head = ?2")?;
        let read: Option<i64> = known.query_row(params![number(inode), head], |row| row.get(0)).optional()?;
        let start = read.map_or(0, |read| read.max(0) as u64);
        if end <= start {
            return Ok(());
        }
        if file.seek(SeekFrom::Start(start)).is_err() {
            self.unread += 1;
            return Ok(());
        }
        let end = start + self.lines(transaction, file.take(end - start))?;
        let save = "INSERT INTO journal (inode, head, read) VALUES (?1, ?2, ?3)
            ON CONFLICT (inode) DO UPDATE SET head = excluded.head, read = excluded.read";
        transaction.execute(save, params![number(inode), head, number(end)]).map(drop)
    }

    /// Takes in whole lines, as far as they can be read; gives their length in bytes. A line without an end may still get one.
    fn lines(&mut self, transaction: &Transaction, journal: Take<File>) -> rusqlite::Result<u64> {
        let mut reader = BufReader::with_capacity(1 << 16, journal);
        let (mut line, mut taken) = (Vec::new(), 0);
        loop {
            let Ok(length) = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line) else {
                self.unread += 1;
                break;
            };
            if length == 0 || !(line.ends_with(b"\n") || line.len() as u64 == LONGEST) {
                break;
            }
            if let Some((time, event)) = journal::event(&line[..line.len() - 1]) {
                self.event(transaction, time, &event)?;
            }
            taken += line.len() as u64;
            line.clear();
        }
        Ok(taken)
    }

    fn event(&mut self, transaction: &Transaction, time: i64, event: &Event) -> rusqlite::Result<()> {
        let day = time.div_euclid(DAY);
        match event {
            Event::Stored { key, bytes, name, why } => {
                self.read(transaction, key)?;
                count(transaction, &Count { bytes: *bytes, reason: why, ..Count::of(day, "stored", name) })
            }
            Event::Copied { key, bytes, name } => {
                self.read(transaction, key)?;
                count(transaction, &Count { bytes: *bytes, ..Count::of(day, "copied", name) })
            }
            Event::Tagged { key } => self.read(transaction, key),
            // For who runs at that moment, and for nobody later.
            Event::Contested { .. } => Ok(()),
            Event::Renamed { from, to } => {
                self.read(transaction, to)?;
                // Moved and not copied: told twice, as when a renaming that was cut short is begun anew, it counts once.
                let inherited = "INSERT INTO usage (key, hits, last_used)
                    SELECT ?1, hits, last_used FROM usage WHERE key = ?2 AND key <> ?1
                    ON CONFLICT (key) DO UPDATE
                    SET hits = hits + excluded.hits, last_used = max(last_used, excluded.last_used)";
                transaction.prepare_cached(inherited)?.execute([&to.0.0, &from.0.0])?;
                let moved = "DELETE FROM usage WHERE key = ?2 AND key <> ?1";
                transaction.prepare_cached(moved)?.execute([&to.0.0, &from.0.0])?;
                self.derive(transaction, to)?;
                self.derive(transaction, from)
            }
            Event::Hit { key, saved, name } => {
                let noted = "INSERT INTO usage (key, hits, last_used) VALUES (?1, 1, ?2)
                    ON CONFLICT (key) DO UPDATE SET hits = hits + 1, last_used = max(last_used, excluded.last_used)";
                transaction.prepare_cached(noted)?.execute(params![key.0.0, time])?;
                let used = "UPDATE call SET hits = hits + 1, last_used = max(last_used, ?2) WHERE key = ?1";
                transaction.prepare_cached(used)?.execute(params![key.0.0, time])?;
                count(transaction, &Count { saved: *saved, ..Count::of(day, "hit", name) })
            }
            Event::NotStored { command, reason, detail, name } => {
                let refused = "INSERT INTO refusal (command, time, reason, detail) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT (command) DO UPDATE
                    SET time = excluded.time, reason = excluded.reason, detail = excluded.detail";
                transaction.prepare_cached(refused)?.execute(params![command.0.0, time, reason, detail])?;
                count(transaction, &Count { reason, ..Count::of(day, "missed", name) })
            }
            Event::Evicted { key } => {
                transaction.prepare_cached("DELETE FROM usage WHERE key = ?1")?.execute([&key.0.0])?;
                // Where it was stored again since, it begins anew.
                self.derive(transaction, key)?;
                count(transaction, &Count::of(day, "evicted", ""))
            }
            Event::Asked { exchange, saved, .. } => exchanged(transaction, day, ["asked", "asking"], exchange, *saved),
            Event::Sent { exchange, .. } => exchanged(transaction, day, ["sent", "sending"], exchange, 0),
        }
    }

    /// Sets a call's hits and last use to what its file and the journals say; one that is gone leaves the catalogue.
    fn derive(&self, transaction: &Transaction, key: &Key) -> rusqlite::Result<()> {
        match self.store.folder.stat(&call_name(key)) {
            Ok(None) => entry::remove(transaction, key),
            Ok(Some(stat)) => {
                let derived = "UPDATE call SET (hits, last_used) = (SELECT coalesce(max(hits), 0),
                    max(?2, coalesce(max(last_used), ?2)) FROM usage WHERE usage.key = ?1) WHERE key = ?1";
                let modified = stamp::from_stat(&stat).modified;
                transaction.prepare_cached(derived)?.execute(params![key.0.0, modified]).map(drop)
            }
            Err(_) => Ok(()),
        }
    }

    /// Lets a large journal make room, once it was read and the ledger holds what was in it. Who has it open may still
    /// append: it is read again next time.
    fn rotate(&self, transaction: &Transaction, standing: Standing) -> rusqlite::Result<()> {
        let folder = &self.store.folder;
        let Ok(stat) = folder.stat(journal::CURRENT) else { return Ok(()) };
        let (inode, length) = stat.map_or((0, 0), |stat| (stat.st_ino, stat.st_size as u64));
        let ledger = folder.stat(ledger::FILE).ok().flatten().map_or(0, |stat| stat.st_size as u64);
        // Not below the ledger's own size, or a large one would be written for every few megabytes.
        let is_full = length > ROTATED.max(ledger);
        let is_due = is_full || standing == Standing::Lost;
        if standing == Standing::Newer || !is_due || !ledger::write(transaction, self.store, self.pruning())? {
            return Ok(());
        }
        if !is_full || folder.replace(journal::CURRENT, journal::OLD).is_err() {
            return Ok(());
        }
        // The one before it is gone, and its inode number may come again.
        transaction.execute("DELETE FROM journal WHERE inode <> ?1", [number(inode)]).map(drop)
    }

    /// A call that could merely not be read is not gone.
    fn pruning(&self) -> Pruning {
        if self.unread == 0 { Pruning::CallsThatAreGone } else { Pruning::Nothing }
    }
}

/// Where the journals end now, by their inodes.
fn ends(store: &Store) -> io::Result<HashMap<u64, u64>> {
    let mut ends = HashMap::new();
    // The current one first: it may take the place of the other in between, and is then met again.
    for name in [journal::CURRENT, journal::OLD] {
        if let Some((file, inode)) = journal::open(&store.folder, name)? {
            ends.insert(inode, file.metadata()?.len());
        }
    }
    Ok(ends)
}

/// A journal with its inode and what it is known by; `None` where there is none, or too little in it.
fn headed(folder: &Folder, name: &str) -> io::Result<Option<(File, u64, [u8; journal::HEAD])>> {
    let Some((file, inode)) = journal::open(folder, name)? else { return Ok(None) };
    Ok(journal::head(&file)?.map(|head| (file, inode, head)))
}

fn keys_in(folder: &Folder, shard: u8, name: &str) -> std::io::Result<HashSet<Key>> {
    let names = folder.names(name)?;
    let key = |name: Vec<u8>| format!("{shard:02x}{}", String::from_utf8(name).ok()?).parse().ok().map(Key);
    Ok(names.into_iter().filter_map(key).collect())
}

fn listed_keys(connection: &Connection, shard: u8) -> rusqlite::Result<HashSet<Key>> {
    let (mut first, mut last) = ([0; 32], [0xff; 32]);
    (first[0], last[0]) = (shard, shard);
    let mut statement = connection.prepare_cached("SELECT key FROM call WHERE key BETWEEN ?1 AND ?2")?;
    let keys = statement.query_map([first, last], |row| row.get(0).map(|key| Key(Digest(key))))?;
    keys.collect()
}

/// Counts what passed between here and a store beyond this machine: once under the first name, and under the second one its
/// requests and how long they took.
fn exchanged(
    transaction: &Transaction,
    day: i64,
    [once, each]: [&'static str; 2],
    exchange: &Exchange,
    saved: u64,
) -> rusqlite::Result<()> {
    let Exchange { cache, reply, requests, bytes, took } = exchange;
    let of = |event| Count { reason: reply.name(), ..Count::of(day, event, cache) };
    count(transaction, &Count { saved, bytes: *bytes, ..of(once) })?;
    count(transaction, &Count { times: *requests, saved: *took, ..of(each) })
}

/// What is added to a line of the statistics.
struct Count<'event> {
    day: i64,
    event: &'static str,
    name: &'event str,
    reason: &'event str,
    times: u64,
    saved: u64,
    bytes: u64,
}

impl<'event> Count<'event> {
    fn of(day: i64, event: &'static str, name: &'event str) -> Count<'event> {
        Count { day, event, name, reason: "", times: 1, saved: 0, bytes: 0 }
    }
}

fn count(transaction: &Transaction, count: &Count) -> rusqlite::Result<()> {
    let add =
        "INSERT INTO statistic (day, name, event, reason, count, saved, bytes) VALUES (?1, ?2, ?3, ?4, ?7, ?5, ?6)
        ON CONFLICT (day, name, event, reason) DO UPDATE
        SET count = count + excluded.count, saved = saved + excluded.saved, bytes = bytes + excluded.bytes";
    let mut statement = transaction.prepare_cached(add)?;
    let (saved, bytes) = (number(count.saved), number(count.bytes));
    let Count { day, name, event, reason, times, .. } = count;
    statement.execute(params![day, name, event, reason, saved, bytes, number(*times)]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::model::Call;
    use crate::store::catalogue::{Catalogue, Selection};
    use crate::store::testing::{World, call};

    fn statistics(catalogue: &Catalogue) -> Vec<(String, String, i64, i64)> {
        let question =
            "SELECT event, name || reason, sum(count), sum(saved) FROM statistic GROUP BY 1, 2 ORDER BY 1, 2";
        let mut statement = catalogue.connection.prepare(question).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        rows.map(|row| row.unwrap()).collect()
    }

    fn line(event: &str, name: &str, count: i64, saved: i64) -> (String, String, i64, i64) {
        (event.into(), name.into(), count, saved)
    }

    fn hit_of(call: &crate::model::Call) -> Event {
        Event::Hit { key: call.key, saved: 5, name: "cc".into() }
    }

    #[test]
    fn every_line_counts_once() {
        let world = World::new();
        let stored = world.record(call("a"));
        let hit = || world.store.note(&hit_of(&stored));
        hit();
        world.store.note(&Event::NotStored {
            command: call("b").command,
            reason: "exit".into(),
            detail: String::new(),
            name: "b".into(),
        });
        let expected = [line("hit", "cc", 1, 5), line("missed", "bexit", 1, 0), line("stored", "ccno-call", 1, 0)];
        assert_eq!(statistics(&world.store.catalogue().unwrap()), expected);
        assert_eq!(statistics(&world.store.catalogue().unwrap()), expected);
        hit();
        assert_eq!(statistics(&world.store.catalogue().unwrap())[0], line("hit", "cc", 2, 10));
    }

    #[test]
    fn what_is_told_of_a_call_after_it_was_read_is_not_lost() {
        let world = World::new();
        let stored = world.record(call("a"));
        let tagged = Cell::new(false);
        drop(world.store.catalogue().unwrap());
        let mut connection = Connection::open(world.store.folder().join("index.sqlite")).unwrap();
        // Read by a line of the journal, or because it is new.
        for (name, told) in [("first", true), ("second", false)] {
            if told {
                world.store.note(&Event::Tagged { key: stored.key });
            } else {
                world.store.note(&Event::Evicted { key: Key(Digest([9; 32])) });
                connection.execute("DELETE FROM call", []).unwrap();
                connection.execute("DELETE FROM shard", []).unwrap();
            }
            tagged.set(false);
            let tag = |done: u64, _: u64| {
                if done == 256 && !tagged.replace(true) {
                    assert_eq!(
                        world.store.tag(&stored.key, |tags| drop(tags.insert(name.into(), "1".into()))),
                        Ok(true)
                    );
                }
            };
            fold(&mut connection, &world.store, Books::Kept, &tag).unwrap();
            assert!(tagged.get());
            fold(&mut connection, &world.store, Books::Kept, &|_, _| {}).unwrap();
            let names = world.store.catalogue().unwrap().tag_names(&Selection::default()).unwrap();
            assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
        }
    }

    #[test]
    fn a_folder_that_changed_a_while_ago_is_known_again() {
        let world = World::new();
        let file = world.store.folder().join(call_name(&world.record(call("a")).key));
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(99);
        File::open(file.parent().unwrap()).unwrap().set_modified(long_ago).unwrap();
        let catalogue = world.store.catalogue().unwrap();
        let known: i64 = catalogue.connection.query_row("SELECT count(*) FROM shard", [], |row| row.get(0)).unwrap();
        assert_eq!(known, 1);
    }

    #[test]
    fn bytes_that_were_stored_and_copied_are_counted() {
        let world = World::new();
        let (key, name, why) = (call("a").key, "cc".to_owned(), "no-call".to_owned());
        world.store.note(&Event::Stored { key, bytes: 7, name: name.clone(), why });
        world.store.note(&Event::Copied { key, bytes: 9, name });
        let catalogue = world.store.catalogue().unwrap();
        let bytes = |event: &str| -> i64 {
            let question = "SELECT sum(bytes) FROM statistic WHERE event = ?1";
            catalogue.connection.query_row(question, [event], |row| row.get(0)).unwrap()
        };
        assert_eq!((bytes("stored"), bytes("copied")), (7, 9));
    }

    #[test]
    fn a_call_that_cannot_be_read_now_is_read_another_time() {
        let world = World::new();
        let stored = world.record(call("a"));
        let file = world.store.folder().join(call_name(&stored.key));
        let whole = fs::read(&file).unwrap();
        // A newer fleche wrote it: whole, but not for us. Its version stands under the digest like everything else.
        let mut newer = [&whole[..7], &[0xff]].concat();
        let digest = blake3::Hasher::new().update(&newer).finalize();
        newer.extend_from_slice(digest.as_bytes());
        fs::write(&file, newer).unwrap();
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(99);
        File::open(file.parent().unwrap()).unwrap().set_modified(long_ago).unwrap();
        let count = || world.store.catalogue().unwrap().count(&Selection::default()).unwrap();
        assert_eq!(count(), 0);
        fs::write(&file, whole).unwrap();
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_line_without_an_end_waits_for_it_and_rubbish_is_passed_over() {
        let world = World::new();
        let stored = world.record(call("a"));
        let whole = journal::line(9, &hit_of(&stored));
        let mut file = world.store.folder.open_to_append(journal::CURRENT).unwrap();
        file.write_all(&[b"rubbish\n\xff\tmore\n", &whole.as_bytes()[..30]].concat()).unwrap();
        assert_eq!(statistics(&world.store.catalogue().unwrap()), [line("stored", "ccno-call", 1, 0)]);
        file.write_all(&whole.as_bytes()[30..]).unwrap();
        assert_eq!(statistics(&world.store.catalogue().unwrap())[0], line("hit", "cc", 1, 5));
    }

    #[test]
    fn a_large_journal_makes_room_and_nothing_is_counted_twice_or_lost() {
        let world = World::new();
        let stored = world.record(call("a"));
        let hit = journal::line(9, &hit_of(&stored));
        let many = ROTATED as usize / hit.len() + 1;
        let mut late = world.store.folder.open_to_append(journal::CURRENT).unwrap();
        late.write_all(hit.repeat(many).as_bytes()).unwrap();
        let hits = |catalogue: &Catalogue| statistics(catalogue)[0].2;
        assert_eq!(hits(&world.store.catalogue().unwrap()), many as i64);
        assert!(!world.store.folder().join(journal::CURRENT).exists());
        late.write_all(hit.as_bytes()).unwrap();
        world.store.note(&hit_of(&stored));
        assert_eq!(hits(&world.store.catalogue().unwrap()), many as i64 + 2);
        assert_eq!(hits(&world.store.catalogue().unwrap()), many as i64 + 2);
        fs::remove_file(world.store.folder().join("index.sqlite")).unwrap();
        assert_eq!(hits(&world.store.catalogue().unwrap()), many as i64 + 2);
    }

    #[test]
    fn a_journal_that_was_begun_anew_is_read_from_its_beginning() {
        let world = World::new();
        let stored = world.record(call("a"));
        world.store.catalogue().unwrap();
        // Emptied in place: the inode number stays.
        let hit = |time| journal::line(time, &hit_of(&stored));
        fs::write(world.store.folder().join(journal::CURRENT), [hit(1), hit(2), hit(3)].concat()).unwrap();
        assert_eq!(statistics(&world.store.catalogue().unwrap())[0], line("hit", "cc", 3, 15));
    }

    #[test]
    fn a_fold_that_a_reindex_interrupts_gives_every_call_its_own_words() {
        let world = World::new();
        let of = |shard: u8, folder: &str| {
            let mut made = call(folder);
            (made.key, made.cwd) = (Key(Digest([shard; 32])), folder.into());
            made
        };
        // Its words have the first numbers, and no call has them any more.
        world.record(of(0, "/gone"));
        world.store.catalogue().unwrap();
        world.store.remove(&Key(Digest([0; 32]))).unwrap();
        world.record(of(1, "/kept"));
        let mut connection = world.store.live().ok().unwrap();
        let mut fold = Fold::new(&world.store);
        fold.survey(&mut connection, 1).unwrap();
        // Words of the first call have other numbers now.
        world.store.reindex(&|_, _| {}).unwrap();
        let late = Call { command: call("late").command, ..of(2, "/kept") };
        world.record(late);
        fold.survey(&mut connection, 2).unwrap();
        drop(connection);
        let question = "SELECT (SELECT text FROM word WHERE id = cwd) FROM call ORDER BY key";
        let catalogue = world.store.catalogue().unwrap();
        let mut statement = catalogue.connection.prepare(question).unwrap();
        let folders: Vec<Option<String>> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(folders, [Some("/kept".into()), Some("/kept".into())]);
    }

    #[test]
    fn the_use_of_a_call_that_cannot_be_read_now_is_not_forgotten() {
        let world = World::new();
        let stored = world.record(call("a"));
        world.store.note(&hit_of(&stored));
        world.store.catalogue().unwrap();
        let file = world.store.folder().join(call_name(&stored.key));
        let whole = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        world.store.catalogue().unwrap();
        // A newer fleche wrote it.
        let mut newer = [&whole[..7], &[0xff]].concat();
        let digest = blake3::Hasher::new().update(&newer).finalize();
        newer.extend_from_slice(digest.as_bytes());
        fs::write(&file, newer).unwrap();
        let mut journal = world.store.folder.open_to_append(journal::CURRENT).unwrap();
        journal.write_all(&[b"x".repeat(1023), b"\n".to_vec()].concat().repeat(4100)).unwrap();
        world.store.catalogue().unwrap();
        assert!(world.store.folder().join(journal::OLD).exists());
        fs::write(&file, whole).unwrap();
        let hits = |catalogue: &Catalogue| -> i64 {
            catalogue.connection.query_row("SELECT hits FROM call", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(hits(&world.store.catalogue().unwrap()), 1);
    }
}
