//! Questions about what is stored, and the tables that answer them.

pub mod describe;
pub mod differences;
mod filter;
mod table;

pub use filter::{Filter, none};
pub use table::{More, Table, column, object};
