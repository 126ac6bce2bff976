//! Real programs with nothing declared: `make`, compilers, `cargo`, `python3`, `git`, `tar` and scripts of the shell do under
//! fleche what they do bare, after each edit, and are not started where nothing has changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::world::{Outcome, Session, World, eventually, search_path};

/// Everything in a folder but what is in `.git`: modes and contents.
fn tree(top: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(top).min_depth(1).into_iter().filter_entry(|entry| entry.file_name() != ".git");
    let mut all = BTreeMap::new();
    for entry in entries {
        let entry = entry.unwrap();
        let found = entry.path().symlink_metadata().unwrap();
        let content = if found.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
        all.insert(entry.path().strip_prefix(top).unwrap().to_owned(), (found.mode(), content));
    }
    all
}

/// The names of what differs: bytes would be too much to print.
#[track_caller]
fn same_trees(one: &Path, other: &Path, when: &str) {
    let (one, other) = (tree(one), tree(other));
    let differ = |path: &&PathBuf| one.get(*path) != other.get(*path);
    let different: Vec<&PathBuf> = one.keys().chain(other.keys()).filter(differ).collect();
    assert!(different.is_empty(), "{when}: {different:?}");
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Replaces text in a file, as an editor does.
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} holds no {from}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

/// How many lines a file has; none if it is not there.
fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// Whether a program is there to be tested with.
fn has(world: &World, program: &str) -> bool {
    world.program("/bin/sh", ["-c", &format!("command -v {program}")]).run().code() == 0
}

/// Whether fleche has replayed a call, by what `-v` says.
fn is_hit(outcome: &Outcome) -> bool {
    outcome.stderr().lines().any(|line| line.starts_with("fleche: hit "))
}

/// What a command said itself.
fn own_words(outcome: &Outcome) -> (i32, String, String) {
    let stderr = outcome.stderr();
    let own = stderr.lines().filter(|line| !line.starts_with("fleche: ")).map(|line| line.to_owned() + "\n");
    (outcome.code(), outcome.stdout(), own.collect())
}

/// Modules of the C project, each with a header of its own.
const MODULES: usize = 31;
/// Compilers of a whole build: one a module, one for `main.c`, and one that links.
const WHOLE: usize = MODULES + 2;

const MAKEFILE: &str = "\
CC = cc
CFLAGS = -Ilocal -Iinclude -Ivendor/include
SOURCES := $(sort $(wildcard src/*.c))
OBJECTS := $(SOURCES:src/%.c=build/%.o)

all: build/program

build/program: $(OBJECTS)
\t$(CC) -o $@ $^

build/%.o: src/%.c Makefile | build
\t$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

build:
\tmkdir -p $@

clean:
\trm -rf build

-include $(OBJECTS:.o=.d)

.PHONY: all clean
";

/// How the three trees of [`Project`] are built: bare, all of `make` watched, and each compiler.
const WAYS: [&str; 3] = ["bare", "make", "cc"];

/// What is put before each compiler in the third tree.
const CACHED: &str = "fleche run --scratch *.starts -- ";

/// A C project in three trees, and a compiler that notes its starts in a file beside the tree.
struct Project {
    world: World,
}

impl Project {
    fn new() -> Project {
        let project = Project { world: World::new() };
        project.compiler("");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleche"), project.world.path("bin/fleche")).unwrap();
        project.change(plant);
        project
    }

    /// Sets the compiler: a wrapper of the system's with further options.
    fn compiler(&self, options: &str) {
        let body = format!("#!/bin/sh\necho x >> \"$PWD.starts\"\nexec /usr/bin/cc {options} \"$@\"\n");
        self.world.script("bin/cc", &body);
    }

    fn tree(&self, way: &str) -> PathBuf {
        self.world.path(way)
    }

    /// Does the same to all trees, at a time that is not that of anything there.
    fn change(&self, what: impl Fn(&Path)) {
        self.tick();
        for way in WAYS {
            what(&self.tree(way));
        }
        self.tick();
    }

    /// Waits until files get another time than those that are there: `make` must see which is the older.
    fn tick(&self) {
        let time = || fs::metadata(self.world.write("clock", "")).unwrap().modified().unwrap();
        let before = time();
        eventually("the clock goes on", || time() > before);
    }

    fn make(&self, way: &str, words: &[&str]) -> Session {
        let compiler = format!("CC={CACHED}cc");
        let before: &[&str] = match way {
            "make" => &["fleche", "run", "--scratch", "*.starts", "--", "make", "-j2"],
            "cc" => &["make", "-j2", &compiler],
            _ => &["make", "-j2"],
        };
        let path = format!("{}:{}", self.world.path("bin").display(), search_path());
        let fleche = env!("CARGO_BIN_EXE_fleche");
        let program = if before[0] == "fleche" { fleche } else { "make" };
        self.world.program(program, before[1..].iter().chain(words)).current_dir(self.tree(way)).env("PATH", path)
    }

    /// Builds all trees: they, and what is printed, must be the same, and so many compilers be started.
    #[track_caller]
    fn build(&self, when: &str, words: &[&str], starts: [usize; 3]) {
        let (mut started, mut said) = (Vec::new(), Vec::new());
        for way in WAYS {
            let starts = self.world.path(format!("{way}.starts"));
            let _ = fs::remove_file(&starts);
            let outcome = self.make(way, words).run();
            started.push(lines(&starts));
            let stdout = outcome.stdout().replace(CACHED, "");
            // Two jobs are not always done in the same order.
            let mut printed: Vec<String> = stdout.lines().map(str::to_owned).collect();
            printed.sort();
            said.push((outcome.code(), printed, outcome.stderr()));
        }
        assert_eq!(said[0].0, 0, "{when}: {said:?}");
        for (way, said_so) in WAYS.iter().zip(&said).skip(1) {
            assert_eq!(*said_so, said[0], "{when}, {way}");
            same_trees(&self.tree(way), &self.tree("bare"), &format!("{when}, {way}"));
        }
        assert_eq!(started, starts, "{when}: compilers started");
    }

    fn clean(&self) {
        self.change(|tree| fs::remove_dir_all(tree.join("build")).unwrap());
    }
}

/// Writes the sources: headers are in three folders of the search path.
fn plant(tree: &Path) {
    let put = |name: &str, text: &str| write(&tree.join(name), text);
    put("Makefile", MAKEFILE);
    put("local/own.h", "#define OWN 1\n");
    put("vendor/include/bounds.h", "#define BOUND 64\n");
    put("include/common.h", "#include <stdio.h>\n#include <string.h>\n#include \"bounds.h\"\n");
    let (mut calls, mut headers) = (String::new(), String::new());
    for module in 0..MODULES {
        put(&format!("include/m{module}.h"), &format!("#define SEED {}\nint m{module}(int);\n", 100 + module));
        let source = format!(
            "#include \"common.h\"\n#include \"m{module}.h\"\nstatic int table[BOUND];\nint m{module}(int n) {{\n    \
             for (int i = 0; i < BOUND; i++) table[i] = i * n + SEED;\n    return table[n % BOUND];\n}}\n"
        );
        put(&format!("src/m{module}.c"), &source);
        headers += &format!("#include \"m{module}.h\"\n");
        calls += &format!("    sum += m{module}(sum % 9);\n");
    }
    let main = format!(
        "#include \"common.h\"\n{headers}int main(void) {{\n    unsigned sum = 1;\n{calls}    printf(\"%u\\n\", sum);\n    \
         return 0;\n}}\n"
    );
    put("src/main.c", &main);
}

#[test]
fn a_c_project_is_built_as_without_fleche() {
    let project = Project::new();
    if !Path::new("/usr/bin/cc").exists() || !has(&project.world, "make") {
        return eprintln!("skipped: there is no make, or no /usr/bin/cc");
    }
    project.build("from nothing", &[], [WHOLE, WHOLE, WHOLE]);
    project.build("nothing to do", &[], [0, 0, 0]);
    project.build("nothing to do again", &[], [0, 0, 0]);

    let header = "include/m3.h";
    project.change(|tree| edit(&tree.join(header), "SEED", "SEED"));
    project.build("a header is touched", &[], [3, 3, 0]);
    project.build("nothing to do after a touch", &[], [0, 0, 0]);
    project.change(|tree| edit(&tree.join(header), "103", "33"));
    project.build("a header is edited", &[], [3, 3, 3]);
    project.build("nothing to do after an edit", &[], [0, 0, 0]);
    project.change(|tree| edit(&tree.join(header), "33", "103"));
    project.build("the header is as it was", &[], [3, 3, 0]);
    project.clean();
    project.build("all is cleaned", &[], [WHOLE, 0, 0]);

    // The compiler has looked for it there in vain, and make knows nothing of that.
    project.change(|tree| write(&tree.join("local/m5.h"), "#define SEED 55\nint m5(int);\n"));
    project.build("a shadow that make does not see", &[], [0, 0, 0]);
    project.clean();
    project.build("a header shadows another", &[], [WHOLE, WHOLE, 3]);
    project.change(|tree| fs::remove_file(tree.join("local/m5.h")).unwrap());
    project.build("the shadow is deleted", &[], [3, 3, 0]);
    project.clean();

    let flags = "CFLAGS=-O1 -Ilocal -Iinclude -Ivendor/include";
    project.build("other flags", &[flags], [WHOLE, WHOLE, WHOLE]);
    project.clean();
    let [compiler, kept] = ["bin/cc", "bin/cc.kept"].map(|name| project.world.path(name));
    fs::rename(&compiler, &kept).unwrap();
    project.compiler("-DWRAPPED -fno-builtin");
    project.build("another compiler", &[], [WHOLE, WHOLE, WHOLE]);
    project.clean();
    fs::rename(&kept, &compiler).unwrap();
    project.build("the compiler is what it was", &[], [WHOLE, 0, 0]);

    project.change(|tree| {
        fs::remove_file(tree.join("src/m30.c")).unwrap();
        edit(&tree.join("src/main.c"), "sum += m30(sum % 9);", "");
    });
    project.build("a source is deleted", &[], [2, 2, 2]);
    project.build("nothing to do at last", &[], [0, 0, 0]);
}

/// `cargo build` in a crate without dependencies, by the toolchain that builds these tests, with every compiler noted.
struct Crate {
    world: World,
}

impl Crate {
    fn cargo(&self, before: &[&str], what: &str) -> Session {
        let cargo = env!("CARGO");
        let words = [before, &[cargo, what, "--offline"]].concat();
        let folder = Path::new(cargo).parent().unwrap();
        let path = format!("{}:{}", folder.display(), search_path());
        let wrapper = self.world.path("bin/count-rustc");
        let session = self.world.program(words[0], &words[1..]).current_dir(self.world.path("small"));
        session.env("PATH", path).env("RUSTC_WRAPPER", wrapper).env("CARGO_TERM_COLOR", "never")
    }

    /// Builds from nothing, then again bare: the program must be the same, and so many compilers be started.
    #[track_caller]
    fn build(&self, when: &str, starts: usize) {
        let noted = self.world.path("rustc.starts");
        let (target, program) = (self.world.path("small/target"), self.world.path("small/target/debug/small"));
        let mut made = Vec::new();
        for before in [&[env!("CARGO_BIN_EXE_fleche"), "run", "-v", "--scratch", "*.starts", "--"][..], &[]] {
            let _ = fs::remove_dir_all(&target);
            let _ = fs::remove_file(&noted);
            let outcome = self.cargo(before, "build").run();
            assert_eq!(outcome.code(), 0, "{when}: {}", outcome.stderr());
            made.push((fs::read(&program).unwrap(), lines(&noted), outcome.stderr()));
        }
        assert!(made[0].0 == made[1].0, "{when}: the programs differ");
        assert_eq!((made[0].1, made[1].1), (starts, 1), "{when}: compilers started\n{}", made[0].2);
    }
}

#[test]
fn a_crate_is_built_as_without_fleche() {
    let small = Crate { world: World::new() };
    let (world, noted) = (&small.world, small.world.path("rustc.starts"));
    if !Path::new(env!("CARGO")).exists() || !Path::new("/usr/bin/cc").exists() {
        return eprintln!("skipped: there is no cargo at {}, or no /usr/bin/cc", env!("CARGO"));
    }
    // What cargo makes there when it is used for the first time lies outside the root.
    fs::create_dir(world.home().join(".cargo")).unwrap();
    // Not the questions that cargo asks the compiler.
    let note = format!("case \" $* \" in *' --crate-name small '*) echo x >> '{}';; esac", noted.display());
    world.script("bin/count-rustc", &format!("#!/bin/sh\n{note}\nexec \"$@\"\n"));
    world.write("small/Cargo.toml", "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    world.write("small/src/main.rs", "mod other;\n\nfn main() {\n    println!(\"{}\", other::number());\n}\n");
    world.write("small/src/other.rs", "pub fn number() -> u8 {\n    1\n}\n");
    assert_eq!(small.cargo(&[], "generate-lockfile").run().code(), 0);
    small.build("from nothing", 1);
    small.build("again", 0);
    edit(&world.path("small/src/other.rs"), "1", "2");
    small.build("a module is edited", 1);
    edit(&world.path("small/src/other.rs"), "2", "1");
    small.build("the module is as it was", 0);
    world.write("small/src/other/mod.rs", "pub fn number() -> u8 {\n    3\n}\n");
    fs::remove_file(world.path("small/src/other.rs")).unwrap();
    small.build("a module has become a folder", 1);
    world.write("small/build.rs", "fn main() {}\n");
    small.build("a build script is new", 1);
    world.write("small/.cargo/config.toml", "[build]\nrustflags = [\"-Copt-level=1\"]\n");
    small.build("flags are new", 1);
    small.build("again at last", 0);
}

#[test]
fn python_imports_what_it_would_without_fleche() {
    let world = World::new();
    // Not what stands in for it and looks for versions.
    let asked = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let Some(python) = asked.ok().and_then(|answer| String::from_utf8(answer.stdout).ok()) else {
        return eprintln!("skipped: there is no python3");
    };
    let python = python.trim();
    if python.is_empty() {
        return eprintln!("skipped: python3 does not work");
    }
    let body = format!("exec '{python}' \"$@\"");
    world.counted("python", &body);
    let program = "import json, argparse; print(json.dumps({'a': argparse.SUPPRESS}))";
    let mut started = 0;
    let mut check = |when: &str, starts: usize| {
        let bare = world.program(python, ["-c", program]).run();
        let run = world.fleche(["run", "--scratch", "executions-of-*", "--", "./python", "-c", program]).run();
        assert_eq!(own_words(&run), own_words(&bare), "{when}");
        started += starts;
        assert_eq!(world.executions("python"), started, "{when}: {}", run.stderr());
    };
    check("at first", 1);
    check("again", 0);
    check("and again", 0);
    // The working directory is the first place in which it looks.
    world.write("json.py", "def dumps(it):\n    return 'shadow'\n");
    check("a module shadows another", 1);
    check("the shadow again", 0);
    world.write("json.py", "def dumps(it):\n    return 'darker'\n");
    check("the shadow is edited", 1);
    fs::remove_file(world.path("json.py")).unwrap();
    // The folder has got another time by that, which Python asks for.
    check("the shadow is gone", 1);
    check("without the shadow again", 0);
}

/// Two trees in which the same is done, bare and watched.
struct Twins {
    world: World,
}

impl Twins {
    fn new(plant: impl Fn(&Path)) -> Twins {
        let twins = Twins { world: World::new() };
        twins.change(plant);
        twins
    }

    fn tree(&self, name: &str) -> PathBuf {
        self.world.path(name).join("t")
    }

    fn change(&self, what: impl Fn(&Path)) {
        for name in ["bare", "watched"] {
            what(&self.tree(name));
        }
    }

    /// Runs a line of the shell in both trees as often as it takes to be replayed, which must be at most the third time.
    #[track_caller]
    fn runs(&self, when: &str, line: &str) {
        let mut hits = Vec::new();
        for _ in 0..3 {
            let bare = self.world.program("/bin/sh", ["-c", line]).current_dir(self.tree("bare")).run();
            let run = self.world.fleche(["run", "-v", "--", "/bin/sh", "-c", line]);
            let run = run.current_dir(self.tree("watched")).run();
            assert_eq!(own_words(&run), own_words(&bare), "{when}: {line}");
            same_trees(&self.tree("watched"), &self.tree("bare"), &format!("{when}: {line}"));
            hits.push(is_hit(&run));
        }
        assert!(hits[2], "{when}: {line}: not replayed");
    }
}

#[test]
fn scripts_do_what_they_do_without_fleche() {
    let script = "#!/bin/sh\nset -e\nfind . -name '*.c' | sort > list\ngrep -r TODO src | sort > found || true\n\
                  cat <<END > report\n$(wc -l < list) sources, $(wc -l < found) to do\nEND\n\
                  t=$(mktemp)\ncat list report > $t\nsort -r $t\nrm $t\n\
                  d=$(mktemp -d)\ncp src/a.c $d/\nls $d\nrm -r $d\n\
                  mkdir -p out/deep\nfor f in src/*.c; do sed s/TODO/done/ $f > out/deep/${f##*/}; done\n\
                  sed -i 's/^/> /' report\nrm -f list\n";
    let twins = Twins::new(|tree| {
        for (name, text) in [("src/a.c", "int a; /* TODO */\n"), ("src/b.c", "int b;\n"), ("src/d/c.c", "TODO\n")] {
            write(&tree.join(name), text);
            date(&tree.join(name));
        }
        write(&tree.join("script"), script);
        fs::set_permissions(tree.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    });
    let lines = [
        "sh ./script",
        "tar cf - src | tar tvf - | sort",
        "tar czf all.tgz src && tar xzf all.tgz -C out && rm all.tgz",
        "find . -type f -newer src/b.c -name '*.c' | sort; grep -rl TODO src | sort",
    ];
    let all = |when: &str| lines.iter().for_each(|line| twins.runs(when, line));
    all("at first");
    twins.change(|tree| edit(&tree.join("src/b.c"), "int b", "long TODO"));
    all("a file is edited");
    twins.change(|tree| write(&tree.join("src/new.c"), "TODO\n"));
    all("a file is new");
    twins.change(|tree| {
        fs::remove_file(tree.join("src/d/c.c")).unwrap();
        write(&tree.join("unrelated"), "");
        for name in ["src/new.c", "unrelated"] {
            date(&tree.join(name));
        }
    });
    all("a file is deleted");
}

/// Gives a file a time that it has in both trees.
fn date(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn git_says_what_it_says_without_fleche() {
    const GIT: &str = "git -c user.name=n -c user.email=e";
    let twins = Twins::new(|tree| write(&tree.join("a"), "1\n"));
    if !has(&twins.world, "git") {
        return eprintln!("skipped: there is no git");
    }
    let both = |line: &str| {
        twins.change(|tree| {
            let dated = twins.world.program("/bin/sh", ["-c", line]).current_dir(tree);
            let dated =
                dated.env("GIT_COMMITTER_DATE", "@1500000000 +0000").env("GIT_AUTHOR_DATE", "@1500000000 +0000");
            let outcome = dated.run();
            assert_eq!(outcome.code(), 0, "{line}: {}", outcome.stderr());
        });
    };
    let commit = |message: &str| both(&format!("git add -A && {GIT} commit -qm {message}"));
    both("git init -q . && mkdir d && echo 2 > d/b");
    commit("first");
    let lines = ["git status", "git diff", "git archive HEAD | tar tf -", "git log --format=%s", "git grep -n 1"];
    let all = |when: &str| lines.iter().for_each(|line| twins.runs(when, line));
    all("at first");
    twins.change(|tree| write(&tree.join("a"), "11\n"));
    all("a file is edited");
    commit("second");
    all("it is committed");
    twins.change(|tree| {
        write(&tree.join("new"), "1\n");
        fs::remove_file(tree.join("d/b")).unwrap();
        write(&tree.join(".gitignore"), "*.o\n");
    });
    all("files come and go");
    both("git checkout -q HEAD -- d/b; git checkout -qb other");
    all("another branch");

    // The same size and time do not deceive git, which knows the inode and when it was changed at last.
    twins.change(|tree| date(&tree.join("a")));
    commit("third");
    all("with a certain time");
    twins.change(|tree| {
        write(&tree.join("a"), "22\n");
        date(&tree.join("a"));
    });
    twins.runs("an edit in disguise", "git status --short");
    all("an edit in disguise");
}
