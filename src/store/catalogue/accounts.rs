//! What a catalogue says of each call, so that it can be held against one that was made of the files alone.
//!
//! Not how often it was replayed, nor when last: the files do not tell all of that.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::model::Reader;

/// What is said of each call, by its key: the sum of a digest for each row, so that their order does not count.
pub(super) type Accounts = HashMap<Vec<u8>, u128>;

/// Each gives a key and a text. Everything is quoted, so that `NULL`, text and bytes are told apart.
const QUESTIONS: [&str; 5] = [
    "SELECT key, concat_ws('|', 'call', quote(command), quote(grade), quote(bound), quote(exit), quote(name),
        quote(started), quote(stopped), quote(wall), quote(user_time), quote(system_time), quote(peak_memory),
        quote(outputs), quote(inputs), quote(file_bytes), quote(bytes),
        quote((SELECT text FROM word WHERE id = program)), quote((SELECT text FROM word WHERE id = cwd)),
        quote((SELECT text FROM word WHERE id = root)), quote((SELECT text FROM word WHERE id = host)),
        quote((SELECT text FROM word WHERE id = user)), quote((SELECT text FROM word WHERE id = version)),
        quote((SELECT text FROM word WHERE id = git_commit)), quote((SELECT text FROM word WHERE id = git_branch)))
        FROM call",
    "SELECT key, concat_ws('|', 'argument', quote(n), quote(text)) FROM argument JOIN call ON call.id = argument.call",
    "SELECT key, concat_ws('|', 'tag', quote(tag.name), quote(value)) FROM tag JOIN call ON call.id = tag.call",
    "SELECT key, concat_ws('|', 'variable', quote(variable.name), quote(value))
        FROM variable JOIN call ON call.id = variable.call",
    "SELECT key, concat_ws('|', 'value', quote(n), quote(path), quote(digest), quote(length), quote(inline))
        FROM call_value JOIN call ON call.id = call_value.call",
];

/// Reads all of a catalogue.
pub(super) fn accounts(connection: &Connection) -> rusqlite::Result<Accounts> {
    let mut accounts = Accounts::new();
    let mut add = |key: Vec<u8>, said: u128| {
        let sum = accounts.entry(key).or_default();
        *sum = sum.wrapping_add(said);
    };
    for question in QUESTIONS {
        let mut statement = connection.prepare(question)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said = row.get_ref(1)?.as_bytes_or_null().ok().flatten().map_or(0, digest);
            add(row.get(0)?, said);
        }
    }
    let sets = path_sets(connection)?;
    let mut statement = connection.prepare("SELECT key, path_set FROM call")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        add(row.get(0)?, sets.get(&row.get(1)?).copied().unwrap_or_default());
    }
    Ok(accounts)
}

/// The paths of each set.
fn path_sets(connection: &Connection) -> rusqlite::Result<HashMap<i64, u128>> {
    let mut paths = HashMap::new();
    let mut statement = connection.prepare("SELECT id, path FROM path")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        paths.insert(row.get::<_, i64>(0)?, row.get_ref(1)?.as_bytes_or_null().ok().flatten().map_or(0, digest));
    }
    let mut statement = connection.prepare("SELECT id, paths FROM path_set")?;
    let mut rows = statement.query([])?;
    let mut sets = HashMap::new();
    while let Some(row) = rows.next()? {
        let packed: Vec<u8> = row.get(1)?;
        let (mut reader, mut id, mut sum) = (Reader::new(&packed), 0i64, 1u128);
        while !reader.is_empty() {
            let Ok(difference) = reader.number() else { break };
            id = id.saturating_add(i64::try_from(difference).unwrap_or(i64::MAX));
            sum = sum.wrapping_add(paths.get(&id).copied().unwrap_or(1));
        }
        sets.insert(row.get(0)?, sum);
    }
    Ok(sets)
}

/// Half of a digest, which is enough to tell accidents apart.
fn digest(said: &[u8]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(said).as_bytes()[..16]);
    u128::from_le_bytes(half)
}
