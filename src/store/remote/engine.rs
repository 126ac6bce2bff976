//! What every kind of store beyond this machine can do.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use super::deadline::Deadline;
use super::mount::Mount;
use crate::error::Error;
use crate::model::Remote;

/// Bytes that become an object.
pub enum Body<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file, from where it stands to its end.
    File(&'a mut File),
}

impl Body<'_> {
    /// How many bytes that are.
    ///
    /// # Errors
    ///
    /// Where a file does not tell.
    pub fn length(&mut self) -> io::Result<u64> {
        match self {
            Body::Bytes(bytes) => Ok(bytes.len() as u64),
            Body::File(file) => Ok(file.metadata()?.len().saturating_sub(file.stream_position()?)),
        }
    }
}

/// How long a store is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until its address is known, and again until somebody is there.
    pub connect: Duration,
    /// Until it begins to answer.
    pub answer: Duration,
    /// While nothing comes, or nothing is taken.
    pub stall: Duration,
    /// Who may tell meanwhile who we are.
    pub programs: Programs,
}

/// Whether programs are asked who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// If nothing else tells it.
    Asked,
    /// Never: what they do would count as done by a command.
    Unasked,
}

impl Patience {
    /// Where a command waits.
    pub const SHORT: Patience = Patience {
        connect: Duration::from_millis(500),
        answer: Duration::from_secs(1),
        stall: Duration::from_secs(3),
        programs: Programs::Asked,
    };
    /// The same, within a command that another run watches.
    pub const SHORT_AND_ALONE: Patience = Patience { programs: Programs::Unasked, ..Patience::SHORT };
    /// Where nobody does, or who asked for it.
    pub const LONG: Patience = Patience {
        connect: Duration::from_secs(10),
        answer: Duration::from_secs(60),
        stall: Duration::from_secs(60),
        programs: Programs::Asked,
    };
}

/// An object that a store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was put there, in nanoseconds since 1970, if the store tells.
    pub put: Option<i64>,
}

/// A list is not asked for in more parts: of a thousand names each that is a billion.
#[cfg(any(feature = "redis", feature = "s3"))]
pub const MOST_PAGES: u64 = 1_000_000;

/// What is said of a store that always has more to tell.
#[cfg(any(feature = "redis", feature = "s3"))]
pub fn endless() -> Failure {
    Failure::Wrong("its list does not end".to_owned())
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

    /// Tells `each` of all objects whose names begin with `prefix`, a folder with its slash, until it has heard enough.
    ///
    /// # Errors
    ///
    /// Where that cannot be found out.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(&Listed) -> ControlFlow<()>) -> Result<(), Failure>;

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

/// The engine of a URL, which is waited for until `deadline`, as far as that can be.
///
/// # Errors
///
/// Where the URL is none, fleche was built without its engine, or what the engine needs to know is missing.
pub fn of(remote: &Remote, patience: Patience, deadline: &Arc<Deadline>) -> Result<Box<dyn Engine>, Error> {
    let url = &remote.url;
    match url.split_once("://") {
        Some(("file", folder)) => Ok(Box::new(Mount::new(Path::new(folder)))),
        #[cfg(feature = "http")]
        Some(("http" | "https", _)) => Ok(Box::new(super::http::Http::new(remote, patience, deadline))),
        #[cfg(feature = "redis")]
        Some(("redis" | "rediss" | "valkey" | "valkeys", _)) => {
            Ok(Box::new(super::redis::Redis::new(remote, patience, deadline)?))
        }
        #[cfg(feature = "s3")]
        Some(("s3", place)) => Ok(Box::new(super::s3::S3::new(place, remote, patience, deadline)?)),
        #[cfg(not(feature = "http"))]
        Some(("http" | "https", _)) => Err(without("http", url, patience, deadline)),
        #[cfg(not(feature = "redis"))]
        Some(("redis" | "rediss" | "valkey" | "valkeys", _)) => Err(without("redis", url, patience, deadline)),
        #[cfg(not(feature = "s3"))]
        Some(("s3", _)) => Err(without("s3", url, patience, deadline)),
        _ => Err(Error::usage(format!("`{url}` is no URL of a store"))),
    }
}

/// What a fleche was built without.
#[cfg(not(all(feature = "http", feature = "redis", feature = "s3")))]
fn without(feature: &str, url: &str, _: Patience, _: &Arc<Deadline>) -> Error {
    Error::usage(format!("this fleche cannot use `{url}`")).hint(format!("cargo install fleche --features {feature}"))
}
