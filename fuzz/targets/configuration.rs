//! A file of configuration, to what it says of a command.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use fleche::fuzzing::configuration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What is behind the first NUL is the command.
    let mut parts = bytes.split(|byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let argv: Vec<OsString> = parts.map(|word| OsString::from_vec(word.to_vec())).collect();
    let argv = if argv.is_empty() { vec!["cc".into(), "-c".into(), "a.c".into()] } else { argv };
    let first = configuration(text, &argv);
    assert_eq!(configuration(text, &argv), first, "the same says the same");
});
