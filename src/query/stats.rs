//! What the cache was good for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::store::Counted;

/// Hits, misses and what they were worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Replays.
    pub hits: u64,
    /// Nanoseconds that they saved.
    pub saved: u64,
    /// Runs that were stored.
    pub stored: u64,
    /// Bytes that these added to the store.
    pub bytes: u64,
    /// Runs that were not stored.
    pub not_stored: u64,
    /// Calls that were taken over from other caches.
    pub copied: u64,
    /// Calls that were evicted.
    pub evicted: u64,
}

impl Worth {
    /// Runs: replays would have been hits.
    pub fn misses(&self) -> u64 {
        self.stored + self.not_stored
    }

    /// Hits in a hundred, rounded; `None` where nothing was asked of the cache.
    pub fn rate(&self) -> Option<u64> {
        let all = self.hits + self.misses();
        (all > 0).then(|| (self.hits * 100 + all / 2) / all)
    }

    fn add(&mut self, counted: &Counted) {
        let into = match counted.event.as_str() {
            "hit" => &mut self.hits,
            "stored" => &mut self.stored,
            "missed" => &mut self.not_stored,
            "copied" => &mut self.copied,
            _ => &mut self.evicted,
        };
        *into += counted.count;
        self.saved += counted.saved;
        self.bytes += counted.bytes;
    }

    /// As fields of an object.
    pub fn json(&self) -> Value {
        json!({
            "hits": self.hits,
            "misses": self.misses(),
            "stored": self.stored,
            "not_stored": self.not_stored,
            "saved_ns": self.saved,
            "bytes_stored": self.bytes,
            "copied": self.copied,
            "evicted": self.evicted,
        })
    }
}

/// What happened, added up in several ways.
#[derive(Debug, Default)]
pub struct History {
    /// All of it.
    pub all: Worth,
    /// By the name of the command.
    pub by_name: BTreeMap<String, Worth>,
    /// By the day, in days since 1970.
    pub by_day: BTreeMap<i64, Worth>,
    /// Why commands had to run, and how often.
    pub missed_because: BTreeMap<String, u64>,
    /// Why runs were not stored, and how often.
    pub not_stored_because: BTreeMap<String, u64>,
}

impl History {
    /// Adds up.
    pub fn of(counted: &[Counted]) -> History {
        let mut history = History::default();
        for line in counted {
            history.all.add(line);
            if line.event != "evicted" {
                history.by_name.entry(line.name.clone()).or_default().add(line);
            }
            history.by_day.entry(line.day).or_default().add(line);
            match line.event.as_str() {
                "stored" => *history.missed_because.entry(line.reason.clone()).or_default() += line.count,
                "missed" => *history.not_stored_because.entry(line.reason.clone()).or_default() += line.count,
                _ => {}
            }
        }
        history
    }

    /// The names of commands with what each was worth, the most saving first.
    pub fn names(&self) -> Vec<(&str, &Worth)> {
        let mut names: Vec<(&str, &Worth)> = self.by_name.iter().map(|(name, worth)| (name.as_str(), worth)).collect();
        names.sort_by_key(|(_, worth)| std::cmp::Reverse((worth.saved, worth.hits, worth.misses())));
        names
    }

    /// For programs; `day` spells a day.
    pub fn json(&self, day: impl Fn(i64) -> String) -> Map<String, Value> {
        let mut object = match self.all.json() {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        let named = |(name, worth): (&String, &Worth)| (name.clone(), worth.json());
        let days = self.by_day.iter().map(|(number, worth)| (day(*number), worth.json()));
        object.insert("missed_because".to_owned(), json!(self.missed_because));
        object.insert("not_stored_because".to_owned(), json!(self.not_stored_because));
        object.insert("by_name".to_owned(), Value::Object(self.by_name.iter().map(named).collect()));
        object.insert("by_day".to_owned(), Value::Object(days.collect()));
        object
    }
}
