//! A door to what a nested run tells its watcher, for fuzz targets alone.

use super::trace::nested::Opening;

/// The bytes of what a scope is opened with, read and written again.
pub fn opening(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(Opening::decode(bytes).ok()?.encode())
}
