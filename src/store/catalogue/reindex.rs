//! Building the catalogue anew from the files, beside the one that is there.
//!
//! The new one takes the place of the old one as one transaction of the old one's file (SQLite's backup interface), so
//! that whoever has it open reads the one or the other, and so does who comes after a crash at any point. Renaming the
//! file over the old one would be simpler and wrong: the side files of SQLite are found by name, and those of the old
//! catalogue would be played into the new one (<https://sqlite.org/howtocorrupt.html>, section 2.4).

use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::fold::{Books, fold};
use super::{Progress, Store, Trouble, is_of_the_moment, laid_out, put_aside, set_limits};
use crate::error::Error;
use crate::store::Access;
use crate::sys::clock;

/// How often the old catalogue is asked for, and how long it is left alone in between: ten seconds in all.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Builds the catalogue anew from the files and puts it in the place of the one that is there.
    ///
    /// # Errors
    ///
    /// Where the store is read-only, the disk is full, a newer fleche made the catalogue, or others write it for ten
    /// seconds on end. The old catalogue is then as it was.
    pub fn reindex(&self, progress: Progress) -> Result<(), Error> {
        if self.access != Access::ReadWrite {
            return Err(Error::failure("cannot build the catalogue anew: the cache is read-only"));
        }
        let place =
            self.folder.temporary().map_err(|why| Error::failure("cannot build the catalogue anew").because(why))?;
        let built = (|| {
            // Refused before the work, if it is a newer one.
            drop(self.old()?);
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(place.path(), flags)?;
            set_limits(&connection)?;
            // Nobody needs it after a crash.
            let mut new = laid_out(connection, "DELETE", "OFF")?;
            fold(&mut new, self, Books::Copied, progress)?;
            let mut old = self.old()?;
            Ok(replace(&mut old, &new)?)
        })();
        match built.map_err(|trouble| self.unopened(trouble))? {
            StepResult::Done => Ok(()),
            _ => Err(Error::failure("cannot replace the catalogue: others write it all the time")),
        }
    }

    /// The catalogue that is there, or an empty one in the place of a damaged one.
    fn old(&self) -> Result<Connection, Trouble> {
        match self.live() {
            Err(Trouble::Sql(error)) if !is_of_the_moment(&error) => {
                put_aside(&self.folder);
                self.live()
            }
            other => other,
        }
    }
}

/// Copies all pages in one transaction.
fn replace(old: &mut Connection, new: &Connection) -> rusqlite::Result<StepResult> {
    let backup = Backup::new(new, old)?;
    for _ in 0..ATTEMPTS {
        match backup.step(-1)? {
            StepResult::Busy | StepResult::Locked => clock::pause(PAUSE),
            other => return Ok(other),
        }
    }
    Ok(StepResult::Busy)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Call, Event};
    use crate::store::catalogue::FILES;
    use crate::store::folder::call_name;
    use crate::store::journal;
    use crate::store::testing::{World, call};

    /// All that the catalogue says, without the numbers that it gives to things.
    fn dump(world: &World) -> Vec<String> {
        let catalogue = world.store.catalogue().unwrap();
        let of_call = "(SELECT hex(key) FROM call WHERE id = call)";
        let word = |column: &str| format!("(SELECT text FROM word WHERE id = call.{column})");
        let words: Vec<String> = ["program", "cwd", "root", "host", "user", "version", "git_commit", "git_branch"]
            .map(|column| format!("ifnull({}, '-')", word(column)))
            .to_vec();
        let questions = [
            format!(
                "SELECT concat_ws('|', 'call', hex(key), hex(command), grade, bound, exit, name, started, stopped, wall,
                user_time, system_time, peak_memory, outputs, inputs, file_bytes, bytes, last_used, hits,
                (SELECT hex(digest) FROM path_set WHERE id = path_set), {}) FROM call",
                words.join(", ")
            ),
            format!("SELECT concat_ws('|', 'argument', {of_call}, n, text) FROM argument"),
            format!("SELECT concat_ws('|', 'tag', {of_call}, name, value) FROM tag"),
            format!("SELECT concat_ws('|', 'variable', {of_call}, name, value) FROM variable"),
            format!(
                "SELECT concat_ws('|', 'value', {of_call}, n, (SELECT path.path FROM path WHERE id = call_value.path),
                hex(digest), length, inline) FROM call_value"
            ),
            "SELECT concat_ws('|', 'statistic', day, name, event, reason, count, saved, bytes) FROM statistic"
                .to_owned(),
            "SELECT concat_ws('|', 'refusal', hex(command), time, reason, detail) FROM refusal".to_owned(),
            "SELECT concat_ws('|', 'usage', hex(key), hits, last_used) FROM usage".to_owned(),
        ];
        let mut lines: Vec<String> = Vec::new();
        for question in questions {
            let mut statement = catalogue.connection.prepare(&question).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            lines.extend(rows.map(Result::unwrap));
        }
        lines.sort();
        lines
    }

    fn remove_catalogue(world: &World) {
        FILES.iter().for_each(|name| drop(fs::remove_file(world.store.folder().join(name))));
    }

    /// Something that happens to a store.
    #[derive(Clone, Debug)]
    enum Step {
        Record(u8),
        Hit(u8),
        Tag(u8),
        Evict(u8),
        /// The first gets the key of the second; perhaps its own former one is left behind.
        Rename(u8, u8, bool),
        /// Its file goes without a word in the journal.
        Vanish(u8),
        Age(u8),
        Refuse(u8),
        Ask,
        Rotate,
        LoseLedger,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4u8).prop_map(Step::Record),
            4 => (0..4u8).prop_map(Step::Hit),
            1 => (0..4u8).prop_map(Step::Tag),
            2 => (0..4u8).prop_map(Step::Evict),
            2 => (0..4u8, 0..4u8, any::<bool>()).prop_map(|(from, to, whole)| Step::Rename(from, to, whole)),
            1 => (0..4u8).prop_map(Step::Vanish),
            1 => (0..4u8).prop_map(Step::Age),
            2 => (0..4u8).prop_map(Step::Refuse),
            3 => Just(Step::Ask),
            1 => Just(Step::Rotate),
            1 => Just(Step::LoseLedger),
        ]
    }

    fn of(number: u8) -> Call {
        call(&number.to_string())
    }

    fn happen(world: &World, step: &Step, number: usize) {
        let file = |of_call: u8| world.store.folder().join(call_name(&of(of_call).key));
        match *step {
            Step::Record(n) => drop(world.record(of(n))),
            Step::Hit(n) => world.store.used(&of(n).key, 3, "cc".into()),
            Step::Tag(n) if file(n).exists() => {
                let mut tagged = of(n);
                tagged.tags.insert("number".into(), number.to_string());
                world.record(tagged);
                world.store.note(&Event::Tagged { key: of(n).key });
            }
            Step::Evict(n) => drop(world.store.remove(&of(n).key).unwrap()),
            Step::Rename(from, to, is_whole) if file(from).exists() => {
                let former = world.store.call(&of(from).key).unwrap().unwrap();
                let renamed = Call { key: of(to).key, ..former.clone() };
                world.store.rename(&former.key, &renamed, None).unwrap();
                if is_whole && from != to {
                    world.store.let_go(&former.key, &renamed.key).unwrap();
                }
            }
            Step::Vanish(n) => drop(fs::remove_file(file(n))),
            Step::Age(n) if file(n).exists() => {
                // Read before and after, as time passes: nobody but a use sets it.
                let long_ago = std::time::SystemTime::now() - Duration::from_secs(1000);
                let recorded = fs::File::open(file(n)).unwrap();
                recorded.set_modified(long_ago).unwrap();
                world.store.note(&Event::Tagged { key: of(n).key });
            }
            Step::Refuse(n) => world.store.note(&Event::NotStored {
                command: of(n).command,
                reason: "exit".into(),
                detail: format!("the exit code is {number}"),
                name: "cc".into(),
            }),
            Step::Ask => drop(world.store.catalogue().unwrap()),
            Step::Rotate => {
                let mut journal = world.store.folder.open_to_append(journal::CURRENT).unwrap();
                journal.write_all(&[b"x".repeat(1023), b"\n".to_vec()].concat().repeat(4100)).unwrap();
                world.store.catalogue().unwrap();
                assert!(world.store.folder().join(journal::OLD).exists());
            }
            Step::LoseLedger => {
                world.store.catalogue().unwrap();
                let ledger = world.store.folder().join("ledger");
                if ledger.exists() {
                    fs::write(
                        &ledger,
                        if number.is_multiple_of(2) {
                            ""
                        } else {
                            "something that is no ledger at all, and long enough"
                        },
                    )
                    .unwrap();
                }
                world.store.catalogue().unwrap();
            }
            Step::Tag(_) | Step::Age(_) | Step::Rename(..) => {}
        }
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(24))]
        #[test]
        fn a_catalogue_that_is_made_anew_says_the_same(steps in prop::collection::vec(step(), 0..40)) {
            let world = World::new();
            for (number, step) in steps.iter().enumerate() {
                happen(&world, step, number);
            }
            let before = dump(&world);
            remove_catalogue(&world);
            prop_assert_eq!(&dump(&world), &before);
            world.store.reindex(&|_, _| {}).unwrap();
            prop_assert_eq!(&dump(&world), &before);
            let copy = Store::open_read_only(world.store.folder()).unwrap();
            prop_assert_eq!(copy.catalogue().unwrap().count(&Default::default()).unwrap(), before.iter().filter(|line| line.starts_with("call|")).count() as u64);
        }
    }

    #[test]
    fn who_reads_meanwhile_sees_the_old_catalogue_and_who_comes_later_the_new_one() {
        let world = World::new();
        world.record(call("a"));
        let open = world.store.catalogue().unwrap();
        let count = |catalogue: &crate::store::Catalogue| catalogue.count(&Default::default()).unwrap();
        let mut shown = Vec::new();
        let shown_cell = std::cell::RefCell::new(&mut shown);
        world.store.reindex(&|done, of| shown_cell.borrow_mut().push((done, of))).unwrap();
        assert_eq!(count(&open), 1);
        world.record(call("b"));
        assert_eq!(count(&world.store.catalogue().unwrap()), 2);
        assert_eq!((shown.first(), shown.last()), (Some(&(0, 256)), Some(&(256, 256))));
        assert_eq!(fs::read_dir(world.store.folder().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_catalogue_is_replaced_and_a_newer_one_is_not() {
        let world = World::new();
        world.record(call("a"));
        let before = dump(&world);
        let file = world.store.folder().join(FILES[0]);
        fs::write(&file, "not a database, but long enough to be read as one").unwrap();
        world.store.reindex(&|_, _| {}).unwrap();
        assert_eq!(dump(&world), before);
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = world.store.reindex(&|_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), format!("a newer fleche made the catalogue `{}`", file.display()));
        let read_only = Store::open_read_only(world.store.folder()).unwrap();
        let error = read_only.reindex(&|_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "cannot build the catalogue anew: the cache is read-only");
    }

    #[test]
    fn a_rotation_that_was_cut_short_counts_nothing_twice() {
        let world = World::new();
        world.record(call("a"));
        world.store.used(&call("a").key, 3, "cc".into());
        happen(&world, &Step::Rotate, 0);
        let before = dump(&world);
        // Killed between the ledger and the renaming: the journal has its name still, and the catalogue knows no ledger.
        let [current, old] = [journal::CURRENT, journal::OLD].map(|name| world.store.folder().join(name));
        fs::rename(&old, &current).unwrap();
        remove_catalogue(&world);
        assert_eq!(dump(&world), before);
        // It was still too large.
        assert!(!current.exists() && old.exists());
        assert_eq!(dump(&world), before);
    }

    #[test]
    fn a_lost_ledger_is_written_anew_by_the_next_question() {
        let world = World::new();
        world.record(call("a"));
        world.store.used(&call("a").key, 3, "cc".into());
        happen(&world, &Step::Rotate, 0);
        let before = dump(&world);
        let ledger = world.store.folder().join("ledger");
        for number in [0, 1] {
            happen(&world, &Step::LoseLedger, number);
            assert!(fs::metadata(&ledger).unwrap().len() > 100);
            fs::remove_file(&ledger).unwrap();
            assert_eq!(dump(&world), before);
            remove_catalogue(&world);
            assert_eq!(dump(&world), before);
        }
    }
}
