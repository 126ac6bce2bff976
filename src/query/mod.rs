//! Questions about what is stored, and the tables that answer them.

pub mod describe;
mod table;

pub use table::{Filter, Table};
