//! A C project of forty files under `make -j2`: the binaries of a bare build, and only the compilers that are needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::world::{Outcome, Session, World, search_path};

/// Source files beside `main.c`, each with a header of its own; all include `common.h`.
const MODULES: usize = 36;
/// Compilers of a whole build: one a source file, and one that links.
const WHOLE: usize = MODULES + 2;

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

/// How a user of fleche builds it.
const CACHED: [&str; 2] =
    ["CC=fleche run -i $< -i include/ -o $@ -- cc", "LINK=fleche run $(addprefix -i ,$^) -o $@ -- cc"];

/// Two checkouts of the project and a compiler that notes each of its starts.
struct Project {
    world: World,
    flags: &'static str,
}

impl Project {
    fn new(flags: &'static str) -> Project {
        let project = Project { world: World::new(), flags };
        let world = &project.world;
        // Links beside the program under test, so that PATH is the world's own.
        world.script(
            "bin/cc",
            &format!("#!/bin/sh\necho x >> '{}'\nexec /usr/bin/cc \"$@\"\n", project.starts_file().display()),
        );
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleche"), world.path("bin/fleche")).unwrap();
        for checkout in ["one", "a/second/checkout"] {
            project.check_out(&world.path(checkout));
        }
        project
    }

    fn check_out(&self, at: &Path) {
        let write = |name: String, content: String| {
            let path = at.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("fleche.toml".into(), String::new());
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
    }

    fn one(&self) -> PathBuf {
        self.world.path("one")
    }

    fn two(&self) -> PathBuf {
        self.world.path("a/second/checkout")
    }

    fn starts_file(&self) -> PathBuf {
        self.world.root().join("starts-of-cc")
    }

    /// `make` in a checkout; the optimisation flags are the same in every build.
    fn make(&self, checkout: &Path, words: &[&str]) -> Session {
        let flags = format!("CFLAGS=-O1 -Iinclude {}", self.flags);
        let path = format!("{}:{}", self.world.path("bin").display(), search_path());
        self.world.program("make", ["-j2", &flags].iter().chain(words)).current_dir(checkout).env("PATH", path)
    }

    /// Builds with fleche: how many compilers were started, as they noted it themselves.
    #[track_caller]
    fn build(&self, checkout: &Path) -> usize {
        self.starts_of(self.make(checkout, &CACHED))
    }

    #[track_caller]
    fn starts_of(&self, make: Session) -> usize {
        let _ = fs::remove_file(self.starts_file());
        succeeded(&make.run());
        fs::read(self.starts_file()).map_or(0, |noted| noted.iter().filter(|byte| **byte == b'\n').count())
    }

    /// What a bare build of a checkout makes, which is then cleaned.
    #[track_caller]
    fn bare(&self, checkout: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        succeeded(&self.make(checkout, &["clean"]).run());
        assert_eq!(self.starts_of(self.make(checkout, &[])), WHOLE);
        let made = made(checkout);
        assert_eq!(made.len(), WHOLE);
        succeeded(&self.make(checkout, &["clean"]).run());
        made
    }

    /// Makes a file newer than all others, by the clock that stamps what is built.
    fn touch(&self, path: &Path) {
        self.world.program("touch", [path]).prints("");
    }

    /// Whether make has nothing left to do.
    fn is_up_to_date(&self, checkout: &Path) -> bool {
        self.make(checkout, &[&["-q"], &CACHED[..]].concat()).run().code() == 0
    }
}

#[track_caller]
fn succeeded(outcome: &Outcome) {
    assert_eq!((outcome.code(), String::from_utf8_lossy(&outcome.stderr).as_ref()), (0, ""), "{}", outcome.stdout());
}

/// What was built in a checkout: names and bytes, the program last of all executable.
fn made(checkout: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(checkout.join("build")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mode = fs::metadata(checkout.join("build/program")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    paths.into_iter().map(|path| (path.strip_prefix(checkout).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

/// The names of what differs: bytes would be too much to print.
#[track_caller]
fn same(made: &[(PathBuf, Vec<u8>)], bare: &[(PathBuf, Vec<u8>)]) {
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(made), names(bare));
    let different: Vec<_> = made.iter().zip(bare).filter(|(one, two)| one.1 != two.1).map(|(one, _)| &one.0).collect();
    assert!(different.is_empty(), "{different:?}");
}

/// The life of a project; `shared` compilers are started in the second checkout.
fn life_of_a_project(flags: &'static str, shared: usize) {
    let project = Project::new(flags);
    let (one, two) = (project.one(), project.two());
    let bare = project.bare(&one);

    // Cold.
    assert_eq!(project.build(&one), WHOLE);
    same(&made(&one), &bare);
    assert!(project.is_up_to_date(&one));

    // Warm: make itself has nothing to do.
    assert_eq!(project.build(&one), 0);

    // After touch: make runs every recipe that the file concerns, and each is replayed.
    project.touch(&one.join("src/m7.c"));
    assert!(!project.is_up_to_date(&one));
    assert_eq!(project.build(&one), 0);
    project.touch(&one.join("include/common.h"));
    assert_eq!(project.build(&one), 0);
    same(&made(&one), &bare);

    // After make clean.
    succeeded(&project.make(&one, &["clean"]).run());
    assert_eq!(project.build(&one), 0);
    same(&made(&one), &bare);
    assert!(project.is_up_to_date(&one));

    // After an edit of one declared header: it is an input of every object, and the program changes.
    let header = one.join("include/m7.h");
    let original = fs::read_to_string(&header).unwrap();
    fs::write(&header, original.replace("49", "94")).unwrap();
    project.touch(&header);
    assert_eq!(project.build(&one), WHOLE);
    let edited = made(&one);
    same(&edited, &project.bare(&one));
    assert_ne!(edited, bare);
    assert_eq!(project.build(&one), 0);
    same(&made(&one), &edited);

    // Back again: nothing of it was forgotten.
    fs::write(&header, &original).unwrap();
    project.touch(&header);
    assert_eq!(project.build(&one), 0);
    same(&made(&one), &bare);

    // From a second checkout under another path.
    let bare = project.bare(&two);
    assert_eq!(project.build(&two), shared);
    same(&made(&two), &bare);
    succeeded(&project.make(&two, &["clean"]).run());
    assert_eq!(project.build(&two), 0);
    same(&made(&two), &bare);
    assert!(project.is_up_to_date(&two));

    // The programs work.
    let printed = |checkout: &Path| project.world.program(checkout.join("build/program"), [""; 0]).run().stdout();
    assert_eq!(printed(&one), printed(&two));
}

#[test]
fn a_c_project_is_built_as_without_fleche() {
    life_of_a_project("", 0);
}

#[test]
fn a_c_project_with_debug_information_is_built_as_without_fleche() {
    // The objects name the folder in which they were compiled, and so belong to their checkout.
    life_of_a_project("-g", WHOLE);
}

#[test]
fn a_compiler_that_fails_fails_the_build() {
    let project = Project::new("");
    let (one, broken) = (project.one(), project.one().join("src/m3.c"));
    let original = fs::read_to_string(&broken).unwrap();
    fs::write(&broken, "int m3(int n) { return nowhere; }\n").unwrap();
    for _ in 0..2 {
        let outcome = project.make(&one, &CACHED).run();
        assert_eq!(outcome.code(), 2);
        let stderr = outcome.stderr();
        assert!(
            stderr.contains("src/m3.c:1:") && stderr.contains("nowhere") && !stderr.contains("fleche: "),
            "{stderr}"
        );
    }
    fs::write(&broken, original).unwrap();
    succeeded(&project.make(&one, &CACHED).run());
    same(&made(&one), &project.bare(&one));
}

#[test]
fn a_warning_of_the_compiler_is_replayed() {
    let project = Project::new("-Wall");
    let one = project.one();
    fs::write(one.join("src/m3.c"), "int m3(int n) { int unused; return n; }\n").unwrap();
    let compile = || project.make(&one, &[&CACHED[..], &["build/m3.o"]].concat()).run();
    let first = compile();
    assert_eq!(first.code(), 0);
    assert!(first.stderr().contains("unused variable"), "{first:?}");
    succeeded(&project.make(&one, &["clean"]).run());
    let _ = fs::remove_file(project.starts_file());
    assert_eq!(compile().stderr(), first.stderr());
    assert!(!project.starts_file().exists());
}
