//! What every kind of store beyond this machine can do.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;

use super::Failure;

/// Bytes that become an object.
pub enum Body<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file, from where it stands to its end.
    File(&'a mut File),
}

/// A store that keeps objects under names such as `v1/a/main/ab/abcd`. An object appears as a whole, and the last one that is
/// put under a name stays.
pub trait Engine {
    /// The object of this name, to be read; none where there is none.
    ///
    /// # Errors
    ///
    /// Where that cannot be found out.
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure>;

    /// Tells `each` the names of all objects that begin with `prefix`, a folder with its slash, until it has heard enough.
    ///
    /// # Errors
    ///
    /// Where that cannot be found out.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<(), Failure>;

    /// Puts an object under this name, in the place of one that is there.
    ///
    /// # Errors
    ///
    /// Where that cannot be done, or nobody knows whether it was.
    fn put(&self, name: &str, body: Body) -> Result<(), Failure>;

    /// Takes the object of this name away, if there is one.
    ///
    /// # Errors
    ///
    /// Where that cannot be done.
    fn remove(&self, name: &str) -> Result<(), Failure>;
}
