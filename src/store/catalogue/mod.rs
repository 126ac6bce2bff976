//! The catalogue: what the files say, as tables, for questions that need more than one exact look-up.
//!
//! Nothing here is needed to run or replay a command, and all of it can be made again from the files, so a
//! catalogue that is lost, damaged, locked or cannot be written is never a reason to refuse an answer: it is put aside
//! and rebuilt, or built in memory; one that others keep writing answers as it was left. Only what a newer fleche made is
//! left alone.

mod accounts;
mod agreement;
mod column;
mod entry;
mod fold;
mod forgetting;
mod joint;
mod ledger;
mod neighbours;
mod peek;
mod prefixes;
mod reachable;
mod reindex;
mod rows;
mod schema;
mod selection;
mod statistics;

use std::cell::Cell;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use rustix::fs::fstatfs;

pub use column::{BUILT_IN, BuiltIn, Column};
use fold::Books;
#[cfg(fuzzing)]
pub use ledger::understood;
pub(super) use ledger::{FILE as LEDGER, fault as ledger_fault};
pub use neighbours::Refusal;
pub use peek::Peek;
pub(super) use reachable::{CallFacts, PIN};
pub use selection::{Condition, PathQuestion, Selection};
pub use statistics::{Counted, Period, Totals};

use super::folder::{Folder, is_file};
use super::{Access, Progress, Store};
use crate::error::Error;

const FILE: &str = "index.sqlite";
/// All files that SQLite may have made.
const FILES: [&str; 4] = [FILE, "index.sqlite-wal", "index.sqlite-shm", "index.sqlite-journal"];
/// How long a question waits for another one that writes.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it does once it has waited for all of that: a file system may have no locks.
const LEFT_PATIENCE: Duration = Duration::from_millis(100);

/// `f_type` of file systems on which processes can share memory, as WAL needs it: ext2 to 4, XFS, Btrfs, tmpfs, F2FS,
/// ZFS, overlay, bcachefs, ramfs. On all others, known or not, a rollback journal is used.
const LOCAL: [u64; 9] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010, 0x2fc1_2fc1, 0x794c_7630, 0xca45_1a4e, 0x8584_58f6];

/// An open catalogue that knows all that had happened when it was opened, or what it was left with where others kept
/// writing it.
#[derive(Debug)]
pub struct Catalogue {
    connection: Connection,
    /// Where its file is, if it has one.
    folder: Option<Arc<Folder>>,
    /// Whether a question met damage.
    damaged: Cell<bool>,
    state: State,
    /// How many calls, folders of them or journals could not be read when it was opened.
    unread: u64,
    /// By which name other connections of this process find it, if it has no file.
    shared: Option<String>,
    /// Those that this one answers for, which live as long.
    parts: Vec<Catalogue>,
}

/// What an open catalogue knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All that had happened.
    UpToDate,
    /// What somebody brought it up to before.
    AsLeft,
}

/// Why a catalogue was not opened.
enum Trouble {
    /// A newer fleche made it.
    Newer,
    /// SQLite says no.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

impl Store {
    /// Opens the catalogue and brings it up to date, with those of the stores behind this one.
    ///
    /// # Errors
    ///
    /// Where a newer fleche made it.
    pub fn catalogue(&self) -> Result<Catalogue, Error> {
        let own = self.own_catalogue()?;
        if self.behind.is_empty() {
            return Ok(own);
        }
        let mut all = vec![own];
        for member in &self.behind {
            let part = member.own_catalogue()?;
            // A folder that was copied has the numbers of the one that it was copied from.
            let is_apart = joint::are_apart(&all, &part).map_err(failed)?;
            all.push(if is_apart { part } else { member.catalogue_in_memory()? });
        }
        joint::joint(all)
    }

    /// The catalogue of this very store.
    pub(super) fn own_catalogue(&self) -> Result<Catalogue, Error> {
        if self.access == Access::ReadOnly {
            return self.catalogue_in_memory();
        }
        match self.catalogue_in_file() {
            // To read all files again because of somebody who writes would take longer than that.
            Err(Trouble::Sql(error)) if is_contended(&error) => {
                self.has_waited.store(true, Ordering::Relaxed);
                self.catalogue_as_left().ok().flatten().map_or_else(|| self.catalogue_in_memory(), Ok)
            }
            Err(Trouble::Sql(error)) if is_of_the_moment(&error) => self.catalogue_in_memory(),
            Err(Trouble::Sql(_)) => {
                put_aside(&self.folder);
                self.catalogue_in_file().or_else(|_| self.catalogue_in_memory())
            }
            Err(Trouble::Newer) => Err(self.unopened(Trouble::Newer)),
            Ok(catalogue) => Ok(catalogue),
        }
    }

    /// The same with all calls and all that had happened, for who acts on it.
    ///
    /// # Errors
    ///
    /// Where a newer fleche made it; where some of the calls cannot be read.
    pub(super) fn complete_catalogue(&self) -> Result<Catalogue, Error> {
        let mut catalogue = self.own_catalogue()?;
        if !catalogue.is_up_to_date() {
            catalogue = self.catalogue_in_memory()?;
        }
        catalogue.check_complete()?;
        Ok(catalogue)
    }

    fn catalogue_in_file(&self) -> Result<Catalogue, Trouble> {
        let mut catalogue = self.prepared(self.live()?, Books::Kept)?;
        catalogue.folder = Some(self.folder.clone());
        Ok(catalogue)
    }

    /// The catalogue's file as it was left, only to be read; `None` where it has no tables that could be.
    fn catalogue_as_left(&self) -> rusqlite::Result<Option<Catalogue>> {
        let mut connection = self.connected()?;
        if !schema::is_current(&connection)? {
            return Ok(None);
        }
        only_answer(&mut connection)?;
        let mut catalogue = Catalogue::of(connection, State::AsLeft);
        catalogue.folder = Some(self.folder.clone());
        Ok(Some(catalogue))
    }

    /// The catalogue's file, opened.
    fn connected(&self) -> rusqlite::Result<Connection> {
        if is_misplaced(&self.folder) {
            // It could not be put aside: SQLite would wait for a FIFO and write through a link.
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.file(), flags)?;
        set_limits(&connection)?;
        if self.has_waited.load(Ordering::Relaxed) {
            connection.busy_timeout(LEFT_PATIENCE)?;
        }
        Ok(connection)
    }

    /// The catalogue's file, with its tables, as it was left.
    fn live(&self) -> Result<Connection, Trouble> {
        if is_misplaced(&self.folder) {
            put_aside(&self.folder);
        }
        if !matches!(self.folder.stat(FILE), Ok(Some(_))) {
            // Made here, so that it and the files that SQLite puts beside it are for the user alone.
            let _ = self.folder.open_or_create(FILE);
        }
        let connection = self.connected()?;
        // Not WAL where its index cannot be shared memory (network file systems).
        let mode = if is_local(&self.folder) { "WAL" } else { "DELETE" };
        laid_out(connection, mode, "NORMAL")
    }

    /// A catalogue of the files as they are, which nobody else sees and nothing remembers.
    fn catalogue_in_memory(&self) -> Result<Catalogue, Error> {
        let shared = joint::name();
        let built = joint::open(&shared).map_err(Trouble::from);
        let built = built.and_then(|connection| self.prepared(laid_out(connection, "MEMORY", "OFF")?, Books::Copied));
        let mut built = built.map_err(|trouble| self.unopened(trouble))?;
        built.shared = Some(shared);
        Ok(built)
    }

    fn prepared(&self, mut connection: Connection, books: Books) -> Result<Catalogue, Trouble> {
        let unread = fold::fold(&mut connection, self, books, &|_, _| {})?;
        only_answer(&mut connection)?;
        let mut catalogue = Catalogue::of(connection, State::UpToDate);
        catalogue.unread = unread;
        Ok(catalogue)
    }

    fn unopened(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Newer => Error::failure(format!("a newer fleche made the catalogue `{}`", self.file().display())),
            Trouble::Sql(error) => failed(error),
        }
    }

    fn file(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), FILE)
    }
}

/// Whether others are at it.
fn is_contended(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the file is not to blame. Else it is corrupt, no database, no file, or has tables that are not ours.
fn is_of_the_moment(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
        )
    )
}

/// What every connection has.
fn set_limits(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A file that shrinks under a mapping would kill the process.
    connection.pragma_update(None, "mmap_size", 0)
}

/// A connection whose database has the tables of this version.
fn laid_out(mut connection: Connection, journal_mode: &str, synchronous: &str) -> Result<Connection, Trouble> {
    schema::check(&connection)?;
    connection.pragma_update(None, "journal_mode", journal_mode)?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What was evicted or redacted is gone, and not only out of sight.
    connection.pragma_update(None, "secure_delete", true)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// From now on the connection answers questions and changes nothing, whoever spells them.
fn only_answer(connection: &mut Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_UTF8;
    connection.create_scalar_function("holds", 2, flags, |context| {
        let (paths, path) = (context.get_raw(0).as_blob()?, context.get_raw(1).as_i64()?);
        Ok(entry::holds(paths, path))
    })?;
    connection.execute_batch(&column::view())?;
    connection.pragma_update(None, "query_only", true)?;
    connection.authorizer(Some(|asked: AuthContext<'_>| match asked.action {
        AuthAction::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Deny
        }
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }))
}

impl Catalogue {
    fn of(connection: Connection, state: State) -> Catalogue {
        let damaged = Cell::new(false);
        Catalogue { connection, folder: None, damaged, state, unread: 0, shared: None, parts: Vec::new() }
    }

    /// Makes sure that it lists all calls that are stored.
    ///
    /// # Errors
    ///
    /// Where some could not be read when it was opened.
    pub fn check_complete(&self) -> Result<(), Error> {
        match self.parts.iter().map(|part| part.unread).sum::<u64>() + self.unread {
            0 => Ok(()),
            1 => Err(Error::failure("1 call, folder of calls or journal cannot be read").hint("fleche verify")),
            some => Err(Error::failure(format!("{some} calls, folders of calls or journals cannot be read"))
                .hint("fleche verify")),
        }
    }

    /// Whether it knows all that had happened when it was opened: else others kept writing it.
    fn is_up_to_date(&self) -> bool {
        self.state == State::UpToDate
    }

    /// What to say when a question fails. A damaged catalogue is put aside when it is closed, so that asking again helps.
    fn failed(&self, error: rusqlite::Error) -> Error {
        let damaged = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => {
                matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            }
            // A column does not hold what was put in.
            other => matches!(
                other,
                rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
            ),
        };
        for catalogue in self.parts.iter().chain([self]) {
            catalogue.damaged.set(catalogue.damaged.get() || damaged);
        }
        failed(error)
    }
}

impl Drop for Catalogue {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.as_ref().filter(|_| self.damaged.get())
            && let Ok(other) = Connection::open_in_memory()
        {
            // Closed first: SQLite then deletes its side files by name, and those names may soon be another catalogue's.
            drop(mem::replace(&mut self.connection, other));
            put_aside(folder);
        }
    }
}

/// Moves the catalogue to quarantine; the next one is built from the files.
fn put_aside(folder: &Folder) {
    for name in FILES {
        if let Ok(Some(_)) = folder.stat(name) {
            // What cannot be moved is met again, and then the catalogue is built in memory.
            let _ = folder.quarantine(name);
        }
    }
}

/// Whether one of its files is none, but a link or a FIFO.
fn is_misplaced(folder: &Folder) -> bool {
    FILES.iter().any(|name| folder.stat(name).ok().flatten().is_some_and(|stat| !is_file(&stat)))
}

fn is_local(folder: &Folder) -> bool {
    fstatfs(folder.directory()).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32 as u64)))
}

fn failed(error: rusqlite::Error) -> Error {
    Error::failure("cannot read the catalogue").because(error)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::{Event, Fact, Key};
    use crate::store::testing::{World, call, everything};

    /// All that the catalogue knows of calls, in a fixed order.
    fn known(catalogue: &Catalogue) -> Vec<Vec<Fact>> {
        let tags = ["project", "more"].map(|name| Column::Tag(name.into()));
        let columns: Vec<Column> = BUILT_IN.iter().map(Column::BuiltIn).chain(tags).collect();
        let by_key = Selection { sort: Column::named("key"), ..Selection::default() };
        catalogue.rows(&by_key, &columns).unwrap()
    }

    fn hits(rows: &[Vec<Fact>]) -> i64 {
        let place = BUILT_IN.iter().position(|column| column.name == "hits").unwrap();
        rows.iter().map(|row| if let Fact::Number(hits) = row[place] { hits } else { 0 }).sum()
    }

    fn world_of(names: &[&str]) -> World {
        let world = World::new();
        for name in names {
            world.record(call(name));
        }
        world
    }

    fn remove_index(world: &World) {
        for name in FILES {
            let _ = fs::remove_file(world.store.folder().join(name));
        }
    }

    #[test]
    fn what_is_folded_step_by_step_is_what_is_rebuilt_at_once() {
        let world = world_of(&["a", "b"]);
        let hit = |name: &str| world.store.note(&Event::Hit { key: call(name).key, saved: 7, name: "cc".into() });
        known(&world.store.catalogue().unwrap());
        hit("a");
        hit("a");
        world.record(call("c"));
        known(&world.store.catalogue().unwrap());
        world.store.remove(&call("b").key).unwrap();
        hit("c");
        let mut changed = call("a");
        changed.tags.insert("more".into(), "yes".into());
        world.record(changed);
        let folded = known(&world.store.catalogue().unwrap());
        assert_eq!(hits(&folded), 3);
        assert_eq!(folded.len(), 2);
        remove_index(&world);
        assert_eq!(known(&world.store.catalogue().unwrap()), folded);
    }

    #[test]
    fn a_call_whose_journal_line_was_lost_is_found_all_the_same() {
        let world = world_of(&["a"]);
        world.store.catalogue().unwrap();
        world.record(call("b"));
        fs::write(world.store.folder().join("journal"), "").unwrap();
        assert_eq!(known(&world.store.catalogue().unwrap()).len(), 2);
        fs::remove_file(world.store.folder().join(crate::store::folder::call_name(&call("a").key))).unwrap();
        assert_eq!(known(&world.store.catalogue().unwrap()).len(), 1);
    }

    #[test]
    fn a_damaged_catalogue_is_put_aside_and_rebuilt() {
        let world = world_of(&["a"]);
        let expected = known(&world.store.catalogue().unwrap());
        let file = world.store.folder().join(FILE);
        let whole = fs::read(&file).unwrap();
        let elsewhere = world.store.folder().join("elsewhere");
        let harms: [&dyn Fn(); 6] = [
            &|| fs::write(&file, "not a database, but long enough to be read as one").unwrap(),
            &|| fs::write(&file, &whole[..1000]).unwrap(),
            &|| fs::write(&file, [&whole[..100], &vec![0xff; whole.len() - 100]].concat()).unwrap(),
            &|| fs::write(&file, "").unwrap(),
            &|| {
                fs::remove_file(&file).unwrap();
                fs::create_dir(&file).unwrap();
            },
            &|| {
                fs::rename(&file, &elsewhere).unwrap();
                std::os::unix::fs::symlink("elsewhere", &file).unwrap();
            },
        ];
        for (number, harm) in harms.iter().enumerate() {
            harm();
            assert_eq!(known(&world.store.catalogue().unwrap()), expected, "{number}");
            let found = fs::symlink_metadata(&file).unwrap();
            assert_eq!((found.is_file(), found.permissions().mode() & 0o777), (true, 0o600), "{number}");
        }
    }

    #[test]
    fn a_catalogue_whose_answer_is_damaged_is_put_aside_when_it_is_closed() {
        let world = world_of(&["a"]);
        let file = world.store.folder().join(FILE);
        for (error, is_damaged) in [
            (rusqlite::Error::IntegralValueOutOfRange(0, 0), true),
            (rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), None), true),
            (rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None), false),
        ] {
            let catalogue = world.store.catalogue().unwrap();
            catalogue.failed(error);
            assert!(file.exists());
            drop(catalogue);
            assert_eq!(file.exists(), !is_damaged);
        }
    }

    #[test]
    fn a_catalogue_that_cannot_be_written_now_is_left_and_one_in_memory_answers() {
        let world = world_of(&["a"]);
        world.store.catalogue().unwrap();
        let file = world.store.folder().join(FILE);
        let mut bytes = fs::read(&file).unwrap();
        // The version for writers: SQLite only reads what a later one than it knows is for.
        bytes[18] = 3;
        fs::write(&file, &bytes).unwrap();
        world.record(call("b"));
        assert_eq!(known(&world.store.catalogue().unwrap()).len(), 2);
        assert!(world.store.reindex(&|_, _| {}).is_err());
        assert!(fs::read(&file).unwrap() == bytes);
        assert!(!world.store.folder().join("quarantine").exists());
    }

    #[test]
    fn what_could_not_be_read_is_told() {
        let world = World::new();
        let mut catalogue = world.store.catalogue().unwrap();
        let told = [0, 1, 2].map(|unread| {
            catalogue.unread = unread;
            catalogue.check_complete().map_err(|why| why.to_string())
        });
        assert_eq!(told[0], Ok(()));
        assert!(told[1].as_ref().is_err_and(|why| why.starts_with("1 call,")), "{told:?}");
        assert!(told[2].as_ref().is_err_and(|why| why.starts_with("2 calls,")), "{told:?}");
    }

    #[test]
    fn a_call_that_was_rewritten_by_one_who_died_is_read_again() {
        let world = world_of(&["a"]);
        known(&world.store.catalogue().unwrap());
        let mut changed = call("a");
        changed.tags.insert("more".into(), "yes".into());
        let mut recording = world.store.recording().unwrap();
        // Without the line that follows it.
        recording.place(&changed, crate::store::Durability::Buffered, None).unwrap();
        drop(recording);
        let known_now = known(&world.store.catalogue().unwrap());
        remove_index(&world);
        assert_eq!(known_now, known(&world.store.catalogue().unwrap()));
        assert_eq!(known_now[0].last(), Some(&Fact::Text("yes".into())));
    }

    #[test]
    fn a_file_system_that_is_not_known_is_not_local() {
        let path = Path::new("/proc");
        let directory = rustix::fs::open(path, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        assert!(!is_local(&Folder::new(path.to_owned(), directory)));
    }

    #[test]
    fn any_damaged_page_is_an_answer_or_an_error() {
        let world = world_of(&["a", "b", "c"]);
        world.store.catalogue().unwrap();
        let file = world.store.folder().join(FILE);
        let whole = fs::read(&file).unwrap();
        for page in (0..whole.len()).step_by(512) {
            let mut bytes = whole.clone();
            bytes[page..page + 512].fill(0xa5);
            fs::write(&file, bytes).unwrap();
            let asked = world.store.catalogue().and_then(|catalogue| {
                catalogue.rows(&Selection::default(), &[Column::BuiltIn(&BUILT_IN[0]), Column::BuiltIn(&BUILT_IN[2])])
            });
            if asked.is_err() {
                // It was put aside: asking again helps.
                assert_eq!(known(&world.store.catalogue().unwrap()).len(), 3, "{page}");
            }
        }
    }

    #[test]
    fn a_catalogue_that_others_keep_writing_answers_as_it_was_left() {
        let world = world_of(&["a"]);
        let before = known(&world.store.catalogue().unwrap());
        world.record(call("b"));
        let mut other = Connection::open(world.store.folder().join(FILE)).unwrap();
        let writing = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        let patience = || {
            let connection = world.store.connected().unwrap();
            connection.pragma_query_value(None, "busy_timeout", |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(patience(), PATIENCE.as_millis() as i64);
        let catalogue = world.store.catalogue().unwrap();
        assert_eq!(patience(), LEFT_PATIENCE.as_millis() as i64, "it waits once");
        assert_eq!((known(&catalogue), catalogue.is_up_to_date()), (before, false));
        assert!(catalogue.connection.execute("DELETE FROM call", []).is_err());
        let complete = world.store.complete_catalogue().unwrap();
        assert_eq!((known(&complete).len(), complete.is_up_to_date()), (2, true));
        drop(writing);
        assert_eq!(known(&world.store.catalogue().unwrap()).len(), 2);
        // One without tables has no answer.
        remove_index(&world);
        let mut other = Connection::open(world.store.folder().join(FILE)).unwrap();
        let _writing = other.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive).unwrap();
        assert!(!matches!(world.store.catalogue_as_left(), Ok(Some(_))));
    }

    #[test]
    fn a_newer_catalogue_is_refused_and_left_alone() {
        let world = world_of(&["a"]);
        world.store.catalogue().unwrap();
        let file = world.store.folder().join(FILE);
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let before = fs::read(&file).unwrap();
        let error = world.store.catalogue().unwrap_err();
        assert_eq!(error.to_string(), format!("a newer fleche made the catalogue `{}`", file.display()));
        assert_eq!(fs::read(&file).unwrap(), before);
    }

    #[test]
    fn a_read_only_store_answers_and_writes_nothing() {
        let world = world_of(&["a", "b"]);
        let before = everything(world.store.folder());
        let store = Store::open_read_only(world.store.folder()).unwrap();
        assert_eq!(known(&store.catalogue().unwrap()).len(), 2);
        assert_eq!(everything(world.store.folder()), before);
    }

    #[test]
    fn a_call_costs_less_than_a_kilobyte() {
        let world = World::new();
        let size = || {
            world.store.catalogue().unwrap();
            fs::metadata(world.store.folder().join(FILE)).unwrap().len()
        };
        let record = |number: u32| {
            let mut stored = call(&number.to_string());
            stored.argv.extend((0..12).map(|n| crate::model::Argument::Clear(format!("-Dsome{n}").into())));
            stored.observations = (0..400)
                .map(|n| crate::model::Observation {
                    path: format!("/usr/include/some/header{n}.h").into(),
                    facet: Default::default(),
                    state: crate::model::State::Absent,
                    stamp: None,
                })
                .collect();
            stored.key = Key(crate::model::Digest::of(&number.to_le_bytes()));
            world.record(stored);
        };
        record(0);
        let before = size();
        for number in 1..200 {
            record(number);
        }
        let each = (size() - before) / 199;
        assert!(each < 1000, "{each} bytes");
    }

    #[test]
    fn what_has_no_tables_of_ours_is_not_current() {
        let world = world_of(&["a"]);
        world.store.catalogue().unwrap();
        assert!(schema::is_current(&world.store.connected().unwrap()).unwrap());
        assert!(!schema::is_current(&Connection::open_in_memory().unwrap()).unwrap());
    }

    #[test]
    fn a_glance_shows_keys_as_long_as_they_are_typed_and_names() {
        let world = world_of(&["a", "b"]);
        assert!(peek::Peek::open(&world.store.folder().join("nowhere")).is_none());
        world.store.catalogue().unwrap();
        let peek = peek::Peek::open(world.store.folder()).unwrap();
        assert_eq!(peek.names(), ["cc"]);
        let key = call("a").key.to_string();
        for (typed, shown) in [(1, 12), (12, 12), (13, 64), (64, 64)] {
            let found = peek.calls(&key[..typed]);
            assert!(found.iter().any(|(found, _)| *found == key[..shown]), "{typed}: {found:?}");
        }
        assert_eq!(peek.calls("").len(), 2);
        assert_eq!(peek.calls(&key[..4].to_uppercase()), peek.calls(&key[..4]));
        for odd in ["x", "é", &key[..10].replace(&key[..1], "-"), &format!("{key}0")] {
            assert_eq!(peek.calls(odd), [], "{odd}");
        }
    }

    #[test]
    fn values_are_known_by_the_calls_that_name_them() {
        let world = world_of(&["a"]);
        let (named, empty) = (crate::model::Digest::of(b"out\n"), crate::model::Digest::of(b""));
        let asked = |digest: &crate::model::Digest| {
            let catalogue = world.store.catalogue().unwrap();
            let prefix = digest.hex()[..8].parse().unwrap();
            (catalogue.names_value(digest).unwrap(), catalogue.values_with_prefix(&prefix).unwrap().len())
        };
        assert_eq!(asked(&named), (true, 1));
        assert_eq!(asked(&crate::model::Digest::of(b"other")), (false, 0));
        // Listed where a stream was empty, and always to be had.
        assert_eq!(asked(&empty), (true, 0));
        let mut silent = call("b");
        silent.outcome.stdout = Some(crate::model::Content::inline(Vec::new()));
        world.record(silent);
        assert_eq!(asked(&empty), (true, 1));
    }

    #[test]
    fn the_oldest_use_is_that_of_a_call() {
        let world = World::new();
        let oldest = || world.store.catalogue().unwrap().oldest_use().unwrap();
        assert_eq!(oldest(), None);
        for (name, seconds) in [("a", 500), ("b", 400), ("c", 600)] {
            world.record(call(name));
            let file = world.store.folder().join(crate::store::folder::call_name(&call(name).key));
            let then = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            fs::File::open(file).unwrap().set_modified(then).unwrap();
        }
        assert_eq!(oldest(), Some(400_000_000_000));
    }
}
