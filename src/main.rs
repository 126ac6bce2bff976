//! The program: nothing but its start.

#![no_main]

#[global_allocator]
static ALLOCATOR: fleche::Allocator = fleche::Allocator::new();

fleche::entry_point!(fleche::start);
