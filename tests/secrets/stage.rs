//! A world with secrets in all places, and a command that is given them.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};

use crate::canary::{Canary, Forms, Remains};
use crate::world::{Outcome, Session, World};

/// An argument that is no secret: what is searched must hold it, or nothing was recorded and the search proves nothing.
pub const MARKER: &str = "an-open-argument";

/// The variables that hold secrets, and what stands before each in its value.
const VARIABLES: [(&str, &str); 4] = [
    ("DEPLOY_TOKEN", ""),
    // Ignored by the command line.
    ("SESSION_TOKEN", ""),
    // Never counted.
    ("CI_JOB_TOKEN", ""),
    ("DATABASE_URL", "postgres://user:"),
];

/// What the tool is given: with the place of the secret, what stands before it and behind it, and whether it is a word.
const ARGUMENTS: [(&str, &str, &str); 4] = [
    ("an argument with its name", "--token=", ""),
    ("an argument behind its name", "", ""),
    ("an argument that is an address", "https://user:", "@host.example/path?x=1"),
    ("an argument in quotes", "Authorization: Bearer ", ""),
];

/// Reads all that it is given, makes a file, and waits where somebody wants to look on.
const TOOL: &str = "#!/bin/sh
test -e ../counted && echo x >> ../counted
cat > /dev/null; cat list > /dev/null; sort input > out.txt; echo done
test -e wait && cat wait
exit $(cat status)
";

/// One world, and what was said in it.
pub struct Stage {
    pub world: World,
    pub secrets: Vec<Canary>,
    said: RefCell<Vec<(String, Vec<u8>)>>,
    /// Commands that were run.
    asked: Cell<usize>,
}

/// What was searched.
#[derive(Clone, Copy, Default)]
pub struct Searched {
    pub commands: usize,
    pub files: usize,
    pub bytes: usize,
    pub needles: usize,
}

impl Stage {
    pub fn new() -> Stage {
        let mut secrets = Vec::new();
        for (name, before) in VARIABLES {
            let words = |text: &str| vec![format!("{before}{text}"), format!("{name}={before}{text}")];
            secrets.push(Canary::new(name, Forms::TextAndDigests, words));
        }
        for (place, before, behind) in ARGUMENTS {
            secrets.push(Canary::new(place, Forms::TextAndDigests, |text| vec![format!("{before}{text}{behind}")]));
        }
        secrets.push(Canary::new("standard input", Forms::Text, |_| Vec::new()));
        secrets.push(Canary::new("an input file", Forms::Text, |_| Vec::new()));
        secrets.push(Canary::new("the configuration", Forms::TextAndDigests, |_| Vec::new()));
        let world = World::new();
        world.script("tool", TOOL);
        world.write("input", "2\n1\n");
        world.write("status", "0");
        let stage = Stage { world, secrets, said: RefCell::default(), asked: Cell::new(0) };
        stage.world.write("list", format!("# {}\n", stage.secret("an input file")));
        let own = stage.world.home().join(".config/fleche");
        fs::create_dir_all(&own).unwrap();
        let key = stage.secret("the configuration");
        let text = format!("# {key}\n[defaults]\nredact-arg = [\"--key={key}\", \"*hush*\"]\n");
        fs::write(own.join("config.toml"), text).unwrap();
        stage
    }

    /// The text of the secret in this place.
    pub fn secret(&self, place: &str) -> &str {
        &self.secrets.iter().find(|canary| canary.place == place).unwrap().text
    }

    /// fleche with these words, in an environment with secrets.
    pub fn fleche(&self, words: &[&str]) -> Session {
        self.with_secrets(self.world.fleche(words))
    }

    /// The same of any session.
    pub fn with_secrets(&self, mut session: Session) -> Session {
        for (name, before) in VARIABLES {
            session = session.env(name, format!("{before}{}", self.secret(name)));
        }
        session
    }

    /// The words of the tool, with a secret in every argument that has one.
    pub fn tool(&self) -> Vec<String> {
        let mut words = vec!["./tool".to_owned(), MARKER.to_owned(), "--password".to_owned()];
        words.extend(ARGUMENTS.map(|(place, before, behind)| format!("{before}{}{behind}", self.secret(place))));
        words.push(format!("--key={}", self.secret("the configuration")));
        words.push("@list".to_owned());
        words
    }

    /// `fleche COMMAND` of the tool with these options, its input through a pipe.
    pub fn asked(&self, command: &[&str], options: &[&str]) -> Session {
        let tool = self.tool();
        let hidden = ["--ignore-env", "SESSION_TOKEN", "--redact-arg", "*hush*"];
        let tool = tool.iter().map(String::as_str);
        let words: Vec<&str> =
            command.iter().chain(&hidden).chain(options).copied().chain(["--"]).chain(tool).collect();
        self.fleche(&words)
    }

    /// `fleche run -v` of the tool, with standard input.
    pub fn run(&self, options: &[&str]) -> Outcome {
        let with_input = [&["--stdin"], options].concat();
        let input = format!("{}\n", self.secret("standard input"));
        self.say(self.asked(&["run", "-v"], &with_input).input(input))
    }

    /// Runs it, and keeps what it says to be searched.
    pub fn say(&self, session: Session) -> Outcome {
        let outcome = session.run();
        let name = format!("what command {} said", self.asked.get());
        self.asked.set(self.asked.get() + 1);
        self.hear(&name, [&outcome.stdout[..], &outcome.stderr].concat());
        outcome
    }

    /// Keeps a text to be searched.
    pub fn hear(&self, name: &str, text: Vec<u8>) {
        self.said.borrow_mut().push((name.to_owned(), text));
    }

    /// The keys of the calls that are stored.
    pub fn keys(&self) -> Vec<String> {
        self.fleche(&["query"]).run().stdout().lines().map(str::to_owned).collect()
    }

    /// Fails if anything that was said, or lies in one of these folders, holds a secret.
    #[track_caller]
    pub fn search(&self, way: &str, folders: &[PathBuf]) -> Searched {
        let mut leaks = Vec::new();
        let mut searched = Searched { commands: self.asked.get(), ..Searched::default() };
        let said = self.said.borrow();
        let said = said.iter().map(|(name, text)| Remains::text(name, text.clone()));
        for remains in folders.iter().map(|folder| Remains::of(folder)).chain(said) {
            let (files, bytes) = remains.size();
            searched.files += files;
            searched.bytes += bytes;
            leaks.extend(remains.leaks(&self.secrets));
        }
        searched.needles = self.secrets.iter().map(Canary::forms).sum();
        assert!(leaks.is_empty(), "{way}: {}", leaks.join("\n"));
        searched
    }

    /// The cache's folder must hold a call of the tool.
    #[track_caller]
    pub fn holds_marker(&self, way: &str, folder: &Path) {
        assert!(Remains::of(folder).hold(MARKER.as_bytes()), "{way}: nothing was recorded");
    }
}
