//! One call as rows of the catalogue.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use crate::model::{Argument, Call, Digest, Key, Observation, OutputKind, Reader, Writer};

/// Ids of paths and words that were met lately; a build asks for the same ones again and again.
#[derive(Default)]
pub(super) struct Ids {
    paths: HashMap<Vec<u8>, i64>,
    words: HashMap<Vec<u8>, i64>,
}

/// More of either than this are not remembered.
const REMEMBERED: usize = 100_000;

/// What is known of a call's file beside its content.
pub(super) struct FileFacts {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its modification time in nanoseconds since 1970: the last use.
    pub used: i64,
}

/// Text from the file system: as text where it is UTF-8, so that people can ask for it, else as it is.
pub(super) fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(if std::str::from_utf8(bytes).is_ok() {
        ValueRef::Text(bytes)
    } else {
        ValueRef::Blob(bytes)
    })
}

/// Numbers beyond what SQLite counts are as good as its largest.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Removes a call.
pub(super) fn remove(connection: &Connection, key: &Key) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM call WHERE key = ?1")?.execute([&key.0.0]).map(drop)
}

/// Adds a call, or puts it in the place of a former one of its key; what is known of its use stays.
pub(super) fn insert(connection: &Connection, call: &Call, facts: &FileFacts, ids: &mut Ids) -> rusqlite::Result<()> {
    let path_set = path_set(connection, &call.observations, &mut ids.paths)?;
    let id = insert_call(connection, call, facts, path_set, &mut ids.words)?;
    for table in ["argument", "tag", "variable", "call_value"] {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE call = ?1"))?.execute([id])?;
    }
    let mut statement = connection.prepare_cached("INSERT INTO argument (call, n, text) VALUES (?1, ?2, ?3)")?;
    for (n, argument) in call.argv.iter().enumerate() {
        match argument {
            Argument::Clear(argument) => statement.execute(params![id, n as i64, text(argument.as_bytes())])?,
            Argument::Redacted => statement.execute(params![id, n as i64, None::<i64>])?,
        };
    }
    let mut statement = connection.prepare_cached("INSERT INTO tag (call, name, value) VALUES (?1, ?2, ?3)")?;
    for (name, value) in &call.tags {
        statement.execute(params![id, name, value])?;
    }
    let mut statement = connection.prepare_cached("INSERT INTO variable (call, name, value) VALUES (?1, ?2, ?3)")?;
    for variable in &call.variables {
        if let Some(value) = &variable.clear {
            statement.execute(params![id, text(variable.name.as_bytes()), text(value.as_bytes())])?;
        }
    }
    insert_values(connection, call, id)
}

fn insert_call(
    connection: &Connection,
    call: &Call,
    facts: &FileFacts,
    path_set: i64,
    words: &mut HashMap<Vec<u8>, i64>,
) -> rusqlite::Result<i64> {
    let mut word = |bytes: &[u8]| id_of(connection, "word", "text", bytes, words);
    let mut optional = |text: &Option<String>| text.as_ref().map(|text| word(text.as_bytes())).transpose();
    let (git_commit, git_branch) = (optional(&call.metadata.git_commit)?, optional(&call.metadata.git_branch)?);
    let (outcome, metadata) = (&call.outcome, &call.metadata);
    let elsewhere = call.values().filter(|content| content.inline.is_none());
    let bytes = elsewhere.fold(facts.bytes, |sum, content| sum.saturating_add(content.length));
    connection.prepare_cached(INSERT_CALL)?.query_row(
        named_params! {
            ":key": call.key.0.0,
            ":command": call.command.0.0,
            ":grade": call.grades(),
            ":bound": call.bound,
            ":exit": outcome.exit,
            ":program": word(call.program.as_os_str().as_bytes())?,
            ":name": text(call.name().as_bytes()),
            ":cwd": word(call.cwd.as_os_str().as_bytes())?,
            ":root": word(call.root.as_os_str().as_bytes())?,
            ":started": metadata.usage.started,
            ":stopped": metadata.usage.stopped,
            ":wall": number(metadata.usage.wall),
            ":user_time": number(metadata.usage.user_time),
            ":system_time": number(metadata.usage.system_time),
            ":peak_memory": number(metadata.usage.peak_memory),
            ":host": word(metadata.host.as_bytes())?,
            ":user": word(metadata.user.as_bytes())?,
            ":version": word(metadata.version.as_bytes())?,
            ":git_commit": git_commit,
            ":git_branch": git_branch,
            ":outputs": outcome.outputs.len() as i64,
            ":inputs": call.observations.chunk_by(|one, other| one.path == other.path).count() as i64,
            ":file_bytes": number(facts.bytes),
            ":bytes": number(bytes),
            ":last_used": facts.used,
            ":path_set": path_set,
        },
        |row| row.get(0),
    )
}

const INSERT_CALL: &str = "
INSERT INTO call (
    key, command, grade, bound, exit, program, name, cwd, root, started, stopped, wall, user_time, system_time,
    peak_memory, host, user, version, git_commit, git_branch, outputs, inputs, file_bytes, bytes, path_set, hits, last_used
) VALUES (
    :key, :command, :grade, :bound, :exit, :program, :name, :cwd, :root, :started, :stopped, :wall, :user_time,
    :system_time, :peak_memory, :host, :user, :version, :git_commit, :git_branch, :outputs, :inputs, :file_bytes,
    :bytes, :path_set, coalesce((SELECT hits FROM usage WHERE usage.key = :key), 0),
    max(:last_used, coalesce((SELECT last_used FROM usage WHERE usage.key = :key), :last_used))
) ON CONFLICT (key) DO UPDATE SET
    command = excluded.command, grade = excluded.grade, bound = excluded.bound, exit = excluded.exit,
    program = excluded.program, name = excluded.name, cwd = excluded.cwd, root = excluded.root,
    started = excluded.started, stopped = excluded.stopped, wall = excluded.wall, user_time = excluded.user_time,
    system_time = excluded.system_time, peak_memory = excluded.peak_memory, host = excluded.host,
    user = excluded.user, version = excluded.version, git_commit = excluded.git_commit,
    git_branch = excluded.git_branch, outputs = excluded.outputs, inputs = excluded.inputs,
    file_bytes = excluded.file_bytes, bytes = excluded.bytes, path_set = excluded.path_set,
    hits = excluded.hits, last_used = excluded.last_used
RETURNING id";

fn insert_values(connection: &Connection, call: &Call, id: i64) -> rusqlite::Result<()> {
    let insert = "INSERT INTO call_value (call, n, path, digest, length, inline) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = connection.prepare_cached(insert)?;
    for (n, content) in [(0, &call.outcome.stdout), (1, &call.outcome.stderr)] {
        if let Some(content) = content {
            // Nearly every call has an empty stream; their one value is no way to find any of them.
            let digest = (content.length > 0).then_some(content.digest.0);
            statement.execute(params![id, n, None::<i64>, digest, number(content.length), content.inline.is_some()])?;
        }
    }
    for (n, output) in (2i64..).zip(&call.outcome.outputs) {
        let content = match &output.kind {
            OutputKind::File { content, .. } => Some(content),
            OutputKind::Absent | OutputKind::Folder { .. } | OutputKind::Link { .. } => None,
        };
        let digest = content.map(|content| content.digest.0);
        let length = content.map(|content| number(content.length));
        let is_inline = content.is_some_and(|content| content.inline.is_some());
        statement.execute(params![id, n, text(output.path.as_os_str().as_bytes()), digest, length, is_inline])?;
    }
    Ok(())
}

/// The id of a set of paths, which is added where it is new.
fn path_set(
    connection: &Connection,
    observations: &[Observation],
    ids: &mut HashMap<Vec<u8>, i64>,
) -> rusqlite::Result<i64> {
    let mut named = Writer::new();
    for observation in observations {
        named.bytes(observation.path.as_os_str().as_bytes());
    }
    let digest = Digest::of(&named.into_bytes());
    let known = connection.prepare_cached("SELECT id FROM path_set WHERE digest = ?1")?;
    if let Some(id) = { known }.query_row([&digest.0], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let mut paths = Vec::with_capacity(observations.len());
    for observation in observations {
        paths.push(id_of(connection, "path", "path", observation.path.as_os_str().as_bytes(), ids)?);
    }
    paths.sort_unstable();
    paths.dedup();
    let mut packed = Writer::new();
    paths.iter().fold(0, |before, id| {
        packed.number((id - before) as u64);
        *id
    });
    let insert = "INSERT INTO path_set (digest, paths) VALUES (?1, ?2) RETURNING id";
    connection.prepare_cached(insert)?.query_row(params![digest.0, packed.into_bytes()], |row| row.get(0))
}

/// Whether a packed list of path ids holds one.
pub(super) fn holds(packed: &[u8], wanted: i64) -> bool {
    let mut reader = Reader::new(packed);
    let mut id = 0;
    while !reader.is_empty() && id < wanted {
        let Ok(difference) = reader.number() else { return false };
        id = difference.try_into().map_or(i64::MAX, |difference: i64| id.saturating_add(difference));
    }
    id == wanted
}

/// The path ids of a packed list.
pub(super) fn ids(packed: &[u8]) -> Vec<i64> {
    let (mut reader, mut id, mut ids) = (Reader::new(packed), 0_i64, Vec::new());
    while !reader.is_empty() {
        let Ok(difference) = reader.number() else { break };
        id = difference.try_into().map_or(i64::MAX, |difference: i64| id.saturating_add(difference));
        ids.push(id);
    }
    ids
}

/// The id of a text in a table of texts, to which it is added where it is new.
fn id_of(
    connection: &Connection,
    table: &str,
    column: &str,
    bytes: &[u8],
    ids: &mut HashMap<Vec<u8>, i64>,
) -> rusqlite::Result<i64> {
    if let Some(id) = ids.get(bytes) {
        return Ok(*id);
    }
    let mut known = connection.prepare_cached(&format!("SELECT id FROM {table} WHERE {column} = ?1"))?;
    let id = match known.query_row([text(bytes)], |row| row.get(0)).optional()? {
        Some(id) => id,
        None => connection
            .prepare_cached(&format!("INSERT INTO {table} ({column}) VALUES (?1) RETURNING id"))?
            .query_row([text(bytes)], |row| row.get(0))?,
    };
    if ids.len() < REMEMBERED {
        ids.insert(bytes.to_vec(), id);
    }
    Ok(id)
}
