//! What people read and write: messages, tables, sizes, durations, tags.

mod color;
mod print;
mod progress;
mod sheet;
mod talk;
mod text;

pub use crate::model::{parse_size, parse_tag};
pub use color::{Style, choose_color, painted};
pub use print::{JsonStyle, draws_bars, fact, json, print, send};
pub use progress::Progress;
pub use sheet::{Sheet, terminal_width};
pub use talk::Talk;
pub use text::{day, duration, escape, parse_time, size, time};
