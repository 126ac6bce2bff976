//! The limits under which commands are started.

use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{Resource, getrlimit};

/// Fewer open files than this are too few for some commands.
const FEW_FILES: u64 = 256;

/// More than fleche's first thread has ever used of its stack (128 KiB where nothing is optimised), in bytes.
const STACK: usize = 512 << 10;

/// Lets the stack grow to what fleche may need, or as far as that goes, where there is a limit of address space; whether all of it
/// was to be had.
///
/// The kernel ends a program whose stack cannot grow, and what is allocated later leaves it no room.
pub(super) fn claim_stack() -> bool {
    if getrlimit(Resource::As).current.is_none() {
        return true;
    }
    let has_room = |size: &usize| {
        // SAFETY: new memory, which nobody uses.
        let probe = unsafe { mmap_anonymous(ptr::null_mut(), *size, ProtFlags::empty(), MapFlags::PRIVATE) };
        // SAFETY: the same memory.
        probe.and_then(|memory| unsafe { munmap(memory, *size) }).is_ok()
    };
    let room = [STACK, STACK / 2, STACK / 4, STACK / 8].into_iter().find(has_room);
    // Where the stack may not become as large, trying would end the program.
    if let Some(size) = room.filter(|_| getrlimit(Resource::Stack).current.is_none_or(|most| most > 4 * STACK as u64)) {
        touch_stack(size);
    }
    room == Some(STACK)
}

/// Writes to the next `left` bytes of the stack, page by page.
#[inline(never)]
fn touch_stack(left: usize) {
    let mut frame = [0_u8; 2048];
    std::hint::black_box(&mut frame);
    if let Some(left) = left.checked_sub(frame.len()) {
        touch_stack(left);
    }
    // Used after the call: else it would be a loop in one frame.
    std::hint::black_box(&mut frame);
}

/// The limits of this process, which commands inherit, of which a command may have too little, as a text that tells one from
/// another; `None` where there are none. A shell says yes although one of its commands could not write any further.
///
/// Usual limits are not told: `make` and terminals raise and lower them, and no result depends on that.
pub fn tight() -> Option<String> {
    let unlimited =
        [(Resource::Fsize, "fsize"), (Resource::As, "as"), (Resource::Data, "data"), (Resource::Cpu, "cpu")];
    let set = unlimited.into_iter().filter_map(|(resource, name)| Some((name, getrlimit(resource).current?)));
    let files = getrlimit(Resource::Nofile).current.filter(|most| *most < FEW_FILES).map(|most| ("nofile", most));
    let all: Vec<String> = set.chain(files).map(|(name, most)| format!("{name}={most}")).collect();
    (!all.is_empty()).then(|| all.join(" "))
}
