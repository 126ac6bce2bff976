//! Where captured bytes go: implemented by the store, fed by the pump.

/// Takes the bytes of one stream, in order. Never fails: what goes wrong inside is told when it is asked.
pub trait Sink {
    /// Takes a filled buffer and gives one back to be filled next, so that buffers go round without copying.
    fn accept(&mut self, chunk: Vec<u8>) -> Vec<u8>;
}
