//! Options that are part of the key, side by side.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::model::{Call, Difference, Isolation, Request, Side, Subject};

use super::super::redaction::{HIDDEN, Redaction};
use super::Now;
use super::arguments::gaps;

/// Options that were given on one side only.
pub fn differences(now: &Now, call: &Call, redaction: &Redaction) -> Vec<Difference> {
    let mut found = Vec::new();
    let (ours, theirs) = (lists(now.request), lists(&call.request));
    for ((name, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
        // Below the root a path counts relative to it.
        let is_same = |one: &&OsStr, other: &&OsStr| below(one, &now.command.root) == below(other, &call.root);
        let mut flag = |word: &OsStr, given| {
            let value = Some(shown(word, redaction).unwrap_or_else(|| HIDDEN.into()));
            found.push(Difference { subject: Subject::Flag { name, value, given }, remedy: Vec::new() });
        };
        for (came, went) in gaps(&ours, &theirs, is_same) {
            came.iter().for_each(|word| flag(word, Side::Now));
            went.iter().for_each(|word| flag(word, Side::Then));
        }
    }
    let switches = |request: &Request| [("--gitignore", request.gitignore), ("--pure", request.pure)];
    for ((name, ours), (_, theirs)) in switches(now.request).into_iter().zip(switches(&call.request)) {
        if ours != theirs {
            let given = if ours { Side::Now } else { Side::Then };
            found.push(Difference { subject: Subject::Flag { name, value: None, given }, remedy: Vec::new() });
        }
    }
    let (ours, theirs) = (now.request.isolation, call.request.isolation);
    if ours != theirs {
        for (isolation, given) in [(ours, Side::Now), (theirs, Side::Then)] {
            let name = match isolation {
                Isolation::None => continue,
                Isolation::Folder => "--isolate",
                Isolation::Strict => "--isolate=strict",
            };
            found.push(Difference { subject: Subject::Flag { name, value: None, given }, remedy: Vec::new() });
        }
    }
    found
}

/// A word as it may be shown; none where it tells of something redacted.
pub fn shown(word: &OsStr, redaction: &Redaction) -> Option<OsString> {
    (!redaction.is_told_by(word.as_bytes())).then(|| word.to_owned())
}

/// The options that may be given more than once, with their values.
fn lists(request: &Request) -> [(&'static str, Vec<&OsStr>); 7] {
    fn words(words: &[OsString]) -> Vec<&OsStr> {
        words.iter().map(OsString::as_os_str).collect()
    }
    fn texts(texts: &[String]) -> Vec<&OsStr> {
        texts.iter().map(OsStr::new).collect()
    }
    [
        ("--ignore-arg", texts(&request.arguments.ignored)),
        ("--env", texts(&request.environment.counted)),
        ("--ignore-env", texts(&request.environment.ignored)),
        ("--probe", words(&request.probes)),
        ("-i", words(&request.inputs)),
        ("-x", texts(&request.excludes)),
        ("-o", words(&request.outputs)),
    ]
}

/// A word as the key has it: what lies below the root told from what does not.
fn below<'w>(word: &'w OsStr, root: &Path) -> (bool, &'w [u8]) {
    match word.as_bytes().strip_prefix(root.as_os_str().as_bytes()) {
        Some([]) => (true, b""),
        Some([b'/', rest @ ..]) => (true, rest),
        _ => (false, word.as_bytes()),
    }
}
