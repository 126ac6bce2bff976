//! A C project of forty files, and how often its compilers are started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::world::{Outcome, Session, World, search_path};

/// Source files beside `main.c`, each with a header of its own; all include `common.h`.
pub const MODULES: usize = 36;
/// Compilers of a whole build: one a source file, and one that links.
pub const WHOLE: usize = MODULES + 2;

const MAKEFILE: &str = "\
CC = cc
LINK = $(CC)
CFLAGS = -O1 -Iinclude
SOURCES := $(sort $(wildcard src/*.c))
OBJECTS := $(SOURCES:src/%.c=build/%.o)

all: build/program

build/program: $(OBJECTS)
\t$(LINK) -o $@ $^

$(OBJECTS): build/%.o: src/%.c $(wildcard include/*.h) | build
\t$(CC) $(CFLAGS) -c -o $@ $<

build:
\tmkdir -p $@

clean:
\trm -rf build

.PHONY: all clean
";

/// Words of `make` with which each compiler is run by fleche, and told what it reads.
pub const DECLARED: [&str; 2] =
    ["CC=fleche run -i $< -i include/ -o $@ -- cc", "LINK=fleche run $(addprefix -i ,$^) -o $@ -- cc"];

/// Checkouts of the project in a world, and a compiler that notes each of its starts.
pub struct Project<'w> {
    world: &'w World,
    flags: &'static str,
}

impl Project<'_> {
    /// With these flags of the compiler.
    pub fn new<'w>(world: &'w World, flags: &'static str) -> Project<'w> {
        let project = Project { world, flags };
        // Links beside the program under test, so that PATH is the world's own.
        world.script(
            "bin/cc",
            &format!("#!/bin/sh\necho x >> '{}'\nexec /usr/bin/cc \"$@\"\n", project.starts_file().display()),
        );
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleche"), world.path("bin/fleche")).unwrap();
        project
    }

    /// A checkout of this name in the working directory.
    pub fn check_out(&self, name: &str) -> PathBuf {
        let write = |path: String, content: String| drop(self.world.write(format!("{name}/{path}"), content));
        write("fleche.toml".into(), "root = true\n".into());
        write("Makefile".into(), MAKEFILE.into());
        write("include/common.h".into(), "#define STEP 3\n#include <stdio.h>\n#include <string.h>\n".into());
        let (mut calls, mut includes) = (String::new(), String::new());
        for module in 0..MODULES {
            write(format!("include/m{module}.h"), format!("#define SEED {}\nint m{module}(int);\n", module * 7));
            write(
                format!("src/m{module}.c"),
                format!(
                    "#include \"common.h\"\n#include \"m{module}.h\"\n\
                     static int table[64];\n\
                     int m{module}(int n) {{\n    for (int i = 0; i < 64; i++) table[i] = i * n + SEED;\n    \
                     int sum = 0;\n    for (int i = 0; i < 64; i += STEP) sum += table[i];\n    return sum;\n}}\n"
                ),
            );
            calls.push_str(&format!("    sum += m{module}(sum);\n"));
            includes.push_str(&format!("int m{module}(int);\n"));
        }
        let main = format!(
            "#include \"common.h\"\n{includes}int main(void) {{\n    unsigned sum = 1;\n{calls}    printf(\"%u\\n\", sum);\n    return 0;\n}}\n"
        );
        write("src/main.c".into(), main);
        self.world.path(name)
    }

    /// Where the compilers note their starts: there is none until one is started.
    pub fn starts_file(&self) -> PathBuf {
        self.world.root().join("starts-of-cc")
    }

    /// `make` in a checkout; the optimisation flags are the same in every build.
    pub fn make(&self, checkout: &Path, words: &[&str]) -> Session {
        let flags = format!("CFLAGS=-O1 -Iinclude {}", self.flags);
        let path = format!("{}:{}", self.world.path("bin").display(), search_path());
        self.world.program("make", ["-j2", &flags].iter().chain(words)).current_dir(checkout).env("PATH", path)
    }

    /// How many compilers this starts, as they note it themselves.
    #[track_caller]
    pub fn starts_of(&self, make: Session) -> usize {
        let _ = fs::remove_file(self.starts_file());
        succeeded(&make.run());
        fs::read(self.starts_file()).map_or(0, |noted| noted.iter().filter(|byte| **byte == b'\n').count())
    }

    /// What a bare build of a checkout makes, which is then cleaned.
    #[track_caller]
    pub fn bare(&self, checkout: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        succeeded(&self.make(checkout, &["clean"]).run());
        assert_eq!(self.starts_of(self.make(checkout, &[])), WHOLE);
        let made = made(checkout);
        assert_eq!(made.len(), WHOLE);
        succeeded(&self.make(checkout, &["clean"]).run());
        made
    }

    /// Whether make has nothing left to do.
    pub fn is_up_to_date(&self, checkout: &Path, words: &[&str]) -> bool {
        self.make(checkout, &[&["-q"], words].concat()).run().code() == 0
    }

    /// Makes a file newer than all others, by the clock that stamps what is built.
    pub fn touch(&self, path: &Path) {
        self.world.program("touch", [path]).prints("");
    }
}

/// With status 0, and nothing on standard error.
#[track_caller]
pub fn succeeded(outcome: &Outcome) {
    assert_eq!((outcome.code(), String::from_utf8_lossy(&outcome.stderr).as_ref()), (0, ""), "{}", outcome.stdout());
}

/// What was built in a checkout: names and bytes, the program last of all executable.
pub fn made(checkout: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(checkout.join("build")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mode = fs::metadata(checkout.join("build/program")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    paths.into_iter().map(|path| (path.strip_prefix(checkout).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

/// The names of what differs: bytes would be too much to print.
#[track_caller]
pub fn same(made: &[(PathBuf, Vec<u8>)], bare: &[(PathBuf, Vec<u8>)]) {
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(made), names(bare));
    let different: Vec<_> = made.iter().zip(bare).filter(|(one, two)| one.1 != two.1).map(|(one, _)| &one.0).collect();
    assert!(different.is_empty(), "{different:?}");
}
