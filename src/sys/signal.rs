//! Signals: what was inherited, what is blocked, what is passed on.
