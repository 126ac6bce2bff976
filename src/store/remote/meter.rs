//! Counting what passes between here and a store.

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::rc::Rc;

use super::Failure;
use super::engine::{Body, Engine, Listed};

/// What passed between here and a store since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How often something was asked or sent.
    pub requests: u64,
    /// Bytes of objects that were read or sent.
    pub bytes: u64,
}

/// A store whose traffic is counted.
pub struct Metered {
    engine: Box<dyn Engine>,
    traffic: Rc<Cell<Traffic>>,
}

impl Metered {
    /// `engine` from now on.
    pub fn new(engine: Box<dyn Engine>) -> Metered {
        Metered { engine, traffic: Rc::default() }
    }

    /// What was counted so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn count(&self, bytes: u64) {
        let Traffic { requests, bytes: before } = self.traffic.get();
        self.traffic.set(Traffic { requests: requests + 1, bytes: before + bytes });
    }
}

impl Engine for Metered {
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        self.count(0);
        let object = self.engine.get(name)?;
        Ok(object.map(|inner| Box::new(Counted { inner, traffic: Rc::clone(&self.traffic) }) as Box<dyn Read>))
    }

    fn until(&self, end: u64) {
        self.engine.until(end);
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&Listed) -> ControlFlow<()>) -> Result<(), Failure> {
        self.count(0);
        self.engine.list(prefix, each)
    }

    fn put(&self, name: &str, body: Body) -> Result<(), Failure> {
        self.count(match &body {
            Body::Bytes(bytes) => bytes.len() as u64,
            // Where that is not known, sending it fails for the same reason.
            Body::File(file) => file.metadata().map_or(0, |metadata| metadata.len()),
        });
        self.engine.put(name, body)
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        self.count(0);
        self.engine.remove(name)
    }
}

struct Counted {
    inner: Box<dyn Read>,
    traffic: Rc<Cell<Traffic>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let traffic = self.traffic.get();
        self.traffic.set(Traffic { bytes: traffic.bytes + read as u64, ..traffic });
        Ok(read)
    }
}
