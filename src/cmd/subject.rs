//! A stored value or call that is named, or a command that is asked for: `KEY` or `-- COMMAND`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::error::{Error, Result};
use crate::model::{Call, Reference, Request, SCHEME};
use crate::store::Store;

use super::candidates;
use super::chosen;
use super::recognise;
use super::{rules, run};

/// Which it is.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// A call's key or a value's digest, or the first four or more characters of it
    ///
    /// Behind the key of a call, `/stderr` means its standard error and `/PATH` an output.
    #[arg(value_name = "KEY", required_unless_present = "command", conflicts_with = "command", add = candidates::keys())]
    key: Option<OsString>,
    #[command(flatten)]
    flags: recognise::Flags,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What is meant.
pub enum Subject {
    /// What is stored under this name.
    Named(Reference),
    /// What this command did.
    Asked(Box<Request>),
}

impl Args {
    /// The one of them that was given, with the request that is spelt besides: beside a name only its flags count. For a
    /// command, what these flags and those of the `policy` leave open is filled by its rule.
    ///
    /// # Errors
    ///
    /// Where a name is none, or the flags make no sense.
    pub fn subject(mut self, policy: &mut run::Flags) -> Result<(Subject, Request)> {
        if self.key.is_none() {
            rules::fill(policy, &mut self.flags, &self.command)?;
        }
        let request = self.flags.request(self.command)?;
        match self.key {
            None => Ok((Subject::Asked(Box::new(request.clone())), request)),
            Some(word) => {
                let text = word.as_bytes();
                let text = text.strip_prefix(SCHEME.as_bytes()).unwrap_or(text);
                Ok((Subject::Named(Reference::parse(text).map_err(Error::usage)?), request))
            }
        }
    }
}

/// The call of this name.
///
/// # Errors
///
/// Where something of a call is named, of kind `No` where no call is called so, and where it cannot be read.
pub fn call(reference: &Reference, store: &Store) -> Result<Call> {
    if let Some(within) = &reference.within {
        return Err(Error::usage(format!("a call is meant, and not `{}` of it", within.display())));
    }
    let key = chosen::call(store, &store.catalogue()?, reference.prefix.as_str())?;
    let found = store.call(&key).map_err(|reason| Error::failure(reason.to_string()))?;
    found.ok_or_else(|| Error::no(format!("no call {} is stored", key.0.short())))
}
