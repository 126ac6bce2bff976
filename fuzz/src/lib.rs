//! What all targets share: a bound on the memory that decoding takes, and laws that hold for every decoder.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are allocated now, and the most that were at once.
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all is the system's; what is counted beside it touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does `work`, which may have at most so many bytes for each byte of its input at once, and a mebibyte.
pub fn bounded<T>(input: &[u8], each: usize, work: impl FnOnce() -> T) -> T {
    const ALWAYS: usize = 1 << 20;
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let done = work();
    let taken = MOST.load(Ordering::Relaxed) - before;
    let most = ALWAYS + input.len() * each;
    assert!(taken <= most, "{taken} bytes were taken for {} of input, and at most {most} were to be", input.len());
    done
}

/// What was decoded is the same after it was encoded and decoded again, and its encoding is the same from then on.
pub fn comes_back<T: PartialEq + Debug>(
    decoded: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Option<T>,
) {
    let bytes = encode(decoded);
    let again = decode(&bytes).expect("what was written is read");
    assert_eq!(again, *decoded);
    assert_eq!(encode(&again), bytes);
}
