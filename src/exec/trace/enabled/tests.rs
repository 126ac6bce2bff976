//! Watched commands, and what their traces tell.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::super::{Descriptor0, Network, Vain, Watch};
use crate::exec::{Forward, Input, Launch, Run, capture};
use crate::model::{self, Glimpse, Reason, Sink, Streams, Touch, Trace};

/// Where a command runs: below a folder of which no parent is a link.
struct World {
    folder: tempfile::TempDir,
}

/// Watches everything but descriptor 0, with no folder apart and no scratch.
pub(super) fn everything() -> Watch {
    let (network, stdin) = (Network::Refused, Descriptor0::Unwatched);
    let kept = model::Kept::default();
    let (root, apart, vain) = (Some("/".into()), Vec::new(), Vain::Break);
    Watch { root, apart, scratch: Arc::new(|_| false), kept, network, stdin, vain }
}

/// A sink that keeps all.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Sink for Kept {
    fn accept(&mut self, mut chunk: Vec<u8>) -> Vec<u8> {
        self.0.lock().unwrap().append(&mut chunk);
        chunk
    }
}

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn run_as(&self, watch: &Watch, script: &str) -> (Run, Vec<u8>) {
        let script = format!("cd '{}' || exit 9\n{script}", self.path("").display());
        let argv = ["sh", "-c", &script].map(OsString::from);
        let environment = [format!("PATH={}", std::env::var("PATH").unwrap()), "LC_ALL=C".into()].map(OsString::from);
        let launch = Launch {
            program: Path::new("/bin/sh"),
            argv: &argv,
            environment: &environment,
            stdin: Input::Null,
            place: Default::default(),
        };
        let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
        let streams = Streams { stdout: true, stderr: true, same: true };
        let run = capture(&launch, Some(watch), streams, Forward::Nowhere, &mut stdout, &mut stderr).unwrap();
        let text = stdout.0.lock().unwrap().clone();
        (run, text)
    }

    fn run(&self, script: &str) -> Trace {
        let (run, text) = self.run_as(&everything(), script);
        assert_eq!(run.status, crate::exec::Status::Exited(0), "{}", text.escape_ascii());
        assert_eq!(run.unwatched, None);
        run.trace.unwrap()
    }
}

#[track_caller]
fn touch<'a>(trace: &'a Trace, path: &Path) -> &'a Touch {
    trace.touched.get(path).unwrap_or_else(|| panic!("{} is not in {:#?}", path.display(), trace.touched.keys()))
}

#[test]
fn what_is_read_counts_by_content_and_what_is_missing_by_its_absence() {
    let world = World::new();
    let file = world.file("file", "text\n");
    let trace = world.run("cat file; test -e other; test -f ./a/../b/c; :");
    let read = touch(&trace, &file);
    assert!(read.seen.content && !read.made.changed && read.image.is_some(), "{read:?}");
    let other = touch(&trace, &world.path("other"));
    assert!(other.before == Glimpse::Nothing && other.seen.kind && !other.seen.content, "{other:?}");
    assert!(touch(&trace, &world.path("a")).seen.kind);
    assert!(touch(&trace, Path::new("/bin/cat").canonicalize().unwrap().as_path()).seen.content);
    assert!(!trace.touched.keys().any(|path| path.starts_with("/proc") || path.starts_with("/dev")));
    assert_eq!(trace.refusals, []);
}

#[test]
fn links_on_the_way_are_looked_at_and_paths_are_real() {
    let world = World::new();
    let file = world.file("deep/folder/file", "text\n");
    std::os::unix::fs::symlink("deep/folder", world.path("short")).unwrap();
    std::os::unix::fs::symlink("../folder/file", world.path("deep/folder/link")).unwrap();
    let trace = world.run("cat short/../folder/link; readlink short/link");
    assert!(touch(&trace, &file).seen.content);
    for link in ["short", "deep/folder/link"] {
        let link = touch(&trace, &world.path(link));
        assert!(link.seen.kind && matches!(&link.before, Glimpse::Something { target: Some(_), .. }), "{link:?}");
    }
    assert!(!trace.touched.contains_key(&world.path("short/link")));
}

#[test]
fn what_the_command_makes_is_its_own() {
    let world = World::new();
    let old = world.file("old", "text\n");
    let trace = world.run(
        "mkdir d; echo a >d/new; cat d/new; echo b >old; cat old; echo c >>d/more; set -C; echo x >fresh; ln -s ../old d/link; cat d/link",
    );
    let made = |name: &str| touch(&trace, &world.path(name)).made;
    assert!(
        made("d").own && made("d").exclusive && made("d/new").own && made("d/more").own && made("d/link").exclusive
    );
    assert!(!made("d/new").exclusive);
    let old = touch(&trace, &old);
    assert!(old.made.own && old.made.changed && !old.seen.content && old.image.is_none(), "{old:?}");
    assert!(!touch(&trace, &world.path("d/new")).seen.content);
    assert_eq!(trace.refusals, []);
}

#[test]
fn what_is_changed_in_place_is_kept_as_it_was() {
    let world = World::new();
    let names = ["appended", "mode", "times", "removed", "moved"];
    for name in names {
        world.file(name, name);
    }
    let trace = world.run("echo x >>appended; chmod 600 mode; touch -d 2001-01-01 times; rm removed; mv moved there");
    for name in names {
        let touch = touch(&trace, &world.path(name));
        assert_eq!(touch.image, Some(crate::model::Digest::of(name.as_bytes())), "{name}");
        assert!(touch.made.changed, "{name}");
        assert_eq!(touch.made.own, ["removed", "moved"].contains(&name), "{name}");
        assert_eq!(touch.seen.content, name != "removed", "{name}");
        assert_eq!(touch.made.dated, name == "times", "{name}");
    }
    assert!(touch(&trace, &world.path("there")).made.own);
}

#[test]
fn a_listing_is_without_what_the_command_made() {
    let world = World::new();
    world.file("folder/one", "1");
    world.file("folder/sub/two", "2");
    world.file("folder/gone", "3");
    let trace = world.run("echo x >folder/made; rm folder/gone; ls folder; echo y >folder/later; ls folder");
    let listing = touch(&trace, &world.path("folder")).listing.clone().unwrap();
    assert_eq!(listing.entries, [("one".into(), 0o100_000), ("sub".into(), 0o040_000)]);
    assert_eq!(listing.without, ["gone", "made"]);
    let seen = |script: &str| touch(&world.run(script), &world.path("folder/one")).seen;
    assert!(seen("ls -l folder").metadata && !seen("ls -l folder").content);
    assert!(seen("find folder -newer folder/sub/two").metadata);
}

#[test]
fn a_folder_that_is_moved_takes_what_is_in_it_along() {
    let world = World::new();
    world.file("old/deep/file", "text");
    let trace = world.run(
        "test -e new/deep/file; mv old new; cat new/deep/file; echo x >new/more; mkdir t; echo y >t/z; mv t u; cat u/z",
    );
    let file = touch(&trace, &world.path("old/deep/file"));
    assert!(file.seen.content && file.image.is_some() && file.made.own, "{file:?}");
    let new = touch(&trace, &world.path("new"));
    assert!(new.made.moved_here && new.made.own && new.seen.kind);
    assert!(trace.touched.get(&world.path("new/deep/file")).is_none_or(|touch| touch.made.own && !touch.seen.content));
    assert!(touch(&trace, &world.path("new/more")).made.own);
    assert!(touch(&trace, &world.path("old/deep")).listing.is_some());
    assert!(touch(&trace, &world.path("u/z")).made.own && !touch(&trace, &world.path("u/z")).seen.content);
}

#[test]
fn a_folder_that_takes_the_place_of_an_empty_one_makes_all_below_the_commands_own() {
    let world = World::new();
    world.file("old/file", "text");
    fs::create_dir(world.path("new")).unwrap();
    let trace = world.run("test -e new/file; mv -T old new; cat new/file");
    let file = touch(&trace, &world.path("new/file"));
    assert!(file.seen.kind && file.made.own && !file.seen.content, "{file:?}");
    assert!(touch(&trace, &world.path("old/file")).seen.content);
}

#[test]
fn a_folder_that_cannot_be_removed_stays_what_it_was() {
    let world = World::new();
    let file = world.file("folder/file", "text");
    let trace = world.run("mkdir folder; rmdir folder; mkdir other; mv -T other folder; cat folder/file; :");
    let touched = touch(&trace, &world.path("folder"));
    assert!(!touched.made.own && touched.listing.is_some(), "{touched:?}");
    assert!(touch(&trace, &file).seen.content);
}

#[test]
fn interpreters_are_inputs() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let script = world.file("script", "#!/bin/sh\ncat file\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let file = world.file("file", "text");
    let trace = world.run("./script");
    for path in [&script, &file, &Path::new("/bin/sh").canonicalize().unwrap()] {
        assert!(touch(&trace, path).seen.content, "{}", path.display());
    }
    let loader = super::program::interpreter(Path::new("/bin/sh")).unwrap().canonicalize().unwrap();
    assert!(touch(&trace, &loader).seen.content);
}

#[test]
fn a_path_that_leads_elsewhere_by_now_is_followed_again() {
    let world = World::new();
    for name in ["a", "b"] {
        fs::create_dir(world.path(name)).unwrap();
        world.file(&format!("{name}/file"), name);
    }
    std::os::unix::fs::symlink("a", world.path("link")).unwrap();
    let trace = world.run("f=$PWD/link/file; cat $f $f; rm link; ln -s b link; cat $f; test -e $f");
    for name in ["a/file", "b/file"] {
        assert!(touch(&trace, &world.path(name)).seen.content, "{name}");
    }
}

#[test]
fn opening_what_was_only_looked_at_is_noted() {
    let world = World::new();
    let file = world.file("file", "text");
    let trace = world.run("f=$PWD/file; test -e $f; test -e $f; cat $f");
    assert!(touch(&trace, &file).seen.content);
}

#[test]
fn who_is_left_behind_is_refused_and_answered() {
    let world = World::new();
    world.file("file", "text");
    // It goes on only when fleche has let go of it, and then makes calls that somebody must answer.
    let script = "mkfifo go; (read x <go; cat file >copy; mkdir done) </dev/null >/dev/null 2>&1 & :";
    let trace = world.run(script);
    assert!(trace.refusals.contains(&Reason::LeftBehind), "{:?}", trace.refusals);
    fs::write(world.path("go"), "x\n").unwrap();
    wait_for(|| world.path("done").exists());
    assert_eq!(fs::read_to_string(world.path("copy")).unwrap(), "text");
}

/// Waits until something is so, but not for ever.
#[track_caller]
fn wait_for(mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60));
        crate::sys::clock::pause(std::time::Duration::from_millis(5));
    }
}

/// What a process of its own is to play, which a test starts from its own program.
const STAGE: &str = "FLECHE_TEST_STAGE";

/// This program, playing what `stage` says in [`a_process_of_its_own`].
fn stage(stage: &str, folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "--test-threads=1"]);
    command.arg("exec::trace::enabled::tests::a_process_of_its_own").env(STAGE, stage).current_dir(folder);
    command
}

#[test]
fn a_process_of_its_own() {
    let Some(stage) = std::env::var_os(STAGE) else { return };
    let world = World { folder: tempfile::TempDir::new_in(".").unwrap() };
    match stage.to_str().unwrap() {
        "nested" => {
            world.file("file", "text\n");
            for script in ["cat file; exit 7", "cat file; test -e other; (cat file &) | cat; exit 7"] {
                let (run, text) = world.run_as(&everything(), script);
                assert_eq!(
                    (run.status, run.unwatched),
                    (crate::exec::Status::Exited(7), None),
                    "{}",
                    text.escape_ascii()
                );
                let trace = run.trace.unwrap();
                assert!(touch(&trace, &world.path("file")).seen.content);
                assert_eq!(trace.touched.contains_key(&world.path("other")), script.contains("other"));
                assert!(!trace.touched.contains_key(&world.path("../before").canonicalize().unwrap()));
                assert_eq!(trace.refusals, []);
            }
            let (run, _) = world.run_as(&everything(), "sleep 5 >&- 2>&- & echo $!");
            assert_eq!(run.trace.unwrap().refusals, [Reason::LeftBehind]);
        }
        "alone" => {
            world.file("file", "text");
            let (run, _) = world.run_as(&everything(), "cat file");
            assert_eq!(run.unwatched, None);
            assert!(touch(&run.trace.unwrap(), &world.path("file")).seen.content);
        }
        // The grandchild outlives its parent, which dies with this process.
        "killed" => {
            let script = "cd ..; (while test ! -e end; do test -e a; test -e b; : >alive; done; : >done) & wait";
            world.run_as(&everything(), script);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_command_inside_a_watched_one_is_watched_by_the_same_watcher() {
    // The kernel gives a process one listener.
    let world = World::new();
    let before = world.file("before", "text\n");
    let inner = stage("nested", &world.path(""));
    let words = [inner.get_program()].into_iter().chain(inner.get_args()).map(|word| word.to_str().unwrap());
    let line = format!("cat before; {STAGE}=nested {} || exit", words.collect::<Vec<_>>().join(" "));
    let trace = world.run(&line);
    assert_eq!(trace.refusals, [Reason::LeftBehind]);
    assert!(touch(&trace, &before).seen.content);
    assert!(trace.touched.iter().any(|(path, touch)| path.ends_with("file") && touch.made.own));
}

#[test]
fn a_user_without_rights_is_watched_too() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let world = World::new();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let mut alone = stage("alone", &world.path(""));
    if rustix::process::geteuid().is_root() {
        alone.uid(NOBODY).gid(NOBODY);
    }
    let output = match alone.output() {
        // The program lies where that user may not go.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return,
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}{}", output.stdout.escape_ascii(), output.stderr.escape_ascii());
}

#[test]
fn whoever_outlives_a_killed_watcher_goes_on() {
    let world = World::new();
    for round in 0..5 {
        let mut watcher = stage("killed", &world.path("")).stdout(std::process::Stdio::null()).spawn().unwrap();
        wait_for(|| world.path("alive").exists());
        watcher.kill().unwrap();
        watcher.wait().unwrap();
        // Both the calls of before and those of now are answered.
        for _ in 0..20 {
            fs::remove_file(world.path("alive")).unwrap();
            wait_for(|| world.path("alive").exists());
        }
        fs::write(world.path("end"), "").unwrap();
        wait_for(|| world.path("done").exists());
        for name in ["alive", "end", "done"] {
            fs::remove_file(world.path(name)).unwrap_or_else(|error| panic!("{round} {name}: {error}"));
        }
    }
}

#[test]
fn standard_input_is_noted_where_that_is_asked_for() {
    let world = World::new();
    let run = |stdin: Descriptor0, script: &str| {
        let watch = Watch { stdin, ..everything() };
        let (run, _) = world.run_as(&watch, script);
        run.trace.unwrap().stdin_used
    };
    assert!(run(Descriptor0::Watched, "cat >/dev/null"));
    assert!(run(Descriptor0::Watched, "cat /dev/stdin"));
    assert!(!run(Descriptor0::Watched, "echo x | cat"));
    assert!(!run(Descriptor0::Unwatched, "cat"));
}

#[test]
fn what_reaches_beyond_the_command_is_refused() {
    let world = World::new();
    world.file("file", "text");
    let refusals = |script: &str| world.run(script).refusals;
    assert_eq!(refusals("ln file other"), [Reason::HardLink(world.path("other"))]);
    assert_eq!(refusals("ln file more; rm more"), [Reason::HardLink(world.path("more"))]);
    world.file("moved", "text");
    assert_eq!(refusals("ln moved there; rm moved"), []);
    assert_eq!(refusals("echo x >made; ln made more; mkfifo f; (echo x >f) & cat f; wait"), []);
    if fs::metadata("/dev/loop-control").is_ok() {
        assert_eq!(refusals("exec 3</dev/loop-control; :"), [Reason::Device("/dev/loop-control".into())]);
    }
}

#[test]
fn threads_and_spawned_programs_are_watched() {
    if !has_compiler() {
        return;
    }
    let world = World::new();
    world.file("one", "1");
    world.file("two", "2");
    world.file(
        "threads.c",
        "#include <pthread.h>\n#include <spawn.h>\n#include <sys/wait.h>\n#include <fcntl.h>\n#include <unistd.h>\n
        extern char **environ;
        static void *look(void *name) { close(open(name, O_RDONLY)); return 0; }
        int main(void) {
            pthread_t thread; char *argv[] = {\"cat\", \"two\", 0}; pid_t id;
            pthread_create(&thread, 0, look, \"one\"); pthread_join(thread, 0);
            posix_spawnp(&id, \"cat\", 0, 0, argv, environ); waitpid(id, 0, 0);
            if (vfork() == 0) { execlp(\"cat\", \"cat\", \"missing\", (char *)0); _exit(1); }
            while (wait(0) > 0) {}
            return 0;
        }",
    );
    assert_eq!(world.run("gcc -pthread -o threads threads.c").refusals, []);
    let trace = world.run("./threads");
    assert!(touch(&trace, &world.path("one")).seen.content && touch(&trace, &world.path("two")).seen.content);
    assert!(touch(&trace, &world.path("missing")).seen.kind);
}

#[test]
fn calls_of_another_architecture_are_refused() {
    if !has_compiler() || !cfg!(target_arch = "x86_64") {
        return;
    }
    let world = World::new();
    // getpid of i386.
    world.file(
        "other.c",
        "int main(void) { int id; __asm__ volatile (\"int $0x80\" : \"=a\"(id) : \"a\"(20)); return 0; }",
    );
    let trace = world.run("gcc -o other other.c; ./other; :");
    let refused = trace.refusals == [Reason::Unwatched("calls of another architecture".into())];
    // A kernel without such calls kills the program.
    assert!(refused || !world.run("./other || exit 0; echo >made").touched.contains_key(&world.path("made")));
}

fn has_compiler() -> bool {
    std::process::Command::new("gcc").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn sockets_are_refused_by_whom_they_reach() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let world = World::new();
    let _listener = std::os::unix::net::UnixListener::bind(world.path("socket")).unwrap();
    let refusals = |network: Network, code: &str| {
        let watch = Watch { network, ..everything() };
        let program = format!("python3 -S -c 'import socket as s\n{code}'");
        world.run_as(&watch, &program).0.trace.unwrap().refusals
    };
    use Network::{Allowed, Refused};
    let here = "s.socket(s.AF_UNIX).connect(\"socket\")";
    assert_eq!(refusals(Refused, here), [Reason::Socket(world.path("socket"))]);
    let own = "a=s.socket(s.AF_UNIX); a.bind(\"own\"); a.listen(); s.socket(s.AF_UNIX).connect(\"own\")";
    assert_eq!(refusals(Refused, own), []);
    let away = "s.socket(s.AF_INET).connect_ex((\"127.0.0.1\", 9))";
    assert_eq!(refusals(Refused, away), [Reason::Network("127.0.0.1:9".into())]);
    assert_eq!(refusals(Allowed, away), []);
    assert_eq!(
        refusals(Refused, "s.socket(s.AF_INET, s.SOCK_DGRAM)"),
        [Reason::Network("a socket of family 2".into())]
    );
}

#[test]
fn a_folder_that_is_gone_and_one_that_only_looks_so_are_told_apart() {
    let world = World::new();
    let file = world.file("sub (deleted)/file", "text");
    let trace = world.run("cd 'sub (deleted)' && cat file");
    assert!(touch(&trace, &file).seen.content && trace.refusals.is_empty(), "{trace:?}");
    let trace = world.run("mkdir gone; cd gone; rmdir ../gone; cat ../x; :");
    assert!(matches!(&trace.refusals[..], [Reason::Unwatched(_)]), "{:?}", trace.refusals);
}

#[test]
fn what_is_written_where_nothing_is_observed_is_noted() {
    let world = World::new();
    let name = format!("fleche-test-{}", std::process::id());
    let path = Path::new("/run").join(&name);
    let trace = world
        .run(&format!("echo x >/dev/null; ls -ld . >/dev/null; (echo x >/run/{name}) 2>/dev/null; rm -f /run/{name}"));
    assert!(touch(&trace, &path).made.own);
    assert!(!trace.touched.contains_key(Path::new("/etc/passwd")));
    assert_eq!(trace.refusals, []);
    let trace = world.run("cat /etc/passwd >/dev/null");
    assert!(touch(&trace, Path::new("/etc/passwd")).seen.content);
    let trace = world.run("(: >/proc/sys/fleche) 2>/dev/null; :");
    assert_eq!(trace.refusals, [Reason::Device("/proc/sys/fleche".into())]);
}

#[test]
fn kernels_are_told_apart_by_their_names() {
    use super::is_since;
    assert!(is_since(b"5.5.0", (5, 5)) && is_since(b"6.18.44-fc", (5, 5)) && is_since(b"10.0", (5, 5)));
    assert!(!is_since(b"5.4.99-generic", (5, 5)) && !is_since(b"4.19", (5, 5)) && !is_since(b"", (5, 5)));
}

#[test]
fn what_is_apart_or_scratch_is_not_noted() {
    let world = World::new();
    world.file("apart/file", "1");
    world.file("scratch/file", "2");
    let scratch = world.path("scratch");
    let watch = Watch {
        apart: vec![world.path("apart")],
        scratch: Arc::new(move |path| path.starts_with(&scratch)),
        ..everything()
    };
    let (run, _) = world.run_as(&watch, "cat apart/file scratch/file; echo x >scratch/more; ls");
    let trace = run.trace.unwrap();
    assert!(
        !trace
            .touched
            .keys()
            .any(|path| path.starts_with(world.path("apart")) || path.starts_with(world.path("scratch")))
    );
    assert_eq!(
        touch(&trace, &world.folder.path().canonicalize().unwrap()).listing.as_ref().unwrap().without,
        ["apart", "scratch"]
    );
}

#[test]
fn a_descriptor_of_a_folder_is_where_relative_paths_begin() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let world = World::new();
    world.file("folder/file", "text");
    world.file("folder/gone", "text");
    let code = "import os\nf=os.open(\"folder\", os.O_RDONLY)\nos.open(\"file\", os.O_RDONLY, dir_fd=f)\n\
                os.rename(\"gone\", \"here\", src_dir_fd=f, dst_dir_fd=f)\nos.listdir(f)\nos.chdir(f)\nos.stat(\"../file\") if os.path.exists(\"../file\") else 0\n\
                g=os.open(\"here\", os.O_RDONLY)\nos.fchmod(g, 0o600)\nopen(\"/proc/self/cwd/made\", \"x\")\nos.utime(g, (1, 1))";
    let trace = world.run(&format!("python3 -S -c '{code}'"));
    assert!(touch(&trace, &world.path("folder/file")).seen.content);
    assert!(touch(&trace, &world.path("folder/gone")).made.own && touch(&trace, &world.path("folder/here")).made.dated);
    assert!(touch(&trace, &world.path("file")).seen.kind);
    assert!(touch(&trace, &world.path("folder/made")).made.exclusive);
    let listing = touch(&trace, &world.path("folder")).listing.clone().unwrap();
    assert_eq!(listing.entries, [("file".into(), 0o100_000)]);
    assert_eq!(listing.without, ["gone", "here"]);
}

#[test]
fn a_compiler_is_blind_to_times() {
    if !has_compiler() {
        return;
    }
    let world = World::new();
    world.file("a.h", "int a;");
    world.file("main.c", "#include \"a.h\"\n#include \"b.h\"\nint main(void) { return a; }");
    world.file("include/b.h", "int b;");
    let trace = world.run("gcc -I missing -I include -c main.c -o main.o");
    for name in ["a.h", "main.c", "include/b.h"] {
        let touch = touch(&trace, &world.path(name));
        assert!(touch.seen.content && !touch.seen.metadata, "{name}: {touch:?}");
    }
    // What would come first in the search counts by not being there.
    for name in ["b.h", "missing"] {
        let touch = touch(&trace, &world.path(name));
        assert!(touch.before == Glimpse::Nothing && (touch.seen.kind || touch.seen.kind_blindly), "{name}: {touch:?}");
    }
    let object = touch(&trace, &world.path("main.o"));
    assert!(object.made.own && !object.seen.kind && !object.seen.content, "{object:?}");
    assert_eq!(trace.refusals, []);
    // The second time it is there.
    let object = touch(&world.run("gcc -I missing -I include -c main.c -o main.o"), &world.path("main.o")).clone();
    assert!(object.made.own && !object.seen.kind && !object.seen.content, "{object:?}");
}
