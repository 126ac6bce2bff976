//! What the cache was good for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::Reply;
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

/// What a store beyond this machine was good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// How often it was asked for what answers a command.
    pub asked: u64,
    /// How often it had that.
    pub found: u64,
    /// How often it, or what it said, was of no use.
    pub failed: u64,
    /// Nanoseconds that the runs had taken which were found.
    pub saved: u64,
    /// Nanoseconds that were waited for it.
    pub waited: u64,
    /// Those of them that were waited in vain.
    pub lost: u64,
    /// Bytes of objects that came.
    pub received: u64,
    /// Calls that were put there.
    pub sent: u64,
    /// Calls that could not be put there; tried again, one counts again.
    pub unsent: u64,
    /// Bytes of objects that were put there.
    pub bytes_sent: u64,
    /// Requests, of both kinds.
    pub requests: u64,
}

impl Shared {
    /// Whether that was about a store beyond this machine: then it is added.
    fn adds(by_cache: &mut BTreeMap<String, Shared>, counted: &Counted) -> bool {
        let event = counted.event.as_str();
        if !["asked", "asking", "sent", "sending"].contains(&event) {
            return false;
        }
        let is = |reply: Reply| counted.reason == reply.name();
        let into = by_cache.entry(counted.name.clone()).or_default();
        match event {
            "asked" => {
                into.asked += counted.count;
                into.found += if is(Reply::Done) { counted.count } else { 0 };
                into.failed += if is(Reply::Failed) { counted.count } else { 0 };
                into.saved += counted.saved;
                into.received += counted.bytes;
            }
            "asking" => {
                into.requests += counted.count;
                into.waited += counted.saved;
                into.lost += if is(Reply::Done) { 0 } else { counted.saved };
            }
            "sent" => {
                into.sent += if is(Reply::Done) { counted.count } else { 0 };
                into.unsent += if is(Reply::Failed) { counted.count } else { 0 };
                into.bytes_sent += counted.bytes;
            }
            _ => into.requests += counted.count,
        }
        true
    }

    /// As fields of an object.
    pub fn json(&self) -> Value {
        json!({
            "asked": self.asked,
            "found": self.found,
            "failed": self.failed,
            "saved_ns": self.saved,
            "waited_ns": self.waited,
            "lost_ns": self.lost,
            "bytes_received": self.received,
            "sent": self.sent,
            "unsent": self.unsent,
            "bytes_sent": self.bytes_sent,
            "requests": self.requests,
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
    /// By the name of a store beyond this machine.
    pub by_cache: BTreeMap<String, Shared>,
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
            if Shared::adds(&mut history.by_cache, line) {
                continue;
            }
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
        let caches = self.by_cache.iter().map(|(name, shared)| (name.clone(), shared.json()));
        object.insert("by_cache".to_owned(), Value::Object(caches.collect()));
        object
    }
}
