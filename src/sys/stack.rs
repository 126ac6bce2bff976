//! The stack of the first thread, where its own may be too small.
//!
//! The kernel ends a program whose stack cannot grow, be it for a small limit of stacks or for one of address space that heaps and
//! threads have used up. A piece of `.bss` is there from the beginning, as [`super::arena`]'s memory is, and costs nothing until it
//! is touched.

use std::cell::UnsafeCell;

use rustix::mm::{MprotectFlags, mprotect};
use rustix::process::{Resource, getrlimit};

/// Bytes of the stack that is always there. Without optimisation fleche's first thread uses 470 KiB.
const SIZE: usize = 1 << 20;
/// Below it nothing can be written, so that what uses more ends at once, as it does on the stack of the kernel. The largest page
/// of the systems that fleche is built for, in bytes.
const GUARD: usize = 64 << 10;
/// Where there are more addresses than this, in bytes, fleche leaves enough of them for its stack.
const ENOUGH: u64 = 1 << 30;

/// With room for the guard to begin where a page does: not all kernels lay a program as its alignment wants.
struct Stack(UnsafeCell<[u8; 2 * GUARD + SIZE]>);

// SAFETY: `on_firm` is called once, and its caller's thread is the only one that runs on it.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; 2 * GUARD + SIZE]));

/// Calls `body` on the stack of the process, or on one that needs not grow where the limits may not let it.
///
/// # Safety
/// To be called once in a process, before there is another thread.
pub(super) unsafe fn on_firm<T>(body: impl FnOnce() -> T) -> T {
    let may_grow = getrlimit(Resource::As).current.is_none_or(|most| most >= ENOUGH)
        && getrlimit(Resource::Stack).current.is_none_or(|most| most > 2 * SIZE as u64);
    if may_grow {
        return body();
    }
    let memory: *mut u8 = STACK.0.get().cast();
    // SAFETY: as many bytes as there are more than are used.
    let lowest = unsafe { memory.add(memory.align_offset(GUARD)) };
    // SAFETY: nobody has a reference to these pages. Where the kernel refuses it there is no guard, and nothing else is lost.
    let _ = unsafe { mprotect(lowest.cast(), GUARD, MprotectFlags::empty()) };
    // SAFETY: aligned, writable and nobody else's, by this function's contract.
    unsafe { psm::on_stack(lowest.add(GUARD), SIZE, body) }
}
