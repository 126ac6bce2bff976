//! Lays out the program so that a replay touches few of its pages.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/replay.ld");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    // GNU ld and lld know `INSERT`; gold, mold and wild do not. Without the script the program is the same, and a little
    // slower to start.
    let is_elf = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_POINTER_WIDTH") == "64";
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let is_understood = !["gold", "mold", "wild"].iter().any(|linker| flags.contains(linker));
    if is_elf && is_understood && variable("PROFILE") == "release" {
        let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join("src/replay.ld");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
}
