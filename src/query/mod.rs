//! Questions about what is stored, and the tables that answer them.

pub mod describe;
pub mod differences;
mod filter;
mod graph;
mod stats;
mod table;

pub use filter::{Filter, none};
pub use graph::Graph;
pub use stats::{History, Shared, Worth};
pub use table::{More, Table, column, object};
