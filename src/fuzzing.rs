//! Doors to what decodes foreign bytes, for the fuzz targets in `fuzz/`: compiled with `--cfg fuzzing`, and never else.
//!
//! The model's own decoders are public already.

pub use crate::cmd::fuzzing::filter;
pub use crate::config::fuzzing::{configuration, room, tags};
pub use crate::engine::fuzzing::places;
pub use crate::exec::fuzzing::opening;
pub use crate::key::fuzzing::globs;
pub use crate::store::fuzzing::{
    KINDS, calls_in_object, event, ledger, line, object, object_body, object_head, opened, opened_apart, packed,
    parcel, parcel_bytes, sealed, sealed_apart, stamp, stamp_bytes,
};
pub use crate::ui::parse_time as time;
