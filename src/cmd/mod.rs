//! The subcommands: one file each, with its flags and the function that serves them.

mod chosen;
pub mod digest;
mod filter;
pub mod query;
pub mod quick;
mod recognise;
pub mod redigest;
pub mod rerun;
pub mod run;
mod sheet;
pub mod shell;
pub mod show;
pub mod table;

use crate::config;
use crate::error::{Error, Result};
use crate::store::Store;

/// The store that questions are put to.
fn store() -> Result<Store> {
    let folder = config::cache_folder().map_err(|reason| Error::failure(reason.to_string()))?;
    Store::open(&folder).map_err(|reason| Error::failure(reason.to_string()))
}
