//! Locks between processes that the kernel drops when their holder dies.
