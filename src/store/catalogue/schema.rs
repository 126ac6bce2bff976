//! The tables, and how a catalogue of an older version becomes one of this version.

use std::cmp::Ordering;

use rusqlite::{Connection, TransactionBehavior, ffi};

use super::Trouble;

/// Marks the file as ours (`application_id`): "flec".
const APPLICATION: i32 = 0x666c_6563;

/// Each brings the version before it up by one. Append; never edit what was released.
const MIGRATIONS: [&str; 4] = [
    "
CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    command BLOB NOT NULL,
    grade TEXT NOT NULL,
    bound INTEGER NOT NULL,
    exit INTEGER NOT NULL,
    program TEXT NOT NULL,          -- a BLOB where it is not UTF-8, like all text from the file system
    name TEXT NOT NULL,             -- the last component of the first argument
    cwd TEXT NOT NULL,
    root TEXT NOT NULL,
    started INTEGER NOT NULL,       -- nanoseconds since 1970
    stopped INTEGER NOT NULL,       -- nanoseconds since 1970
    wall INTEGER NOT NULL,          -- nanoseconds
    user_time INTEGER NOT NULL,     -- nanoseconds
    system_time INTEGER NOT NULL,   -- nanoseconds
    peak_memory INTEGER NOT NULL,   -- bytes
    host TEXT NOT NULL,
    user TEXT NOT NULL,
    version TEXT NOT NULL,
    git_commit TEXT,
    git_branch TEXT,
    stdout_length INTEGER,          -- bytes; NULL where the stream was closed
    stderr_length INTEGER,          -- bytes; NULL where the stream was closed or went to stdout
    outputs INTEGER NOT NULL,       -- how many
    bytes INTEGER NOT NULL,         -- of its own file and of the values that it names
    last_used INTEGER NOT NULL,     -- nanoseconds since 1970
    hits INTEGER NOT NULL DEFAULT 0,
    path_set INTEGER NOT NULL REFERENCES path_set
);
CREATE INDEX call_started ON call (started);
CREATE INDEX call_command ON call (command);

CREATE TABLE argument (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    n INTEGER NOT NULL,
    text TEXT,                      -- NULL where it was redacted
    PRIMARY KEY (call, n)
) WITHOUT ROWID;

CREATE TABLE tag (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (call, name)
) WITHOUT ROWID;
CREATE INDEX tag_name ON tag (name, value);

-- The paths that calls observed. Calls share sets and sets share paths; what a path's state was, the call's file says.
CREATE TABLE path (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE
);
CREATE TABLE path_set (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    paths BLOB NOT NULL             -- ids in ascending order, each as the LEB128 difference to the one before
);

CREATE TABLE call_value (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    n INTEGER NOT NULL,             -- 0 standard output, 1 standard error, 2 and up the outputs
    path TEXT,                      -- of an output
    digest BLOB,                    -- NULL for an output that has no bytes
    length INTEGER,                 -- bytes
    PRIMARY KEY (call, n)
) WITHOUT ROWID;
CREATE INDEX call_value_digest ON call_value (digest) WHERE digest IS NOT NULL;

CREATE TABLE statistic (
    day INTEGER NOT NULL,           -- since 1970
    name TEXT NOT NULL,             -- of the call, empty where it is unknown
    event TEXT NOT NULL,            -- stored, hit, missed, evicted
    reason TEXT NOT NULL,           -- of a miss, else empty
    count INTEGER NOT NULL,
    saved INTEGER NOT NULL,         -- nanoseconds
    bytes INTEGER NOT NULL,
    PRIMARY KEY (day, name, event, reason)
) WITHOUT ROWID;

-- How far the files were read: folders of calls by their modification time, journals by their bytes.
CREATE TABLE shard (
    shard INTEGER PRIMARY KEY,
    modified INTEGER NOT NULL       -- nanoseconds since 1970
);
CREATE TABLE journal (
    inode INTEGER PRIMARY KEY,
    head BLOB NOT NULL,             -- its first bytes: an inode number can come again
    read INTEGER NOT NULL           -- bytes
);
",
    "
-- All of it is read anew from the files, so the tables that change need not keep what is in them.
DROP TABLE call_value;
DROP TABLE argument;
DROP TABLE tag;
DROP TABLE call;
DELETE FROM path_set;
DELETE FROM path;
DELETE FROM shard;
DELETE FROM journal;
DELETE FROM statistic;

-- Words that calls share: folders, programs, machines, users.
CREATE TABLE word (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE       -- a BLOB where it is not UTF-8, like all text from the file system
);

CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    command BLOB NOT NULL,
    grade TEXT NOT NULL,
    bound INTEGER NOT NULL,
    exit INTEGER NOT NULL,
    name TEXT NOT NULL,             -- the last component of the first argument
    program INTEGER NOT NULL REFERENCES word,
    cwd INTEGER NOT NULL REFERENCES word,
    root INTEGER NOT NULL REFERENCES word,
    started INTEGER NOT NULL,       -- nanoseconds since 1970
    stopped INTEGER NOT NULL,       -- nanoseconds since 1970
    wall INTEGER NOT NULL,          -- nanoseconds
    user_time INTEGER NOT NULL,     -- nanoseconds
    system_time INTEGER NOT NULL,   -- nanoseconds
    peak_memory INTEGER NOT NULL,   -- bytes
    host INTEGER NOT NULL REFERENCES word,
    user INTEGER NOT NULL REFERENCES word,
    version INTEGER NOT NULL REFERENCES word,
    git_commit INTEGER REFERENCES word,
    git_branch INTEGER REFERENCES word,
    outputs INTEGER NOT NULL,       -- how many
    inputs INTEGER NOT NULL,        -- how many paths were observed
    file_bytes INTEGER NOT NULL,    -- of its own file
    bytes INTEGER NOT NULL,         -- of its own file and of the values that it names
    last_used INTEGER NOT NULL,     -- nanoseconds since 1970
    hits INTEGER NOT NULL DEFAULT 0,
    path_set INTEGER NOT NULL REFERENCES path_set
);
CREATE INDEX call_started ON call (started);
CREATE INDEX call_wall ON call (wall, started);
CREATE INDEX call_name ON call (name, started);
CREATE INDEX call_command ON call (command);

CREATE TABLE argument (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    n INTEGER NOT NULL,
    text TEXT,                      -- NULL where it was redacted
    PRIMARY KEY (call, n)
) WITHOUT ROWID;

CREATE TABLE tag (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (call, name)
) WITHOUT ROWID;
CREATE INDEX tag_name ON tag (name, value);

-- Only what was recorded in clear.
CREATE TABLE variable (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (call, name)
) WITHOUT ROWID;

CREATE TABLE call_value (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    n INTEGER NOT NULL,             -- 0 standard output, 1 standard error, 2 and up the outputs
    path TEXT,                      -- of an output
    digest BLOB,                    -- NULL for an output that has no bytes, and for an empty stream
    length INTEGER,                 -- bytes
    inline INTEGER NOT NULL,        -- whether the call's own file holds the bytes
    PRIMARY KEY (call, n)
) WITHOUT ROWID;
CREATE INDEX call_value_digest ON call_value (digest) WHERE digest IS NOT NULL;
CREATE INDEX call_value_file ON call_value (digest, length) WHERE inline = 0;

-- Why the last run of a command was not stored.
CREATE TABLE refusal (
    command BLOB PRIMARY KEY,
    time INTEGER NOT NULL,          -- nanoseconds since 1970
    reason TEXT NOT NULL,
    detail TEXT NOT NULL            -- empty where it was redacted
) WITHOUT ROWID;
",
    "
-- Hits and last uses by key alone, so that they follow from the journal and from nothing else: a call that went into
-- quarantine and was stored again keeps its hits, whether or not somebody asked in between.
CREATE TABLE usage (
    key BLOB PRIMARY KEY,
    hits INTEGER NOT NULL,
    last_used INTEGER NOT NULL      -- nanoseconds since 1970
) WITHOUT ROWID;
INSERT INTO usage (key, hits, last_used) SELECT key, hits, last_used FROM call WHERE hits > 0;

-- Which ledger this catalogue began with or wrote last; at most one row.
CREATE TABLE ledger (
    digest BLOB NOT NULL            -- at the head of its file
);
",
    "
-- All that is in these is read anew from the files, and what the files do not tell is in the tables that stay.
DROP TABLE call_value;
DROP TABLE variable;
DROP TABLE tag;
DROP TABLE argument;
DROP TABLE call;
DROP TABLE path_set;
DROP TABLE path;
DROP TABLE word;
DELETE FROM shard;

-- Numbers begin somewhere else in each catalogue, so that those of a stack can be asked together (see `joint.rs`).
CREATE TABLE word (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL UNIQUE       -- a BLOB where it is not UTF-8, like all text from the file system
);
CREATE TABLE path (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE
);
CREATE TABLE path_set (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    paths BLOB NOT NULL             -- ids in ascending order, each as the LEB128 difference to the one before
);

CREATE TABLE call (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    command BLOB NOT NULL,
    grade TEXT NOT NULL,
    bound INTEGER NOT NULL,
    exit INTEGER NOT NULL,
    name TEXT NOT NULL,             -- the last component of the first argument
    program INTEGER NOT NULL REFERENCES word,
    cwd INTEGER NOT NULL REFERENCES word,
    root INTEGER NOT NULL REFERENCES word,
    started INTEGER NOT NULL,       -- nanoseconds since 1970
    stopped INTEGER NOT NULL,       -- nanoseconds since 1970
    wall INTEGER NOT NULL,          -- nanoseconds
    user_time INTEGER NOT NULL,     -- nanoseconds
    system_time INTEGER NOT NULL,   -- nanoseconds
    peak_memory INTEGER NOT NULL,   -- bytes
    host INTEGER NOT NULL REFERENCES word,
    user INTEGER NOT NULL REFERENCES word,
    version INTEGER NOT NULL REFERENCES word,
    git_commit INTEGER REFERENCES word,
    git_branch INTEGER REFERENCES word,
    outputs INTEGER NOT NULL,       -- how many
    inputs INTEGER NOT NULL,        -- how many paths were observed
    file_bytes INTEGER NOT NULL,    -- of its own file
    bytes INTEGER NOT NULL,         -- of its own file and of the values that it names
    last_used INTEGER NOT NULL,     -- nanoseconds since 1970
    hits INTEGER NOT NULL DEFAULT 0,
    path_set INTEGER NOT NULL REFERENCES path_set
);
CREATE INDEX call_started ON call (started);
CREATE INDEX call_wall ON call (wall, started);
CREATE INDEX call_name ON call (name, started);
CREATE INDEX call_command ON call (command);

CREATE TABLE argument (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    n INTEGER NOT NULL,
    text TEXT,                      -- NULL where it was redacted
    PRIMARY KEY (call, n)
) WITHOUT ROWID;

CREATE TABLE tag (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (call, name)
) WITHOUT ROWID;
CREATE INDEX tag_name ON tag (name, value);

-- Only what was recorded in clear.
CREATE TABLE variable (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (call, name)
) WITHOUT ROWID;

CREATE TABLE call_value (
    call INTEGER NOT NULL REFERENCES call ON DELETE CASCADE,
    n INTEGER NOT NULL,             -- 0 standard output, 1 standard error, 2 and up the outputs
    path TEXT,                      -- of an output
    digest BLOB,                    -- NULL for an output that has no bytes, and for an empty stream
    length INTEGER,                 -- bytes
    inline INTEGER NOT NULL,        -- whether the call's own file holds the bytes
    PRIMARY KEY (call, n)
) WITHOUT ROWID;
CREATE INDEX call_value_digest ON call_value (digest) WHERE digest IS NOT NULL;
CREATE INDEX call_value_file ON call_value (digest, length) WHERE inline = 0;

INSERT INTO sqlite_sequence (name, seq)
SELECT name, base FROM
    (SELECT (abs(random()) % 4194303 + 1) << 40 AS base),
    (SELECT 'word' AS name UNION ALL SELECT 'path' UNION ALL SELECT 'path_set' UNION ALL SELECT 'call');
",
];

/// What [`digest`] is with all migrations. A test tells it where it is another.
const DIGEST: &str = "5067ca9318751c90582a6f7e4d78497933589902ace62b037502591237469dac";

/// The tables whose rows a question may be about.
pub(super) const ASKED: [&str; 11] =
    ["call", "argument", "tag", "variable", "call_value", "word", "path", "path_set", "refusal", "statistic", "usage"];

/// The tables whose rows have numbers that no other catalogue of a stack may use.
pub(super) const NUMBERED: [&str; 4] = ["word", "path", "path_set", "call"];

/// How the tables of a file stand to those of this version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// An older fleche made them, or nobody did.
    Older,
    /// They are the same, to the last word: of a column that a disk gave another name or type SQLite would believe it.
    Same,
    /// A newer fleche made them.
    Newer,
    /// They say that they are of this version, and are others.
    Strange,
}

fn standing(connection: &Connection) -> rusqlite::Result<Standing> {
    // All of one moment: a newer fleche may be at work.
    let moment = connection.unchecked_transaction()?;
    Ok(match version(&moment)?.cmp(&MIGRATIONS.len()) {
        Ordering::Less => Standing::Older,
        Ordering::Greater => Standing::Newer,
        Ordering::Equal if digest(&moment)? == DIGEST => Standing::Same,
        Ordering::Equal => Standing::Strange,
    })
}

/// Refuses what a newer fleche made, before anything is written.
pub(super) fn check(connection: &Connection) -> Result<(), Trouble> {
    if version(connection)? > MIGRATIONS.len() { Err(Trouble::Newer) } else { Ok(()) }
}

/// Whether the tables are those of this version.
pub(super) fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(standing(connection)? == Standing::Same)
}

/// Brings the tables up to this version. Fails where they are then not what this version makes.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Trouble> {
    let mut now = standing(connection)?;
    if now == Standing::Older {
        apply(connection)?;
        now = standing(connection)?;
    }
    match now {
        Standing::Same => Ok(()),
        Standing::Newer => Err(Trouble::Newer),
        Standing::Older | Standing::Strange => {
            let strange = ffi::Error::new(ffi::SQLITE_CORRUPT);
            Err(Trouble::Sql(rusqlite::Error::SqliteFailure(strange, Some("its tables are others".into()))))
        }
    }
}

/// Applies the migrations that the file lacks.
fn apply(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again: somebody else may have done it meanwhile.
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(version(&transaction)?) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number as i64 + 1)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()
}

/// The digest of the definitions of all tables and indexes, as SQLite keeps them.
fn digest(connection: &Connection) -> rusqlite::Result<String> {
    let question = "SELECT concat_ws(char(0), type, name, tbl_name, sql) FROM sqlite_schema ORDER BY name, sql";
    let mut hasher = blake3::Hasher::new();
    let mut statement = connection.prepare(question)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        hasher.update(row.get_ref(0)?.as_bytes()?).update(&[0]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map(|version| version.max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection).unwrap();
        connection
    }

    #[test]
    fn the_tables_are_those_of_the_digest() {
        assert_eq!(digest(&made()).unwrap(), DIGEST);
    }

    #[test]
    fn tables_of_another_making_are_not_ours() {
        for change in [
            "ALTER TABLE path_set RENAME COLUMN paths TO qaths",
            "ALTER TABLE path_set ADD COLUMN more",
            "DROP INDEX call_started",
            "CREATE INDEX more ON call (host)",
        ] {
            let mut connection = made();
            assert!(is_current(&connection).unwrap() && migrate(&mut connection).is_ok());
            connection.execute_batch(change).unwrap();
            assert!(!is_current(&connection).unwrap(), "{change}");
            let told = migrate(&mut connection);
            assert!(
                matches!(&told, Err(Trouble::Sql(why)) if why.sqlite_error_code() == Some(ffi::ErrorCode::DatabaseCorrupt))
            );
        }
    }
}
