//! Messages on standard error.

use std::os::fd::AsFd;

use crate::error::Error;

use super::escape;

/// How much is said.
pub struct Talk {
    level: Level,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Quiet,
    Normal,
    Verbose,
}

impl Talk {
    /// By the flags `-q` and `-v`.
    pub fn new(quiet: bool, verbose: bool) -> Talk {
        let level = match (quiet, verbose) {
            (true, _) => Level::Quiet,
            (_, true) => Level::Verbose,
            _ => Level::Normal,
        };
        Talk { level }
    }

    /// Whether nothing but errors is wanted.
    pub fn is_quiet(&self) -> bool {
        self.level == Level::Quiet
    }

    /// Whether details are wanted.
    pub fn is_verbose(&self) -> bool {
        self.level == Level::Verbose
    }

    /// An error, with its hint; said even when quiet.
    pub fn error(&self, error: &Error) {
        let mut text = format!("fleche: {}\n", escape(&error.to_string()));
        if let Some(hint) = error.hint_text() {
            text.push_str(&format!("hint: {}\n", escape(hint)));
        }
        write(&text);
    }

    /// Something that the user did not ask for but should know.
    pub fn warn(&self, text: &str) {
        if self.level >= Level::Normal {
            write(&format!("fleche: {}\n", escape(text)));
        }
    }

    /// Something that only `-v` asks for.
    pub fn detail(&self, text: &str) {
        if self.level >= Level::Verbose {
            write(&format!("fleche: {}\n", escape(text)));
        }
    }
}

/// One write for one message, so that lines of many processes do not mix. A standard error that
/// takes nothing changes nothing.
fn write(text: &str) {
    let stderr = rustix::stdio::stderr();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(stderr.as_fd(), rest) {
            Ok(written) if written > 0 => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}
