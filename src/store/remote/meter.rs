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
    /// Bytes of objects that were read.
    pub received: u64,
    /// Bytes of objects that were put there as a whole.
    pub sent: u64,
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

    /// Counts a request.
    fn count(&self) {
        count(&self.traffic, |traffic| traffic.requests += 1);
    }
}

fn count(traffic: &Cell<Traffic>, change: impl FnOnce(&mut Traffic)) {
    let mut counted = traffic.get();
    change(&mut counted);
    traffic.set(counted);
}

impl Engine for Metered {
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        self.count();
        let object = self.engine.get(name)?;
        Ok(object.map(|inner| Box::new(Counted { inner, traffic: Rc::clone(&self.traffic) }) as Box<dyn Read>))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&Listed) -> ControlFlow<()>) -> Result<(), Failure> {
        self.count();
        self.engine.list(prefix, each)
    }

    fn put(&self, name: &str, mut body: Body) -> Result<(), Failure> {
        let length = body.length().map_err(|why| super::here(&why))?;
        self.count();
        self.engine.put(name, body)?;
        count(&self.traffic, |traffic| traffic.sent += length);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        self.count();
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
        count(&self.traffic, |traffic| traffic.received += read as u64);
        Ok(read)
    }
}
