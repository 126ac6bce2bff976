//! The catalogues of a stack, asked as one.
//!
//! A connection of its own attaches them all and has a temporary view in the place of each table, which hides the tables:
//! SQLite looks for names among temporary things first. So every question is the same whether one catalogue answers or
//! many. Rows keep their numbers, because those of each catalogue begin somewhere else (`schema.rs`); a view that gave them
//! others would keep SQLite from using any index.

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags};

use super::schema::{ASKED, NUMBERED};
use super::{Catalogue, FILE, State, failed, only_answer, set_limits};
use crate::error::Error;

/// As many as SQLite attaches.
const MOST: usize = 10;

/// A name for a database in memory that other connections of this process can attach.
pub(super) fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The slash at its beginning is what lets others see it (<https://sqlite.org/src/file/src/memdb.c>).
    format!("file:/fleche-{}?vfs=memdb", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Opens the database in memory of this name, which is empty where nobody has it open.
pub(super) fn open(name: &str) -> rusqlite::Result<Connection> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    Connection::open_with_flags(name, access | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// One catalogue that answers for all of these; of calls that several have, the first one's counts.
pub(super) fn joint(all: Vec<Catalogue>) -> Result<Catalogue, Error> {
    if all.len() > MOST {
        return Err(Error::usage(format!("a stack has at most {MOST} caches")));
    }
    let is_up_to_date = all.iter().all(|part| part.state == State::UpToDate);
    let connection = attached(&all).map_err(failed)?;
    let mut joint = Catalogue::of(connection, if is_up_to_date { State::UpToDate } else { State::AsLeft });
    joint.parts = all;
    Ok(joint)
}

fn attached(all: &[Catalogue]) -> rusqlite::Result<Connection> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_in_memory_with_flags(access)?;
    set_limits(&connection)?;
    for (number, part) in all.iter().enumerate() {
        // An escaped name, because of what a path may hold.
        let file = match (&part.folder, &part.shared) {
            (Some(folder), _) => super::peek::file_name(&folder.path().join(FILE)) + "?mode=rw",
            (None, shared) => shared.clone().unwrap_or_default(),
        };
        connection.execute(&format!("ATTACH ?1 AS part{number}"), [file])?;
    }
    for table in ASKED {
        connection.execute_batch(&format!("CREATE TEMP VIEW {table} AS {}", union(table, all.len())))?;
    }
    only_answer(&mut connection)?;
    Ok(connection)
}

/// The rows of a table in all catalogues.
fn union(table: &str, count: usize) -> String {
    let part = |number: usize| {
        let unseen: Vec<String> = (0..number)
            .filter(|_| table == "call")
            .map(|before| format!("NOT EXISTS (SELECT 1 FROM part{before}.call AS own WHERE own.key = other.key)"))
            .collect();
        let condition = if unseen.is_empty() { String::new() } else { format!(" WHERE {}", unseen.join(" AND ")) };
        format!("SELECT * FROM part{number}.{table} AS other{condition}")
    };
    (0..count).map(part).collect::<Vec<_>>().join(" UNION ALL ")
}

/// Whether a catalogue numbers nothing as one of the others does.
pub(super) fn are_apart(others: &[Catalogue], one: &Catalogue) -> rusqlite::Result<bool> {
    let range = |part: &Catalogue, table: &str| {
        let question = format!("SELECT min(id), max(id) FROM {table}");
        part.connection.query_row(&question, [], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)))
    };
    for table in NUMBERED {
        let Some((first, last)): Option<(i64, i64)> = range(one, table)? else { continue };
        for other in others {
            if range(other, table)?.is_some_and(|(start, end)| start <= last && first <= end) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::{Event, Fact, Key};
    use crate::store::testing::{World, call};
    use crate::store::{Access, BUILT_IN, Column, Condition, PathQuestion, Selection, Store};

    fn opened(world: &World) -> Store {
        Store::open(world.store.folder()).unwrap()
    }

    /// Which of three stores have which of six calls.
    fn stores() -> impl Strategy<Value = Vec<Vec<bool>>> {
        prop::collection::vec(prop::collection::vec(any::<bool>(), 6), 3)
    }

    fn of(number: usize) -> crate::model::Call {
        let mut made = call(&number.to_string());
        made.metadata.usage.started = (number * 7 % 5) as i64;
        made.cwd = format!("/work/{}", number % 2).into();
        made.tags.insert("n".into(), (number % 3).to_string());
        made
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(12))]
        #[test]
        fn a_stack_answers_like_one_store_that_has_the_calls_of_all(has in stores()) {
            let (worlds, one) = ([World::new(), World::new(), World::new()], World::new());
            for number in 0..6 {
                for (world, has) in worlds.iter().zip(&has) {
                    if has[number] {
                        world.record(of(number));
                    }
                }
                if has.iter().any(|has| has[number]) {
                    one.record(of(number));
                }
            }
            // The last one is not to be written: its catalogue is in memory.
            let last = Store::open_read_only(worlds[2].store.folder()).unwrap();
            let stack = opened(&worlds[0]).in_front_of(vec![opened(&worlds[1]), last]);
            let (joint, single) = (stack.catalogue().unwrap(), one.store.catalogue().unwrap());
            let columns: Vec<Column> = BUILT_IN
                .iter()
                .filter(|column| column.name != "used")
                .map(Column::BuiltIn)
                .chain([Column::Tag("n".into()), Column::Argument(1)])
                .collect();
            let by = |sort: &str| Selection { sort: Column::named(sort), unique: None, ..Selection::default() };
            let cwd = |path: &str| Condition::Cwd(path.into());
            let path = PathQuestion { given: b"a.c".to_vec(), absolute: b"/work/a.c".to_vec() };
            let of = |conditions: Vec<Condition>| Selection { conditions, ..by("key") };
            let questions = [
                by("key"),
                Selection { limit: Some(3), skip: 1, ..by("command") },
                Selection { unique: Column::named("cwd"), ..by("cwd") },
                of(vec![cwd("/work/1")]),
                of(vec![Condition::Tag { name: "n".into(), value: Some("1".into()) }]),
                of(vec![Condition::Argument { position: Some(1), glob: "[1-3]".into() }]),
                of(vec![Condition::Input(path)]),
                of(vec![Condition::Where("json_extract(tags, '$.n') = '2' OR cwd = '/work/0'".into())]),
            ];
            for question in &questions {
                prop_assert_eq!(joint.rows(question, &columns).unwrap(), single.rows(question, &columns).unwrap());
                prop_assert_eq!(joint.count(question).unwrap(), single.count(question).unwrap());
                prop_assert_eq!(joint.tag_names(question).unwrap(), single.tag_names(question).unwrap());
                let (mut ours, mut theirs) = (joint.keys(question).unwrap(), single.keys(question).unwrap());
                ours.sort_unstable();
                theirs.sort_unstable();
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    #[test]
    fn a_copied_folder_is_told_from_the_one_that_it_was_copied_from() {
        let world = World::new();
        world.record(call("a"));
        world.store.catalogue().unwrap();
        let copy = World::new();
        for entry in walkdir::WalkDir::new(world.store.folder()).into_iter().map(Result::unwrap) {
            let target = copy.store.folder().join(entry.path().strip_prefix(world.store.folder()).unwrap());
            match entry.file_type().is_dir() {
                true => std::fs::create_dir_all(target).unwrap(),
                false => drop(std::fs::copy(entry.path(), target).unwrap()),
            }
        }
        copy.record(call("b"));
        let stack = opened(&world).in_front_of(vec![opened(&copy)]);
        let mut keys = stack.catalogue().unwrap().keys(&Selection::default()).unwrap();
        keys.sort_unstable();
        let mut expected = [call("a").key, call("b").key];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }

    #[test]
    fn of_a_call_that_many_have_the_first_one_counts() {
        let (first, second) = (World::new(), World::new());
        for (world, hits) in [(&first, 1), (&second, 3)] {
            let key: Key = world.record(call("a")).key;
            (0..hits).for_each(|_| world.store.note(&Event::Hit { key, saved: 1, name: "cc".into() }));
        }
        let stack = opened(&first).in_front_of(vec![opened(&second)]);
        let rows = stack.catalogue().unwrap().rows(&Selection::default(), &[Column::named("hits").unwrap()]).unwrap();
        assert_eq!(rows, [[Fact::Number(1)]]);
        assert_eq!(stack.members().filter(|member| member.access == Access::ReadWrite).count(), 2);
    }

    #[test]
    fn a_joint_catalogue_changes_nothing_either() {
        let (first, second) = (World::new(), World::new());
        second.record(call("a"));
        let stack = opened(&first).in_front_of(vec![opened(&second)]);
        let catalogue = stack.catalogue().unwrap();
        for statement in ["DELETE FROM part1.call", "ATTACH 'x' AS y", "DROP VIEW call"] {
            assert!(catalogue.connection.execute(statement, []).is_err(), "{statement}");
        }
    }

    #[test]
    fn a_stack_has_at_most_as_many_caches_as_can_be_asked_at_once() {
        let worlds: Vec<World> = (0..=super::MOST).map(|_| World::new()).collect();
        let stack = |count: usize| opened(&worlds[0]).in_front_of(worlds[1..count].iter().map(opened).collect());
        assert!(stack(super::MOST).catalogue().is_ok_and(|catalogue| catalogue.is_up_to_date()));
        let refused = stack(super::MOST + 1).catalogue().unwrap_err().to_string();
        assert_eq!(refused, "a stack has at most 10 caches");
    }

    #[test]
    fn catalogues_with_the_same_numbers_are_not_apart() {
        let worlds = [World::new(), World::new()];
        worlds.iter().for_each(|world| drop(world.record(call("a"))));
        let catalogue = |world: &World| opened(world).own_catalogue().unwrap();
        let [one, other] = worlds.each_ref().map(catalogue);
        assert!(super::are_apart(&[one], &other).unwrap());
        assert!(!super::are_apart(&[catalogue(&worlds[0]), other], &catalogue(&worlds[1])).unwrap());
    }
}
