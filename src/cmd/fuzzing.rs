//! A door to the flags of filters, for fuzz targets alone.

use std::ffi::OsString;

use clap::{Args, Command, FromArgMatches};

/// Whether these words of a command line are a filter.
pub fn filter(words: &[OsString]) -> bool {
    let command = super::filter::Args::augment_args(Command::new("fleche").no_binary_name(true));
    let Ok(matches) = command.try_get_matches_from(words) else { return false };
    super::filter::Args::from_arg_matches(&matches).is_ok_and(|args| args.filter().is_ok())
}
