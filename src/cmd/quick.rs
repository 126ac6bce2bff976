//! The arguments of most `fleche run`s, read without clap: building its thirty flags costs a third of a hit.
//!
//! Only what needs no checking is read here. Whatever is unusual, and so every error, is left to clap, whose
//! reading of the same words is the one that counts: a property test compares the two.

use std::ffi::OsString;
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::slice::Iter;

use super::{recognise, run};

/// What stands beside the flags of `run`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// `-q`.
    pub quiet: bool,
    /// `-v`.
    pub verbose: bool,
    /// `--cache`.
    pub cache: Option<OsString>,
}

/// Words that are still to be read.
pub struct Words<'a>(Peekable<Iter<'a, OsString>>);

impl Words<'_> {
    /// The value of a flag; none where clap might take the word for something else.
    pub(super) fn value(&mut self) -> Option<OsString> {
        self.0.next().filter(|word| !is_flag(word)).cloned()
    }

    /// The same for a value that is text.
    pub(super) fn text(&mut self) -> Option<String> {
        self.value()?.into_string().ok()
    }
}

/// Reads the words of `fleche run` (without these two); `None` leaves them to clap.
pub fn read(words: &[OsString]) -> Option<(Beside, run::Args)> {
    let mut beside = Beside::default();
    let (mut recognise, mut tags) = (recognise::Args::default(), Vec::new());
    let mut words = Words(words.iter().peekable());
    while let Some(flag) = words.0.next_if(|word| is_flag(word)) {
        let is_taken = match flag.to_str()? {
            "--" => break,
            "-q" | "--quiet" => !std::mem::replace(&mut beside.quiet, true),
            "-v" | "--verbose" => !std::mem::replace(&mut beside.verbose, true),
            "--cache" if beside.cache.is_none() => words.value().map(|word| beside.cache = Some(word)).is_some(),
            "-t" | "--tag" => words.text().map(|tag| tags.push(tag)).is_some(),
            flag => recognise.take(flag, &mut words),
        };
        if !is_taken {
            return None;
        }
    }
    let recognise = recognise.complete(words.0.cloned().collect())?;
    let contradicts = beside.quiet && beside.verbose;
    (!contradicts).then(|| (beside, run::Args::plain(recognise, tags)))
}

fn is_flag(word: &OsString) -> bool {
    word.as_bytes().starts_with(b"-")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::{Arg, ArgAction, Args, Command, FromArgMatches};
    use proptest::prelude::*;

    use super::*;

    /// What clap makes of the same words.
    fn read_by_clap(words: &[OsString]) -> Option<(Beside, run::Args)> {
        let flag = |name: &'static str, short| Arg::new(name).long(name).short(short).action(ArgAction::SetTrue);
        let command = run::Args::augment_args(Command::new("run"))
            .arg(Arg::new("cache").long("cache").value_parser(clap::value_parser!(OsString)))
            .arg(flag("quiet", 'q').conflicts_with("verbose"))
            .arg(flag("verbose", 'v'));
        let words = [OsString::from("fleche")].into_iter().chain(words.iter().cloned());
        let mut matches = command.try_get_matches_from(words).ok()?;
        let cache = matches.remove_one::<OsString>("cache");
        let beside = Beside { quiet: matches.get_flag("quiet"), verbose: matches.get_flag("verbose"), cache };
        Some((beside, run::Args::from_arg_matches_mut(&mut matches).ok()?))
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn shown(read: &(Beside, run::Args)) -> String {
        format!("{read:?}")
    }

    #[test]
    fn what_most_people_write_is_read_without_clap() {
        for line in [
            &["--pure", "--", "echo", "--", "-x"][..],
            &["-v", "-i", "a b", "-o", "out/", "-x", "*.o", "-t", "a=1", "cc", "-c", "--", "--pure"],
            &["--gitignore", "--no-cwd", "--no-stdin", "--env", "CC", "--ignore-env", "X*", "make"],
        ] {
            let line = words(line);
            let read = read(&line).expect("read without clap");
            assert_eq!(shown(&read), shown(&read_by_clap(&line).expect("read by clap")));
        }
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn whatever_is_read_clap_reads_alike(line in prop::collection::vec(prop_oneof![
            8 => prop::sample::select(vec![
                "-i", "--input", "-o", "--output", "-x", "--exclude", "--env", "--ignore-env", "--pure", "--gitignore",
                "--no-cwd", "--no-stdin", "--cache", "-q", "--quiet", "-v", "--verbose", "-t", "--tag", "--", "-", "a", "b", "",
            ]).prop_map(OsString::from),
            1 => prop::sample::select(vec![
                "--mode", "off", "-ia", "--input=a", "-h", "--help", "--stdin", "-p", "--ttl", "1h", "-vq", "--inp", "---",
            ]).prop_map(OsString::from),
            1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(OsString::from_vec),
        ], 0..9)) {
            if let Some(read) = read(&line) {
                let by_clap = read_by_clap(&line);
                prop_assert_eq!(Some(shown(&read)), by_clap.as_ref().map(shown), "{:?}", line);
            }
        }
    }
}
