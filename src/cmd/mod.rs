//! The subcommands: one file each, with its flags and the function that serves them.

pub mod call;
mod chosen;
pub mod contains;
pub mod digest;
pub mod explain;
mod filter;
mod freshness;
pub mod query;
pub mod quick;
mod recognise;
pub mod run;
mod sheet;
pub mod show;
mod streams;
pub mod table;

use crate::config;
use crate::error::{Error, Result};
use crate::store::Store;

/// The store that questions are put to.
fn store() -> Result<Store> {
    let folder = config::cache_folder().map_err(|reason| Error::failure(reason.to_string()))?;
    Store::open(&folder).map_err(|reason| Error::failure(reason.to_string()))
}
