//! The environment: which variables count and which the command sees.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Result;
use crate::model::{CommandVariable, EnvironmentMode, EnvironmentRules, Part, Reason, Request};

use super::pattern::{Closeness, Patterns};
use super::volatile;

/// Fleche's own variables: they say what is done with a call, never which call it is.
const OWN: [&[u8]; 8] = [
    b"FLECHE_CACHE",
    b"FLECHE_CONFIG",
    b"FLECHE_MODE",
    b"FLECHE_PROJECT",
    b"FLECHE_SESSION",
    SIGNING_KEY,
    b"FLECHE_TAGS",
    b"FLECHE_VERBOSE",
];

/// What fleche signs with. No command sees it: it could print it, and what it prints is stored, replayed and shared.
const SIGNING_KEY: &[u8] = b"FLECHE_SIGNING_KEY";

/// Counted without being named where the environment is strict.
const STRICTLY_COUNTED: [&[u8]; 3] = [b"PATH", b"LANG", b"TZ"];
/// Seen where the environment is strict, though not counted.
const STRICTLY_SEEN: [&[u8]; 6] = [b"HOME", b"USER", b"LOGNAME", b"SHELL", b"TMPDIR", b"TERM"];

/// Stands for the working directory in PWD: no value has a zero byte.
const WORKING_DIRECTORY: &[u8] = b"\0cwd";

/// The environment of a command, looked at.
pub struct Environment {
    /// The entries that the command sees, in their order.
    pub visible: Vec<OsString>,
    /// What counts of them, sorted by name.
    pub parts: Vec<Part>,
}

/// Sorts out what counts and what is seen of `entries`.
///
/// # Errors
///
/// A malformed glob.
pub fn environment(rules: &EnvironmentRules, entries: &[OsString], cwd: &Path) -> Result<Environment> {
    let sieve = Sieve::new(rules)?;
    let mut parts = Vec::with_capacity(entries.len());
    for (name, value, entry) in sorted(entries) {
        if let Some(counted) = sieve.counted_value(name, value, entry, cwd) {
            parts.push(part(entry, &counted, sieve.counted.name(name)));
        }
    }
    let visible = entries.iter().filter(|entry| sieve.shows(split(entry).0)).cloned().collect();
    Ok(Environment { visible, parts })
}

/// What is recorded of the `visible` entries of a command's environment: a replay does not need to know.
///
/// # Errors
///
/// A malformed glob.
pub fn variables(rules: &EnvironmentRules, visible: &[OsString], cwd: &Path) -> Result<Vec<CommandVariable>> {
    let sieve = Sieve::new(rules)?;
    let variable = |(name, value, entry): (&OsStr, Option<&OsStr>, &OsString)| CommandVariable {
        name: name.to_owned(),
        value: value.unwrap_or_default().to_owned(),
        counted: sieve.counted_value(name, value, entry, cwd).is_some(),
        clear: sieve.counted.name(name),
    };
    Ok(sorted(visible).into_iter().map(variable).collect())
}

/// The entries with their names and values, by name. Duplicates keep their order: some programs take the first,
/// some the last.
fn sorted(entries: &[OsString]) -> Vec<(&OsStr, Option<&OsStr>, &OsString)> {
    let mut sorted: Vec<_> = entries.iter().map(|entry| (split(entry).0, split(entry).1, entry)).collect();
    sorted.sort_by_key(|(name, ..)| *name);
    sorted
}

/// The entries that the command sees, in their order.
///
/// # Errors
///
/// A malformed glob.
pub fn visible_environment(rules: &EnvironmentRules, entries: &[OsString]) -> Result<Vec<OsString>> {
    let sieve = Sieve::new(rules)?;
    Ok(entries.iter().filter(|entry| sieve.shows(split(entry).0)).cloned().collect())
}

/// The value of the first entry called `name`, as `getenv(3)` finds it.
pub fn variable<'a>(entries: &'a [OsString], name: &[u8]) -> Option<&'a OsStr> {
    entries.iter().map(|entry| split(entry)).find(|(found, _)| found.as_bytes() == name).and_then(|(_, value)| value)
}

/// The first of what `--require-arg` and `--require-env` ask for that is not there.
///
/// A malformed glob matches nothing: [`command`](super::command()) has told of it before.
pub fn missing_requirement(request: &Request, environment: &[OsString]) -> Option<Reason> {
    let is_given = |glob: &&String| {
        let patterns = Patterns::new(std::slice::from_ref(*glob));
        let mut arguments = (1..request.argv.len()).flat_map(|position| request.spellings(position));
        patterns.is_ok_and(|patterns| arguments.any(|argument| patterns.name(argument)))
    };
    if let Some(glob) = request.arguments.required.iter().find(|glob| !is_given(glob)) {
        return Some(Reason::ArgumentMissing(glob.clone()));
    }
    let is_set = |name: &&String| variable(environment, name.as_bytes()).is_some();
    let name = request.environment.required.iter().find(|name| !is_set(name))?;
    Some(Reason::VariableMissing(name.clone()))
}

/// The rules, compiled.
struct Sieve {
    mode: EnvironmentMode,
    counted: Patterns,
    ignored: Patterns,
}

impl Sieve {
    fn new(rules: &EnvironmentRules) -> Result<Sieve> {
        let (counted, ignored) = (Patterns::new(&rules.counted)?, Patterns::new(&rules.ignored)?);
        Ok(Sieve { mode: rules.mode, counted, ignored })
    }

    /// Whether a variable counts. Of `--env` and `--ignore-env` the one that names it more closely
    /// decides, and `--env` if both are as close: counting too much is the safe side.
    fn counts(&self, name: &OsStr) -> bool {
        if OWN.contains(&name.as_bytes()) {
            return false;
        }
        let (counted, ignored) = (self.counted.closeness(name), self.ignored.closeness(name));
        if counted.max(ignored) > Closeness::Not {
            return counted >= ignored;
        }
        match self.mode {
            EnvironmentMode::All => !volatile::is_volatile(name),
            EnvironmentMode::Listed => false,
            EnvironmentMode::Strict => counts_strictly(name.as_bytes()),
        }
    }

    /// What counts of an entry, if anything does.
    fn counted_value<'a>(
        &self,
        name: &OsStr,
        value: Option<&OsStr>,
        entry: &'a OsStr,
        cwd: &Path,
    ) -> Option<Cow<'a, [u8]>> {
        match value {
            _ if !self.counts(name) => None,
            // What is in it is counted already, relative to the project's root; that it is there is not.
            Some(value) if name == "PWD" && value == cwd.as_os_str() && !self.counted.name(name) => {
                Some(Cow::Borrowed(WORKING_DIRECTORY))
            }
            _ => counted_value(entry),
        }
    }

    /// Whether the command sees a variable.
    fn shows(&self, name: &OsStr) -> bool {
        let bytes = name.as_bytes();
        bytes != SIGNING_KEY
            && (self.mode != EnvironmentMode::Strict
                || counts_strictly(bytes)
                || STRICTLY_SEEN.contains(&bytes)
                || self.counted.name(name))
    }
}

fn counts_strictly(name: &[u8]) -> bool {
    STRICTLY_COUNTED.contains(&name) || name.starts_with(b"LC_")
}

/// The name and the value of an entry; an entry without `=` is all name, and so is one with an empty name.
fn split(entry: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = entry.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        None | Some(0) => (entry, None),
        Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(OsStr::from_bytes(&bytes[at + 1..]))),
    }
}

/// What counts of an entry's value, if anything does; of an entry without one, all of it.
fn counted_value(entry: &OsStr) -> Option<Cow<'_, [u8]>> {
    match split(entry) {
        (name, Some(value)) if name == "MAKEFLAGS" || name == "MFLAGS" => {
            let rest = without_jobserver(value.as_bytes());
            (!rest.is_empty()).then_some(Cow::Owned(rest))
        }
        (_, value) => Some(Cow::Borrowed(value.unwrap_or(entry).as_bytes())),
    }
}

fn part(entry: &OsStr, value: &[u8], is_named: bool) -> Part {
    let name = match split(entry) {
        (name, Some(_)) => format!("env.{}", readable(name)),
        (_, None) => "env-entry".to_owned(),
    };
    if is_named { Part::open(name, value) } else { Part::secret(name, value) }
}

/// A name as text, of which no two names share one.
fn readable(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) if !text.contains('\\') => text.to_owned(),
        _ => name.as_bytes().escape_ascii().to_string(),
    }
}

/// The flags that a make passes on, without those that tell of its jobserver.
///
/// How many jobs run at once, and through which pipe they are counted, differs from make to make and means
/// nothing to a result; what else is in there (`k`, `CFLAGS=-O2`) is what a nested make is given. After
/// `--` come variables, in which every word counts.
fn without_jobserver(flags: &[u8]) -> Vec<u8> {
    let (mut kept, mut words) = (Vec::new(), words(flags).peekable());
    while let Some(word) = words.next() {
        if word == b"--" {
            if let Some(first) = words.next() {
                // All that follows, as it stands.
                let start = first.as_ptr().addr() - flags.as_ptr().addr();
                kept.extend([word, &flags[start..]]);
            }
            break;
        }
        let is_jobs = word.strip_prefix(b"-j").is_some_and(is_digits);
        if is_jobs {
            let _ = words.next_if(|next| word == b"-j" && !next.is_empty() && is_digits(next));
        } else if !word.starts_with(b"--jobserver-") {
            kept.push(word);
        }
    }
    kept.join(&b' ')
}

fn is_digits(word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_digit)
}

/// The words between blanks; make writes a backslash before a blank that is part of a word.
fn words(flags: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_escaped = false;
    let is_border = move |byte: &u8| {
        let border = *byte == b' ' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        border
    };
    flags.split(is_border).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn rules(mode: EnvironmentMode, counted: &[&str], ignored: &[&str]) -> EnvironmentRules {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        EnvironmentRules { mode, counted: owned(counted), ignored: owned(ignored), required: Vec::new() }
    }

    fn look(rules: &EnvironmentRules, words: &[&str]) -> Environment {
        environment(rules, &entries(words), Path::new("/w")).unwrap()
    }

    fn recorded(rules: &EnvironmentRules, words: &[&str]) -> Vec<CommandVariable> {
        variables(rules, &entries(words), Path::new("/w")).unwrap()
    }

    fn counted(rules: &EnvironmentRules, words: &[&str]) -> Vec<String> {
        let shown = |part: &Part| format!("{}={}", part.name, String::from_utf8_lossy(&part.value));
        look(rules, words).parts.iter().map(shown).collect()
    }

    #[test]
    fn all_but_the_volatile_count_in_order_of_names() {
        let all = rules(EnvironmentMode::All, &[], &[]);
        let words = ["B=2", "SHLVL=1", "A=1", "B=1", "ODD", "FLECHE_TAGS=x", "=::=x"];
        assert_eq!(counted(&all, &words), ["env-entry==::=x", "env.A=1", "env.B=2", "env.B=1", "env-entry=ODD"]);
        assert_eq!(look(&all, &words).visible, entries(&words));
        assert!(look(&all, &words).parts.iter().all(|part| part.secret));
    }

    #[test]
    fn no_command_sees_what_fleche_signs_with() {
        for mode in [EnvironmentMode::All, EnvironmentMode::Listed, EnvironmentMode::Strict] {
            let rules = rules(mode, &["FLECHE_*", "A"], &[]);
            let words = ["A=1", "FLECHE_SIGNING_KEY=secret"];
            assert_eq!(counted(&rules, &words), ["env.A=1"]);
            assert_eq!(look(&rules, &words).visible, entries(&words[..1]));
            assert_eq!(visible_environment(&rules, &entries(&words)).unwrap(), entries(&words[..1]));
        }
    }

    #[test]
    fn a_named_variable_counts_and_is_clear() {
        let rules = rules(EnvironmentMode::All, &["SHL*"], &[]);
        let found = look(&rules, &["SHLVL=1"]);
        assert_eq!(found.parts, [Part::open("env.SHLVL", "1")]);
        let recorded = recorded(&rules, &["SHLVL=1"]);
        assert!(recorded[0].clear && recorded[0].counted);
    }

    #[test]
    fn the_closer_name_decides_and_counting_in_doubt() {
        for (env, ignored, counts) in
            [("A*", "AB", false), ("AB", "A*", true), ("AB", "AB", true), ("A*", "A*", true), ("X", "A*", false)]
        {
            let rules = rules(EnvironmentMode::All, &[env], &[ignored]);
            assert_eq!(counted(&rules, &["AB=1"]).len(), usize::from(counts), "{env} {ignored}");
        }
    }

    #[test]
    fn an_ignored_variable_is_seen_and_recorded() {
        let rules = rules(EnvironmentMode::All, &[], &["A"]);
        let (found, recorded) = (look(&rules, &["A=1"]), recorded(&rules, &["A=1"]));
        assert_eq!((found.parts.len(), found.visible.len(), recorded.len()), (0, 1, 1));
        assert!(!recorded[0].counted && !recorded[0].clear);
    }

    #[test]
    fn listed_counts_what_is_named_and_shows_everything() {
        let rules = rules(EnvironmentMode::Listed, &["CC"], &[]);
        let words = ["PATH=/bin", "CC=cc", "X=1"];
        assert_eq!(counted(&rules, &words), ["env.CC=cc"]);
        assert_eq!(look(&rules, &words).visible, entries(&words));
    }

    #[test]
    fn strict_hides_the_rest() {
        let rules = rules(EnvironmentMode::Strict, &["CC"], &["TZ"]);
        let words = ["X=1", "PATH=/bin", "HOME=/h", "LC_ALL=C", "CC=cc", "TERM=vt", "ODD", "LANG=C", "TZ=UTC"];
        assert_eq!(counted(&rules, &words), ["env.CC=cc", "env.LANG=C", "env.LC_ALL=C", "env.PATH=/bin"]);
        let seen = ["PATH=/bin", "HOME=/h", "LC_ALL=C", "CC=cc", "TERM=vt", "LANG=C", "TZ=UTC"];
        assert_eq!(look(&rules, &words).visible, entries(&seen));
        assert_eq!(visible_environment(&rules, &entries(&words)).unwrap(), entries(&seen));
    }

    #[test]
    fn another_name_of_the_working_directory_counts() {
        let all = rules(EnvironmentMode::All, &[], &[]);
        assert_eq!(counted(&all, &[]), [""; 0]);
        assert_eq!(counted(&all, &["PWD=/w"]), ["env.PWD=\0cwd"]);
        assert_eq!(counted(&all, &["PWD=/alias"]), ["env.PWD=/alias"]);
        assert_eq!(counted(&all, &["PWD=/w/"]), ["env.PWD=/w/"]);
    }

    #[test]
    fn the_jobserver_is_taken_away() {
        for (flags, rest) in [
            (" -j2 --jobserver-auth=3,4", ""),
            ("-j", ""),
            (" -j 8 --jobserver-fds=3,4 --jobserver-style=pipe --", ""),
            ("ks -j16 --jobserver-auth=fifo:/tmp/GMfifo7", "ks"),
            (" -j2 --jobserver-auth=8,9 -- CFLAGS=-O2", "-- CFLAGS=-O2"),
            ("k -- A=-j4 B=x\\ -j2", "k -- A=-j4 B=x\\ -j2"),
            ("k -- A=x -j4", "k -- A=x -j4"),
            ("A=x\\ -j4", "A=x\\ -j4"),
            ("--no-print-directory -l4", "--no-print-directory -l4"),
            ("-j8 7", "7"),
            ("-j k", "k"),
            ("-jobs -jk", "-jobs -jk"),
        ] {
            assert_eq!(without_jobserver(flags.as_bytes()), rest.as_bytes(), "{flags}");
        }
        let all = rules(EnvironmentMode::All, &[], &[]);
        assert_eq!(counted(&all, &["MAKEFLAGS= -j2", "MFLAGS=-k -j2"]), ["env.MFLAGS=-k"]);
        // To any other program such words are its own.
        assert_eq!(counted(&all, &["FLAGS= -j2  x", "NONE="]), ["env.FLAGS= -j2  x", "env.NONE="]);
    }

    #[test]
    fn no_two_names_share_a_text() {
        let names: [&[u8]; 5] = [b"\xff", b"\\xff", b"a\\", b"a\\\\", b"\xc3\xa4"];
        let mut texts: Vec<String> = names.iter().map(|name| readable(OsStr::from_bytes(name))).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), names.len());
        for (name, text) in [(&b"\xc3\xa4"[..], "\u{e4}"), (b"a'\"", "a'\""), (b"a\\", "a\\\\"), (b"\xff", "\\xff")] {
            assert_eq!(readable(OsStr::from_bytes(name)), text);
        }
    }

    #[test]
    fn what_is_required_and_missing_is_named() {
        let mut request = Request { argv: entries(&["--seed=0", "--seed=1"]), ..Request::default() };
        request.arguments.required = vec!["--seed=*".to_owned()];
        request.environment.required = vec!["SEED".to_owned()];
        assert_eq!(missing_requirement(&request, &entries(&["SEED=1"])), None);
        assert_eq!(missing_requirement(&request, &entries(&["SEEDS=1"])), Some(Reason::VariableMissing("SEED".into())));
        request.argv.pop();
        assert_eq!(missing_requirement(&request, &[]), Some(Reason::ArgumentMissing("--seed=*".into())));
    }

    #[test]
    fn the_first_of_a_name_is_its_value() {
        let entries = entries(&["PATH", "PATH2=x", "PATH=a", "PATH=b"]);
        assert_eq!(variable(&entries, b"PATH2"), Some(OsStr::new("x")));
        assert_eq!(variable(&entries[2..], b"PATH"), Some(OsStr::new("a")));
        assert_eq!(variable(&entries[1..2], b"PATH"), None);
    }
}
