//! The subcommands: one file each, with its flags and the function that serves them.

mod chosen;
pub mod digest;
mod filter;
pub mod gc;
pub mod query;
pub mod quick;
mod recognise;
pub mod reindex;
pub mod run;
mod sheet;
pub mod show;
pub mod table;
pub mod verify;

use crate::config;
use crate::error::{Error, Result};
use crate::store::Store;

/// The store that questions are put to.
fn store() -> Result<Store> {
    let folder = config::cache_folder().map_err(|reason| Error::failure(reason.to_string()))?;
    Store::open(&folder).map_err(|reason| Error::failure(reason.to_string()))
}

/// The same, to be looked at: what is damaged stays where it is.
fn looking_store() -> Result<Store> {
    let folder = config::cache_folder().map_err(|reason| Error::failure(reason.to_string()))?;
    Store::open_to_look(&folder).map_err(|reason| Error::failure(reason.to_string()))
}
