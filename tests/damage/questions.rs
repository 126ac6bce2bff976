//! What is asked of a cache: whatever is damaged, each question ends, without a panic, and with an honest status.

use std::fs;

use crate::scene::Scene;
use crate::world::Outcome;

/// Questions, and changes that somebody asks for.
const ALL: [&[&str]; 14] = [
    &["table"],
    &["query", "--json"],
    &["stats"],
    &["show", "KEY"],
    &["load", "KEY"],
    &["contains", "KEY"],
    &["explain", "-i", "input", "-o", "made", "-o", "large", "--", "./tool"],
    &["expand", "SHORT"],
    &["graph", "KEY"],
    &["export", "FILE"],
    &["verify"],
    &["gc", "--grace", "0s"],
    &["reindex"],
    &["verify"],
];

impl Scene {
    /// Asks everything. No answer but yes, no and an error of few lines is honest.
    #[track_caller]
    pub fn ask_all(&self, key: &str) {
        for words in ALL {
            let outcome = self.ask(words, key);
            let lines = outcome.stderr().lines().count();
            assert!(outcome.code() <= 2, "{words:?} ends with {}: {}", outcome.code(), outcome.stderr());
            // What is silent about a failure is not honest.
            assert!(outcome.code() < 2 || lines > 0, "{words:?} fails silently");
            let is_told =
                outcome.stderr().lines().all(|line| line.starts_with("fleche: ") || line.starts_with("hint: "));
            // An export has a line for each of the three calls that it leaves out, and one for all. `load` prints what the command
            // printed, and that is its stderr only where it is asked for.
            let most = if words[0] == "export" { 4 } else { 3 };
            assert!(is_told && lines <= most, "{words:?} says {}", outcome.stderr());
        }
    }

    /// Asks everything of a cache that is whole: each answer must be a plain yes.
    #[track_caller]
    pub fn answers_all(&self, key: &str) {
        for words in ALL {
            let outcome = self.ask(words, key);
            assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()), "{words:?}: {}", outcome.stdout());
        }
    }

    /// Asks one thing.
    #[track_caller]
    pub fn ask(&self, words: &[&str], key: &str) -> Outcome {
        let file = self.world.root().join("exported");
        let _ = fs::remove_file(&file);
        let words: Vec<&str> = words
            .iter()
            .map(|word| match *word {
                "KEY" => key,
                "SHORT" => &key[..12],
                "FILE" => file.to_str().unwrap(),
                other => other,
            })
            .collect();
        self.outcome(self.fleche(&words))
    }

    /// What the catalogue says of the calls, but for what each question or replay changes.
    #[track_caller]
    pub fn listing(&self) -> Result<Vec<serde_json::Value>, String> {
        let outcome = self.outcome(self.fleche(&["query", "--sort", "key", "--json"]));
        if outcome.code() != 0 || !outcome.stderr.is_empty() {
            return Err(format!("status {}: {}", outcome.code(), outcome.stderr()));
        }
        let call = |line: &str| {
            let mut call: serde_json::Value = serde_json::from_str(line).unwrap();
            let facts = call.as_object_mut().unwrap();
            ["hits", "used"].iter().for_each(|name| assert!(facts.remove(*name).is_some(), "{line}"));
            call
        };
        Ok(outcome.stdout().lines().map(call).collect())
    }
}
