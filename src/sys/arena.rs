//! A global allocator for a process that lives for a millisecond.
//!
//! A hit makes some hundreds of small allocations and ends. Handing out a static piece of memory front to back
//! costs two instructions each and no system call, where a general allocator first asks the kernel for memory
//! and builds its lists (0.06 of the time that starting `/bin/true` takes).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory that is handed out front to back; what does not fit comes from [`System`], and where that has none, from a reserve
/// behind it: two thirds of all, so that who watches a command can let it end.
///
/// Freeing the last block gives it back and the last block grows in place; freeing any other block does nothing,
/// so the arena is for programs that end soon or whose large blocks are larger than a quarter of what is handed out at first.
pub struct Arena<const SIZE: usize = { 3 * 512 * 1024 }> {
    memory: UnsafeCell<Memory<SIZE>>,
    /// Offset of the first byte that was not handed out.
    next: AtomicUsize,
}

#[repr(C, align(64))]
struct Memory<const SIZE: usize>([u8; SIZE]);

// SAFETY: `memory` is only reached through blocks that `next`, which is atomic, hands out to one owner each.
unsafe impl<const SIZE: usize> Sync for Arena<SIZE> {}

impl<const SIZE: usize> Arena<SIZE> {
    /// Where the reserve begins.
    const ORDINARY: usize = SIZE / 3;
    /// Larger blocks come from the system, so that they can be given back to it.
    const LARGE: usize = Self::ORDINARY / 4;

    /// An arena of which nothing was handed out; as a `static` it lies in `.bss` and costs nothing until touched.
    pub const fn new() -> Arena<SIZE> {
        Arena { memory: UnsafeCell::new(Memory([0; SIZE])), next: AtomicUsize::new(0) }
    }

    fn start(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// The offset of a block of the arena's, `None` for one of the system's.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.start() as usize);
        (offset < SIZE).then_some(offset)
    }

    /// Takes a piece off the front; `None` when it is better had from the system.
    #[inline]
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        if layout.size() > Self::LARGE { None } else { self.take_before(Self::ORDINARY, layout) }
    }

    /// A block of the system's, or of the reserve. Apart, so that what comes before it stays small.
    ///
    /// # Safety
    /// As `GlobalAlloc::alloc`.
    #[cold]
    #[inline(never)]
    unsafe fn beyond(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same layout, by the caller's contract.
        self.or_reserve(unsafe { System.alloc(layout) }, layout)
    }

    /// What the system gave, or a piece of the reserve, if it had nothing.
    fn or_reserve(&self, given: *mut u8, layout: Layout) -> *mut u8 {
        if given.is_null() { self.take_before(SIZE, layout).unwrap_or(given) } else { given }
    }

    /// Takes a piece off the front that ends before `most`; `None` when it does not fit.
    #[inline]
    fn take_before(&self, most: usize, layout: Layout) -> Option<*mut u8> {
        if layout.align() > align_of::<Memory<SIZE>>() {
            return None;
        }
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            let offset = next.next_multiple_of(layout.align());
            let end = offset.checked_add(layout.size()).filter(|end| *end <= most)?;
            // Acquire and release: a block that another thread gave back is no longer written by it.
            match self.next.compare_exchange_weak(next, end, Ordering::AcqRel, Ordering::Relaxed) {
                // SAFETY: `offset + size <= SIZE`, so the pointer stays within `memory`.
                Ok(_) => return Some(unsafe { self.start().add(offset) }),
                Err(newer) => next = newer,
            }
        }
    }

    /// Moves the end of the block at `offset` from `old` to `new` bytes; fails if it is not the last one.
    fn resize_last(&self, offset: usize, old: usize, new: usize) -> bool {
        let end = offset + new;
        let most = if offset + old <= Self::ORDINARY { Self::ORDINARY } else { SIZE };
        end <= most && self.next.compare_exchange(offset + old, end, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl<const SIZE: usize> Default for Arena<SIZE> {
    fn default() -> Arena<SIZE> {
        Arena::new()
    }
}

// SAFETY: blocks are disjoint, aligned and large enough, because `next` only moves past what was handed out and
// only goes back over a block that its owner gives back.
unsafe impl<const SIZE: usize> GlobalAlloc for Arena<SIZE> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(block) => block,
            // SAFETY: the same layout, by the caller's contract.
            None => unsafe { self.beyond(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = match self.take(layout) {
            Some(block) => block,
            // SAFETY: the same layout, by the caller's contract.
            None => self.or_reserve(unsafe { System.alloc_zeroed(layout) }, layout),
        };
        if self.offset(block).is_some() {
            // What was given back and handed out again is not zero any more.
            // SAFETY: the block has `size` bytes.
            unsafe { ptr::write_bytes(block, 0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) => {
                self.resize_last(offset, layout.size(), 0);
            }
            // SAFETY: not the arena's, so it came from the system with this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the size fits by the caller's contract, the alignment is that of a valid layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let moved = if let Some(offset) = self.offset(block) {
            let grows_here = size <= Self::LARGE && self.resize_last(offset, layout.size(), size);
            if grows_here || size <= layout.size() {
                return block;
            }
            // SAFETY: the layout is valid and not empty, as the block's.
            unsafe { self.alloc(wanted) }
        } else {
            // SAFETY: not the arena's, so it came from the system with this layout.
            let resized = unsafe { System.realloc(block, layout, size) };
            if !resized.is_null() {
                return resized;
            }
            self.or_reserve(resized, wanted)
        };
        if !moved.is_null() {
            // SAFETY: both blocks have at least the smaller of both sizes and do not overlap.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Arena<{ 3 * 4096 }>;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// A block that gives itself back.
    struct Block<'a>(&'a Small, *mut u8, Layout);

    impl<'a> Block<'a> {
        fn new(arena: &'a Small, size: usize, align: usize) -> Block<'a> {
            // SAFETY: the layout is valid and not empty.
            Block(arena, unsafe { arena.alloc(layout(size, align)) }, layout(size, align))
        }

        fn filled(arena: &'a Small, size: usize, byte: u8) -> Block<'a> {
            let mut block = Block::new(arena, size, 1);
            block.bytes().fill(byte);
            block
        }

        fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: the block is this long and only reached through this value.
            unsafe { std::slice::from_raw_parts_mut(self.1, self.2.size()) }
        }

        fn resize(&mut self, size: usize) {
            // SAFETY: the block and its layout belong together.
            self.1 = unsafe { self.0.realloc(self.1, self.2, size) };
            self.2 = layout(size, self.2.align());
        }

        fn is_inside(&self) -> bool {
            self.0.offset(self.1).is_some()
        }
    }

    impl Drop for Block<'_> {
        fn drop(&mut self) {
            // SAFETY: the block and its layout belong together.
            unsafe { self.0.dealloc(self.1, self.2) }
        }
    }

    #[test]
    fn blocks_are_apart_and_aligned() {
        let arena = Small::new();
        let mut odd = Block::filled(&arena, 3, 1);
        let mut wide = Block::new(&arena, 16, 64);
        wide.bytes().fill(2);
        assert_eq!(wide.1 as usize % 64, 0);
        assert_eq!(odd.bytes(), [1; 3]);
        assert!(odd.is_inside() && wide.is_inside());
    }

    #[test]
    fn the_last_block_is_given_back_and_others_are_not() {
        let arena = Small::new();
        let first = Block::new(&arena, 10, 1);
        let second = Block::new(&arena, 10, 1);
        let place = second.1;
        drop(second);
        let third = Block::new(&arena, 20, 1);
        assert_eq!(third.1, place);
        drop(first);
        assert_eq!(arena.next.load(Ordering::Relaxed), 30);
    }

    #[test]
    fn the_last_block_grows_and_shrinks_in_place() {
        let arena = Small::new();
        let mut block = Block::filled(&arena, 10, 7);
        let place = block.1;
        block.resize(500);
        assert_eq!((block.1, &block.bytes()[..10]), (place, &[7; 10][..]));
        block.resize(20);
        assert_eq!(arena.next.load(Ordering::Relaxed), 20);
    }

    #[test]
    fn a_block_in_the_middle_moves_with_its_bytes() {
        let arena = Small::new();
        let mut block = Block::filled(&arena, 10, 7);
        let mut next = Block::filled(&arena, 10, 8);
        let place = block.1;
        block.resize(30);
        assert_ne!(block.1, place);
        assert_eq!(&block.bytes()[..10], [7; 10]);
        block.resize(5);
        assert_eq!((block.bytes(), next.bytes()), (&mut [7; 5][..], &mut [8; 10][..]));
    }

    #[test]
    fn what_does_not_fit_comes_from_the_system() {
        let arena = Small::new();
        let mut large = Block::filled(&arena, 2000, 3);
        assert!(!large.is_inside());
        large.resize(4000);
        assert_eq!(&large.bytes()[..2000], [3; 2000]);
        assert!(!Block::new(&arena, 16, 128).is_inside());
        let mut blocks: Vec<Block> = (0..9).map(|number| Block::filled(&arena, 1000, number)).collect();
        assert!(blocks[3].is_inside() && !blocks[4].is_inside());
        for (number, block) in blocks.iter_mut().enumerate() {
            assert_eq!(block.bytes(), [number as u8; 1000]);
        }
    }

    #[test]
    fn a_block_that_outgrows_the_arena_moves_with_its_bytes() {
        let arena = Small::new();
        let mut block = Block::filled(&arena, 1000, 5);
        block.resize(3000);
        assert!(!block.is_inside());
        assert_eq!(&block.bytes()[..1000], [5; 1000]);
    }

    #[test]
    fn zeroed_blocks_are_zero_even_where_memory_was_used() {
        let arena = Small::new();
        drop(Block::filled(&arena, 100, 9));
        // SAFETY: the layout is valid and not empty.
        let zeroed = unsafe { arena.alloc_zeroed(layout(100, 1)) };
        assert_eq!(Block(&arena, zeroed, layout(100, 1)).bytes(), [0; 100]);
    }

    #[test]
    fn where_the_system_has_nothing_there_is_a_reserve() {
        let arena = Small::new();
        let blocks: Vec<Block> = (0..4).map(|number| Block::filled(&arena, 1000, number)).collect();
        let from_system = Block::new(&arena, 1000, 1);
        assert!(!from_system.is_inside());
        assert_eq!(arena.or_reserve(from_system.1, layout(1000, 1)), from_system.1);
        // Larger than what is handed out at first.
        let reserved = |size| arena.or_reserve(ptr::null_mut(), layout(size, 8));
        let mut block = Block(&arena, reserved(5000), layout(5000, 8));
        assert!(block.is_inside());
        block.bytes().fill(9);
        block.resize(900);
        block.resize(1000);
        assert!(block.is_inside() && block.bytes() == [9; 1000]);
        assert!(reserved(3 * 4096 - 4000 - 1000 + 1).is_null() && reserved(usize::MAX / 4).is_null());
        drop((block, blocks));
    }

    #[test]
    fn threads_get_blocks_of_their_own() {
        let arena = Small::new();
        std::thread::scope(|scope| {
            for byte in 0..8 {
                let arena = &arena;
                scope.spawn(move || {
                    for round in 1..2000 {
                        let mut block = Block::filled(arena, round % 60 + 1, byte);
                        block.resize(round % 90 + 1);
                        block.bytes().fill(byte);
                        assert!(block.bytes().iter().all(|found| *found == byte));
                    }
                });
            }
        });
    }
}
