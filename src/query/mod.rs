//! Questions about what is stored, and the tables that answer them.

pub mod describe;
mod filter;
mod table;

pub use filter::{Filter, none};
pub use table::{More, Table, column, object};
