//! A C project of forty files under `make -j2`: the binaries of a bare build, and only the compilers that are needed.

use std::fs;
use std::path::Path;

use crate::project::{DECLARED, Project, WHOLE, made, same, succeeded};
use crate::world::World;

/// Builds with fleche: how many compilers were started.
#[track_caller]
fn build(project: &Project, checkout: &Path) -> usize {
    project.starts_of(project.make(checkout, &DECLARED))
}

/// The life of a project; `shared` compilers are started in the second checkout.
fn life_of_a_project(flags: &'static str, shared: usize) {
    let world = World::new();
    let project = Project::new(&world, flags);
    let [one, two] = ["one", "a/second/checkout"].map(|name| project.check_out(name));
    let bare = project.bare(&one);

    // Cold.
    assert_eq!(build(&project, &one), WHOLE);
    same(&made(&one), &bare);
    assert!(project.is_up_to_date(&one, &DECLARED));

    // Warm: make itself has nothing to do.
    assert_eq!(build(&project, &one), 0);

    // After touch: make runs every recipe that the file concerns, and each is replayed.
    project.touch(&one.join("src/m7.c"));
    assert!(!project.is_up_to_date(&one, &DECLARED));
    assert_eq!(build(&project, &one), 0);
    project.touch(&one.join("include/common.h"));
    assert_eq!(build(&project, &one), 0);
    same(&made(&one), &bare);

    // After make clean.
    succeeded(&project.make(&one, &["clean"]).run());
    assert_eq!(build(&project, &one), 0);
    same(&made(&one), &bare);
    assert!(project.is_up_to_date(&one, &DECLARED));

    // After an edit of one declared header: it is an input of every object, and the program changes.
    let header = one.join("include/m7.h");
    let original = fs::read_to_string(&header).unwrap();
    fs::write(&header, original.replace("49", "94")).unwrap();
    project.touch(&header);
    assert_eq!(build(&project, &one), WHOLE);
    let edited = made(&one);
    same(&edited, &project.bare(&one));
    assert_ne!(edited, bare);
    assert_eq!(build(&project, &one), 0);
    same(&made(&one), &edited);

    // Back again: nothing of it was forgotten.
    fs::write(&header, &original).unwrap();
    project.touch(&header);
    assert_eq!(build(&project, &one), 0);
    same(&made(&one), &bare);

    // From a second checkout under another path.
    let bare = project.bare(&two);
    assert_eq!(build(&project, &two), shared);
    same(&made(&two), &bare);
    succeeded(&project.make(&two, &["clean"]).run());
    assert_eq!(build(&project, &two), 0);
    same(&made(&two), &bare);
    assert!(project.is_up_to_date(&two, &DECLARED));

    // The programs work.
    let printed = |checkout: &Path| world.program(checkout.join("build/program"), [""; 0]).run().stdout();
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
    let world = World::new();
    let project = Project::new(&world, "");
    let one = project.check_out("one");
    let broken = one.join("src/m3.c");
    let original = fs::read_to_string(&broken).unwrap();
    fs::write(&broken, "int m3(int n) { return nowhere; }\n").unwrap();
    for _ in 0..2 {
        let outcome = project.make(&one, &DECLARED).run();
        assert_eq!(outcome.code(), 2);
        let stderr = outcome.stderr();
        assert!(
            stderr.contains("src/m3.c:1:") && stderr.contains("nowhere") && !stderr.contains("fleche: "),
            "{stderr}"
        );
    }
    fs::write(&broken, original).unwrap();
    succeeded(&project.make(&one, &DECLARED).run());
    same(&made(&one), &project.bare(&one));
}

#[test]
fn a_warning_of_the_compiler_is_replayed() {
    let world = World::new();
    let project = Project::new(&world, "-Wall");
    let one = project.check_out("one");
    fs::write(one.join("src/m3.c"), "int m3(int n) { int unused; return n; }\n").unwrap();
    let compile = || project.make(&one, &[&DECLARED[..], &["build/m3.o"]].concat()).run();
    let first = compile();
    assert_eq!(first.code(), 0);
    assert!(first.stderr().contains("unused variable"), "{first:?}");
    succeeded(&project.make(&one, &["clean"]).run());
    let _ = fs::remove_file(project.starts_file());
    assert_eq!(compile().stderr(), first.stderr());
    assert!(!project.starts_file().exists());
}
