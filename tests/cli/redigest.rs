//! Keys of an older format are made anew.
