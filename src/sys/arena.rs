//! A global allocator for a process that lives for a millisecond.
