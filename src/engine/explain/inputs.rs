//! What a command sees and what a recorded call saw, side by side.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::key;
use crate::model::{Call, Change, Difference, Facet, Observation, PathSet, PathSets, State, Subject};

use super::super::redaction::{HIDDEN, Redaction};
use super::Now;

/// Which paths are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// All: both sides were told to look at the same.
    All,
    /// Those at which both looked.
    Common,
}

/// What differs between what `now` sees and what `call` saw there.
pub fn differences(now: &Now, call: &Call, paths: Paths, redaction: &Redaction) -> Vec<Difference> {
    if call.observations.iter().any(|seen| seen.facet != Facet::Whole) {
        return watched(now, call, redaction);
    }
    let then = &call.observations;
    let mut found = Vec::new();
    let (mut ours, mut theirs) = (named(now.observations), named(then));
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.path.as_os_str().cmp(other.path.as_os_str()),
        };
        let (one, other) =
            (if order.is_le() { ours.next() } else { None }, if order.is_ge() { theirs.next() } else { None });
        if paths == Paths::Common && order.is_ne() {
            continue;
        }
        let Some(path) = one.or(other).map(|seen| &seen.path) else { break };
        let state = |seen: Option<&Observation>| seen.map_or(State::Absent, |seen| seen.state.clone());
        let (one, other) = (state(one), state(other));
        if let Some(change) = change(&one, &other) {
            let remedy = excluding(now, path, &one, &other);
            let path = redaction.shown(path).into_owned();
            found.push(Difference { subject: Subject::Input { path, change }, remedy });
        }
    }
    if paths == Paths::All && !hidden(now.observations).eq(hidden(then)) {
        let subject = Subject::Input { path: HIDDEN.into(), change: Change::Content };
        found.push(Difference { subject, remedy: Vec::new() });
    }
    found
}

/// What is not as it was where a watched command looked: at each path what tells the most.
fn watched(now: &Now, call: &Call, redaction: &Redaction) -> Vec<Difference> {
    let mut sets = PathSets::new(call.command);
    sets.insert(PathSet { key: call.key, observations: call.observations.clone() });
    // Where it cannot be looked at, nothing is told.
    let ours = key::observed_now(&sets, &now.command.root, now.memory).find_map(Result::ok).unwrap_or_default();
    let changes = ours.iter().zip(&call.observations).filter_map(|(one, other)| {
        let change = if one.key_order(other).is_eq() { change(&one.state, &other.state)? } else { return None };
        Some((&one.path, change))
    });
    let told = |(path, change): (&PathBuf, Change)| {
        let path = redaction.shown(path).into_owned();
        Difference::without_remedy(Subject::Input { path, change })
    };
    plainest(changes).into_iter().map(told).collect()
}

/// Of the changes at each path the one that tells the most.
fn plainest<'a>(changes: impl Iterator<Item = (&'a PathBuf, Change)>) -> Vec<(&'a PathBuf, Change)> {
    let mut found: Vec<(&'a PathBuf, Change)> = Vec::new();
    for (path, change) in changes {
        match found.last_mut() {
            Some((last, told)) if *last == path => {
                if weight(change) > weight(*told) {
                    *told = change;
                }
            }
            _ => found.push((path, change)),
        }
    }
    found
}

/// How much a change tells: the more, the less is left to be told of the same path.
fn weight(change: Change) -> u32 {
    match change {
        Change::New | Change::Gone | Change::Denied | Change::Allowed => 4,
        Change::Kind => 3,
        Change::Content => 2,
        Change::Mode { .. } | Change::Names => 1,
        Change::Modified => 0,
    }
}

fn named(observations: &[Observation]) -> std::iter::Peekable<impl Iterator<Item = &Observation>> {
    observations.iter().filter(|seen| seen.path != Path::new(HIDDEN)).peekable()
}

fn hidden(observations: &[Observation]) -> impl Iterator<Item = &State> {
    observations.iter().filter(|seen| seen.path == Path::new(HIDDEN)).map(|seen| &seen.state)
}

fn change(now: &State, then: &State) -> Option<Change> {
    if now == then {
        return None;
    }
    Some(match (now, then) {
        (_, State::Absent) => Change::New,
        (State::Absent, _) => Change::Gone,
        (State::File { mode, digest }, State::File { mode: mode_then, digest: digest_then }) => {
            if digest == digest_then { Change::Mode { now: *mode, then: *mode_then } } else { Change::Content }
        }
        (State::Folder { mode }, State::Folder { mode: then }) => Change::Mode { now: *mode, then: *then },
        (State::Link { .. }, State::Link { .. }) | (State::Target(_), State::Target(_)) => Change::Content,
        (State::Denied, _) => Change::Denied,
        (_, State::Denied) => Change::Allowed,
        (State::Exists { mode }, State::Exists { mode: then }) => Change::Mode { now: *mode, then: *then },
        (State::Listing(_), State::Listing(_)) => Change::Names,
        (State::Metadata { mode, .. }, State::Metadata { mode: then, .. }) => match (mode ^ then) & !0o7777 {
            _ if mode == then => Change::Modified,
            0 => Change::Mode { now: State::permissions(*mode), then: State::permissions(*then) },
            _ => Change::Kind,
        },
        (State::Replaced { mode, .. }, State::Replaced { mode: then, .. }) => match mode == then {
            true => Change::Modified,
            false => Change::Mode { now: *mode, then: *then },
        },
        _ => Change::Kind,
    })
}

/// The options that leave out `path`, which only what folders and globs hold can be; a folder would take more with it.
fn excluding(now: &Now, path: &Path, one: &State, other: &State) -> Vec<OsString> {
    let is_folder = |state: &State| matches!(state, State::Folder { .. });
    if now.request.pure || is_folder(one) || is_folder(other) || key::is_glob(path.as_os_str().as_bytes()) {
        return Vec::new();
    }
    let absolute = now.command.root.join(path);
    let is_named = |word: &OsString| key::lexical(&now.command.cwd, Path::new(word)) == absolute;
    if now.request.inputs.iter().any(is_named) || path.to_str().is_none() {
        return Vec::new();
    }
    let word = absolute.strip_prefix(&now.command.cwd).unwrap_or(&absolute);
    vec!["-x".into(), word.into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn what_happened_is_told_by_what_was_seen() {
        let metadata = |mode, size| State::Metadata { mode, size, modified: 0, user: 0, group: 0, links: 1 };
        let replaced = |mode, rank| State::Replaced { mode, empty: false, rank };
        let listing = |text: &str| State::Listing(Digest::of(text.as_bytes()));
        let exists = |mode| State::Exists { mode };
        let mode = Some(Change::Mode { now: 0o600, then: 0o644 });
        for (now, then, expected) in [
            (exists(0o644), State::Absent, Some(Change::New)),
            (State::Absent, metadata(0o100_644, 1), Some(Change::Gone)),
            (State::Denied, exists(0o644), Some(Change::Denied)),
            (exists(0o644), State::Denied, Some(Change::Allowed)),
            (exists(0o600), exists(0o644), mode),
            (State::Target(b"a".into()), State::Target(b"b".into()), Some(Change::Content)),
            (State::Target(b"a".into()), exists(0o644), Some(Change::Kind)),
            (listing("a"), listing("b"), Some(Change::Names)),
            (metadata(0o100_644, 1), metadata(0o100_644, 2), Some(Change::Modified)),
            (metadata(0o100_600, 1), metadata(0o100_644, 1), mode),
            (metadata(0o040_644, 1), metadata(0o100_644, 1), Some(Change::Kind)),
            (replaced(0o644, 1), replaced(0o644, 2), Some(Change::Modified)),
            (replaced(0o600, 1), replaced(0o644, 1), mode),
            (listing("a"), listing("a"), None),
        ] {
            assert_eq!(change(&now, &then), expected, "{now:?} {then:?}");
        }
    }

    #[test]
    fn of_several_changes_at_a_path_the_plainest_is_told() {
        let seen = |path: &str, change| (PathBuf::from(path), change);
        let all = [
            seen("a", Change::Modified),
            seen("a", Change::Content),
            seen("b", Change::Content),
            seen("b", Change::Modified),
            seen("c", Change::Names),
        ];
        let told = plainest(all.iter().map(|(path, change)| (path, *change)));
        assert_eq!(told, [(&all[1].0, Change::Content), (&all[2].0, Change::Content), (&all[4].0, Change::Names)]);
    }
}
