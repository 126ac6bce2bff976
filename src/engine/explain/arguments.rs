//! Arguments side by side: what was put in, taken away, or replaced.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::key;
use crate::model::{Argument, Call, Command, Difference, Digest, Subject};

/// More pairs than this are not compared one with another: what differs is then taken as it stands.
const MOST_PAIRS: usize = 250_000;

/// An argument that counts.
#[derive(Clone, Debug)]
pub struct Counted {
    position: usize,
    word: Argument,
    digest: Digest,
}

impl Counted {
    /// Its number, the command's own name being 0.
    pub fn position(&self) -> usize {
        self.position
    }
}

/// The arguments of `command` that count, with the digests of their parts.
pub fn of_command(command: &Command, parts: &[Digest]) -> Vec<Counted> {
    let mut counted = Vec::with_capacity(parts.len());
    let values = command.parts.iter().filter(|part| is_argument(&part.name));
    let mut values = values.zip(parts).peekable();
    for (position, (word, is_hidden)) in command.argv.iter().zip(&command.redacted).enumerate() {
        // A glob leaves out all that are alike, so the next part tells of the next argument that is the same.
        let Some((_, digest)) = values.next_if(|(part, _)| part.value == word.as_bytes()) else { continue };
        let word = if *is_hidden { Argument::Redacted } else { Argument::Clear(word.clone()) };
        counted.push(Counted { position, word, digest: *digest });
    }
    counted
}

/// The arguments of a recorded call that counted, told by their digests under its cache's `secret`.
pub fn of_call(call: &Call, secret: &[u8; 32]) -> Vec<Counted> {
    let mut digests = call.parts.iter().filter(|(name, _)| is_argument(name)).map(|(_, digest)| *digest).peekable();
    let mut counted = Vec::with_capacity(call.argv.len());
    for (position, word) in call.argv.iter().enumerate() {
        let is_next = |digest: &Digest| match word {
            Argument::Clear(text) => *digest == Digest::under(secret, text.as_bytes()),
            Argument::Redacted => true,
        };
        if let Some(digest) = digests.next_if(is_next) {
            counted.push(Counted { position, word: word.clone(), digest });
        }
    }
    counted
}

/// All of these arguments, told by what `digest` makes of them: for a call of which it is not known which counted.
pub fn all(words: &[Argument], digest: impl Fn(&Argument) -> Digest) -> Vec<Counted> {
    let counted = |(position, word): (usize, &Argument)| Counted { position, word: word.clone(), digest: digest(word) };
    words.iter().enumerate().map(counted).collect()
}

/// Whether a part of this name is an argument.
pub fn is_argument(name: &str) -> bool {
    name.starts_with("arg.")
}

/// What differs between the arguments of two commands.
pub fn differences(now: &[Counted], then: &[Counted]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (came, went) in gaps(now, then, |one, other| one.digest == other.digest) {
        for at in 0..came.len().max(went.len()) {
            let (now, then) = (came.get(at), went.get(at));
            let Some(position) = now.or(then).map(|argument| argument.position) else { continue };
            let word = |argument: Option<&Counted>| argument.map(|argument| argument.word.clone());
            let (now, then) = (word(now), word(then));
            let remedy = if position == 0 { Vec::new() } else { ignoring(now.as_ref(), then.as_ref()) };
            differences.push(Difference { subject: Subject::Argument { position, now, then }, remedy });
        }
    }
    differences
}

/// Where two sequences are not the same: what the first has there, and what the second.
pub fn gaps<'a, T>(first: &'a [T], second: &'a [T], is_same: impl Fn(&T, &T) -> bool) -> Vec<(&'a [T], &'a [T])> {
    let start = first.iter().zip(second).take_while(|(one, other)| is_same(one, other)).count();
    let (first, second) = (&first[start..], &second[start..]);
    let end = first.iter().rev().zip(second.iter().rev()).take_while(|(one, other)| is_same(one, other)).count();
    let (first, second) = (&first[..first.len() - end], &second[..second.len() - end]);
    if first.is_empty() && second.is_empty() {
        return Vec::new();
    }
    if first.len().saturating_mul(second.len()) > MOST_PAIRS {
        return vec![(first, second)];
    }
    // The longest common subsequence: how long it is from each pair of places on.
    let width = second.len() + 1;
    let mut longest = vec![0_usize; (first.len() + 1) * width];
    for (i, one) in first.iter().enumerate().rev() {
        for (j, other) in second.iter().enumerate().rev() {
            let [right, below, across] =
                [i * width + j + 1, (i + 1) * width + j, (i + 1) * width + j + 1].map(|at| longest[at]);
            longest[i * width + j] = if is_same(one, other) { across + 1 } else { right.max(below) };
        }
    }
    let (mut found, mut i, mut j, mut gap) = (Vec::new(), 0, 0, (0, 0));
    while i < first.len() && j < second.len() {
        if is_same(&first[i], &second[j]) {
            found.push((&first[gap.0..i], &second[gap.1..j]));
            (i, j) = (i + 1, j + 1);
            gap = (i, j);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found.push((&first[gap.0..], &second[gap.1..]));
    found.retain(|(one, other)| !(one.is_empty() && other.is_empty()));
    found
}

/// The options by which neither of two arguments counts, if that can be said: by what they have in common where that is
/// the name of an option.
fn ignoring(now: Option<&Argument>, then: Option<&Argument>) -> Vec<OsString> {
    let text = |argument: &Argument| match argument {
        Argument::Clear(word) => word.to_str().filter(|word| !word.is_empty()).map(str::to_owned),
        Argument::Redacted => None,
    };
    let words: Option<Vec<String>> = [now, then].into_iter().flatten().map(text).collect();
    let Some(words) = words else { return Vec::new() };
    let globs: Option<Vec<String>> = match &words[..] {
        [one, other] => match common_option(one, other) {
            Some(prefix) => literal(prefix).map(|prefix| vec![format!("{prefix}*")]),
            None => words.iter().map(|word| literal(word)).collect(),
        },
        words => words.iter().map(|word| literal(word)).collect(),
    };
    globs.unwrap_or_default().into_iter().flat_map(|glob| ["--ignore-arg".into(), glob.into()]).collect()
}

/// The name of the option that two arguments begin with, and what else they begin with.
fn common_option<'a>(one: &'a str, other: &str) -> Option<&'a str> {
    let same = one.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b).last();
    let prefix = same.map_or("", |((at, last), _)| &one[..at + last.len_utf8()]);
    let name = prefix.trim_start_matches('-');
    (prefix.starts_with('-') && !name.is_empty() || prefix.ends_with('=')).then_some(prefix)
}

/// A glob that names exactly `word`.
fn literal(word: &str) -> Option<String> {
    if !key::is_glob(OsStr::new(word).as_bytes()) {
        return Some(word.to_owned());
    }
    let is_special = |c: char| "*?[]{}".contains(c);
    (!word.contains('\\'))
        .then(|| word.chars().map(|c| if is_special(c) { format!("[{c}]") } else { c.to_string() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(words: &[&str]) -> Vec<Counted> {
        let argument = |(position, word): (usize, &&str)| Counted {
            position,
            word: Argument::Clear((*word).into()),
            digest: Digest::of(word.as_bytes()),
        };
        words.iter().enumerate().map(argument).collect()
    }

    fn told(now: &[&str], then: &[&str]) -> Vec<String> {
        let word = |argument: &Option<Argument>| match argument {
            Some(Argument::Clear(word)) => word.to_str().unwrap().to_owned(),
            _ => "-".to_owned(),
        };
        let text = |difference: &Difference| match &difference.subject {
            Subject::Argument { position, now, then } => format!("{position} {} {}", word(now), word(then)),
            other => panic!("{other:?}"),
        };
        differences(&counted(now), &counted(then)).iter().map(text).collect()
    }

    #[test]
    fn an_argument_that_was_put_in_is_one_difference() {
        assert_eq!(told(&["cc", "-c", "-g", "a", "b", "c"], &["cc", "-c", "a", "b", "c"]), ["2 -g -"]);
        assert_eq!(told(&["cc", "a", "b"], &["cc", "x", "a", "b"]), ["1 - x"]);
        assert_eq!(told(&["cc", "a", "b", "c"], &["cc", "a", "b", "c"]), [""; 0]);
        assert_eq!(told(&["cc", "a", "q", "c", "d"], &["cc", "a", "b", "c"]), ["2 q b", "4 d -"]);
        assert_eq!(told(&["cc"], &["gcc"]), ["0 cc gcc"]);
        assert_eq!(told(&["cc", "1", "2", "3", "n"], &["cc", "n", "1", "2", "3"]), ["1 - n", "4 n -"]);
    }

    #[test]
    fn long_lists_are_compared_as_they_stand() {
        let (first, second): (Vec<usize>, Vec<usize>) = ((0..1000).collect(), (1000..2000).collect());
        assert_eq!(gaps(&first, &second, |a, b| a == b), [(&first[..], &second[..])]);
    }

    #[test]
    fn two_values_of_an_option_are_ignored_by_its_name() {
        let remedy = |one: &str, other: &str| {
            let words = ignoring(Some(&Argument::Clear(one.into())), Some(&Argument::Clear(other.into())));
            words.join(OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(remedy("-O3", "-O2"), "--ignore-arg -O*");
        assert_eq!(remedy("--seed=1", "--seed=2"), "--ignore-arg --seed=*");
        assert_eq!(remedy("--alpha", "--beta"), "--ignore-arg --alpha --ignore-arg --beta");
        assert_eq!(remedy("b", "a"), "--ignore-arg b --ignore-arg a");
        assert_eq!(remedy("n=1", "n=2"), "--ignore-arg n=*");
        assert_eq!(remedy("a*", "b"), "--ignore-arg a[*] --ignore-arg b");
        assert_eq!(remedy("a*\\", "b"), "");
    }
}
