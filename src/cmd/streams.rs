//! How the streams of a run are connected, where it is not the run itself that is asked for.

use clap::ValueEnum;

use crate::model::Streams;

/// The streams of the run.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// How standard output and error of the run are connected: as here, to one open file, or to two
    ///
    /// It counts, and `key=$(fleche digest ...)` is another case than a command at a terminal, whose streams are one.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    streams: How,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum How {
    #[default]
    Seen,
    One,
    Two,
}

impl Args {
    /// The streams, if they are not the caller's.
    pub fn streams(&self) -> Option<Streams> {
        let open = |same| Some(Streams { stdout: true, stderr: true, same });
        match self.streams {
            How::Seen => None,
            How::One => open(true),
            How::Two => open(false),
        }
    }
}
