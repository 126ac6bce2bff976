//! What a replay does not depend on, although the command might.

use crate::model::{Argument, Call, Grade, ProgramRule, Stdin, Uncovered};
use crate::sys::descriptor::{self, Kind};

use super::super::recognise::shown_arguments;
use super::super::redaction::Redaction;
use super::{Now, arguments};

/// What the key of `call`, which would answer `now`, does not cover.
pub fn of(now: &Now, call: &Call) -> Vec<Uncovered> {
    let redaction = Redaction::of(now.command);
    let mut found = Vec::new();
    found.extend(variables(now, call));
    found.extend(ignored_arguments(now));
    if now.request.ignore_cwd && now.command.cwd != call.cwd {
        found.push(Uncovered::Folder(redaction.shown(&call.cwd).into_owned()));
    }
    match now.request.program {
        ProgramRule::Content => {}
        ProgramRule::Path => found.push(Uncovered::ProgramContent),
        ProgramRule::Name => found.push(Uncovered::ProgramPath),
    }
    if now.command.stdin == Stdin::Uncounted && descriptor::kind(0) == Kind::Terminal {
        found.push(Uncovered::Terminal);
    }
    // What was found by watching is all that there was.
    found.extend((call.grade != Grade::Traced).then_some(Uncovered::Files));
    found.push(Uncovered::World);
    found
}

/// Variables that do not count and are not what they were, or not set on one side.
fn variables(now: &Now, call: &Call) -> Vec<Uncovered> {
    let uncounted = |variables: &[crate::model::Variable]| -> Vec<(std::ffi::OsString, crate::model::Digest)> {
        let of = variables.iter().filter(|variable| !variable.counted);
        of.map(|variable| (variable.name.clone(), variable.digest)).collect()
    };
    if call.sealed_by.is_some() {
        return Vec::new();
    }
    let (ours, theirs) = (uncounted(now.variables), uncounted(&call.variables));
    let alone = ours.iter().filter(|one| !theirs.contains(one)).chain(theirs.iter().filter(|one| !ours.contains(one)));
    let mut names: Vec<_> = alone.map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(Uncovered::Variable).collect()
}

fn ignored_arguments(now: &Now) -> Vec<Uncovered> {
    let parts = now.command.parts.iter().zip(now.digests).filter(|(part, _)| arguments::is_argument(&part.name));
    let digests: Vec<_> = parts.map(|(_, digest)| *digest).collect();
    let counted = arguments::of_command(now.command, &digests);
    let is_counted = |position: &usize| counted.iter().any(|argument| argument.position() == *position);
    let all = shown_arguments(now.command).into_iter().enumerate();
    all.filter(|(position, _)| !is_counted(position))
        .map(|(_, word): (usize, Argument)| Uncovered::Argument(word))
        .collect()
}
