//! What people read and write: messages, tables, sizes, durations, tags.

mod table;
mod talk;
mod text;

pub use table::{JsonStyle, TableStyle, draw, fact, json, print};
pub use talk::Talk;
pub use text::{duration, escape, parse_size, parse_tag, size, time};
