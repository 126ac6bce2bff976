//! The catalogue's side files hold no secret either, while questions are asked.

use fleche::store::Store;
use rusqlite::Connection;

use crate::canary::Remains;
use crate::stage::{MARKER, Stage};
use crate::tell;

#[test]
fn no_secret_is_in_the_write_ahead_log() {
    let stage = Stage::new();
    let cache = stage.world.cache();
    assert_eq!(stage.run(&["-i", "input", "-o", "out.txt"]).code(), 0);
    assert_eq!(stage.fleche(&["table"]).run().code(), 0);
    // A reader that stays keeps the log from being folded into the file and removed.
    let reader = Connection::open(cache.join("index.sqlite")).unwrap();
    let journal: String = reader.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    if journal != "wal" {
        return tell(&format!(
            "the write-ahead log: skipped, the catalogue has a journal of the mode `{journal}` here"
        ));
    }
    reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").unwrap();
    assert_eq!(stage.run(&["-i", "input", "-o", "out.txt", "--revision", "2"]).code(), 0);
    assert_eq!(stage.fleche(&["table"]).run().code(), 0);
    let log = std::fs::read(cache.join("index.sqlite-wal")).unwrap();
    assert!(Remains::text("log", log.clone()).hold(MARKER.as_bytes()), "the log does not hold the call");
    let searched = stage.search("the write-ahead log", std::slice::from_ref(&cache));
    for key in stage.keys() {
        assert_eq!(stage.fleche(&["evict", &key]).run().code(), 0);
    }
    stage.search("the write-ahead log after evicting", std::slice::from_ref(&cache));
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    // The store opens as ever.
    drop(Store::open(&cache).unwrap());
    tell(&format!(
        "a write-ahead log of {} bytes, open: no secret in it, nor in {} files beside it",
        log.len(),
        searched.files
    ));
}
