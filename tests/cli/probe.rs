//! The program in `probe.c`, compiled once and put into each world that asks for it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;

use crate::world::{World, search_path};

const SOURCE: &str = include_str!("probe.c");

/// Puts `probe` and `tool` into a world, and returns the PATH on which they and fleche are found.
pub fn install(world: &World) -> OsString {
    let folder = world.root().join("bin");
    let executions = world.root().join("executions");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&executions).unwrap();
    fs::set_permissions(&executions, fs::Permissions::from_mode(0o777)).unwrap();
    copy(compiled(), &folder.join("probe"));
    std::os::unix::fs::symlink("probe", folder.join("tool")).unwrap();
    let fleche = Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap();
    let mut path = folder.into_os_string();
    for more in [fleche.as_os_str(), search_path().as_ref()] {
        path.push(":");
        path.push(more);
    }
    path
}

/// How often `probe` was executed in a world.
pub fn executions(world: &World) -> usize {
    fs::read_dir(world.root().join("executions")).unwrap().count()
}

/// Copies a program by another process: a descriptor of ours that is open for writing could be in a
/// child that another thread is just starting, and then the program could not be executed.
pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// The compiled program, in cargo's folder for the files of tests.
fn compiled() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join(format!("probe-{}", &blake3::hash(SOURCE.as_bytes()).to_hex()[..16]));
        if program.exists() {
            return program;
        }
        let name = format!("probe-{}", process::id());
        let (source, fresh) = (folder.join(format!("{name}.c")), folder.join(name));
        fs::write(&source, SOURCE).unwrap();
        let compiler = Command::new("cc").args(["-O1", "-o"]).arg(&fresh).arg(&source).status().unwrap();
        assert!(compiler.success(), "cc cannot compile probe.c");
        fs::remove_file(&source).unwrap();
        fs::rename(&fresh, &program).unwrap();
        program
    })
}
