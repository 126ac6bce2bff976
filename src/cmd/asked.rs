//! A run that is asked about, shared by every subcommand that does not run it: the options of `fleche run`, the command,
//! and how the streams of the run would be connected.

use clap::ValueEnum;

use crate::engine::Policy;
use crate::error::Result;
use crate::model::{Request, Streams};
use crate::ui::Talk;

use super::{recognise, run};

/// The run.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// How standard output and error of the run are connected: as here, to one open file, or to two
    ///
    /// It counts, and `key=$(fleche digest ...)` is another case than a command at a terminal, whose streams are one.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    streams: How,
    #[command(flatten)]
    flags: run::Flags,
    #[command(flatten)]
    recognise: recognise::Args,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum How {
    #[default]
    Seen,
    One,
    Two,
}

impl Args {
    /// The same with what the rule for the command says where these flags say nothing.
    pub fn ruled(mut self) -> Result<Args> {
        self.recognise.fill(&mut self.flags)?;
        Ok(self)
    }

    /// Where the rule begins that holds for the command, if one does: its file and line.
    pub fn rule(&self) -> Option<String> {
        self.flags.rule().map(str::to_owned)
    }

    /// The policy of the run. For who has no use for it, that it makes sense: a line of `fleche run` may be asked about as it
    /// is.
    pub fn policy(&self, talk: &Talk) -> Result<Policy> {
        self.flags.policy(talk)
    }

    /// The request that the options and the command spell.
    pub fn request(self) -> Result<Request> {
        self.recognise.request()
    }

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
