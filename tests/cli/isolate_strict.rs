//! `fleche run --isolate=strict`, from outside: what a command cannot do inside, it can do bare.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::probe;
use crate::world::{Outcome, World};

/// Whether commands can be watched here.
pub fn is_watchable(world: &World) -> bool {
    let outcome = world.fleche(["run", "-v", "--", "/bin/true"]).run();
    !outcome.stderr().contains("cannot be watched here")
}

/// Whether this machine lets its users have name spaces; where it does not, fleche has to say so.
fn is_confinable(world: &World) -> bool {
    let outcome = strictly(world, &["-i", "in"], "exit 0").run();
    let refused = outcome.code() == 125 && outcome.stderr().contains("can be had here");
    assert!(refused || outcome.code() == 0, "{}", outcome.stderr());
    !refused
}

fn strictly(world: &World, options: &[&str], line: &str) -> crate::world::Session {
    world.fleche(["run", "--isolate=strict"].iter().chain(options).chain(&["--", "/bin/sh", "-c", line]))
}

fn world() -> World {
    let world = World::new();
    world.write("in", "in\n");
    world
}

/// The same line bare and inside: bare it has to succeed.
#[track_caller]
fn fails_inside_only(world: &World, line: &str) {
    let bare = world.program("/bin/sh", ["-c", line]).run();
    assert_eq!(bare.code(), 0, "{line}: {}", bare.stderr());
    let inside: Outcome = strictly(world, &["-i", "in", "--trace", "off"], line).run();
    assert!(inside.code() != 0 && inside.code() != 125, "{line}: {} {}", inside.code(), inside.stderr());
}

#[test]
fn nothing_else_is_read() {
    let world = world();
    if !is_confinable(&world) {
        return;
    }
    let secret = world.root().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    world.write("beside", "x\n");
    let secret = secret.display();
    for line in [
        format!("cat {secret}"),
        format!("test -e {secret}"),
        "cat ../secret".to_owned(),
        "cat beside".to_owned(),
        format!("cat {}/beside", world.work().display()),
        format!("ls {}/*", world.home().parent().unwrap().display().to_string() + "/home/.cache"),
        format!("cat /proc/{}/environ", std::process::id()),
        format!("ls /proc/{}/root/", std::process::id()),
        format!("ls /proc/{}/cwd/", std::process::id()),
    ] {
        fails_inside_only(&world, &line);
    }
}

#[test]
fn nothing_is_written_outside() {
    let world = world();
    if !is_confinable(&world) {
        return;
    }
    let outside = world.root().join("outside");
    fs::write(&outside, "outside\n").unwrap();
    let folder = world.root().join("folder");
    fs::create_dir(&folder).unwrap();
    let tool = folder.join("given");
    fs::write(&tool, "given\n").unwrap();
    let outside = outside.display();
    let state = || {
        let found = fs::metadata(world.root().join("outside")).unwrap();
        (fs::read_to_string(world.root().join("outside")).unwrap(), found.permissions(), found.modified().unwrap())
    };
    // Where temporary files are it has a folder of its own, in which it may make one of that name.
    for line in [format!("echo x >> {outside}"), format!("chmod 600 {outside}"), format!("touch -d @1 {outside}")] {
        let before = state();
        strictly(&world, &["-i", "in"], &line).run();
        assert!(state() == before, "{line}");
        world.program("/bin/sh", ["-c", &line]).prints("");
        assert!(state() != before, "{line}");
    }
    // What is declared may be read there, and no more.
    let declared = folder.to_str().unwrap();
    let (given, new) = (tool.display(), folder.join("new"));
    for line in [format!("echo x > {given}"), format!("chmod 777 {given}"), format!("touch {}", new.display())] {
        let outcome = strictly(&world, &["-i", "in", "-i", declared], &format!("cat {given}; {line}")).run();
        assert_eq!((outcome.code() != 0, outcome.stdout().as_str()), (true, "given\n"), "{line}");
    }
    assert!(!new.exists() && fs::read_to_string(&tool).unwrap() == "given\n");
    // It has temporary files and a home of its own.
    let line =
        "echo a > /tmp/fleche-test-own; echo b > $HOME/own; cat /tmp/fleche-test-own $HOME/own; echo c > /dev/null";
    strictly(&world, &["-i", "in"], line).prints("a\nb\n");
    assert!(!world.home().join("own").exists() && !fs::exists("/tmp/fleche-test-own").unwrap());
}

const CONNECT: &str = "import socket,sys\n\
    kind, place = sys.argv[1], sys.argv[2]\n\
    if kind == 'tcp': socket.create_connection(('127.0.0.1', int(place)), 5)\n\
    elif kind == 'udp':\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', int(place))); s.send(b'x'); s.settimeout(5); assert s.recv(9) == b'y'\n\
    else: socket.socket(socket.AF_UNIX).connect(('\\0' if kind == 'abstract' else '') + place)\n";

#[test]
fn there_is_no_network() {
    let world = world();
    if !is_confinable(&world) {
        return;
    }
    world.write("connect.py", CONNECT);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("fleche-test-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let path = world.root().join("socket");
    let _named = UnixListener::bind(&path).unwrap();
    let echo = udp.try_clone().unwrap();
    let answering = std::thread::spawn(move || {
        let mut bytes = [0; 1];
        let (_, from) = echo.recv_from(&mut bytes).unwrap();
        echo.send_to(b"y", from).unwrap();
    });
    let (tcp, udp) = (tcp.local_addr().unwrap().port().to_string(), udp.local_addr().unwrap().port().to_string());
    for (kind, place) in [("tcp", tcp.as_str()), ("udp", &udp), ("abstract", &name), ("named", path.to_str().unwrap())]
    {
        let words = ["/usr/bin/env", "python3", "connect.py", kind, place];
        let bare = world.program(words[0], &words[1..]).run();
        assert_eq!(bare.code(), 0, "{kind}: {}", bare.stderr());
        let options = ["run", "--isolate=strict", "--trace", "off", "-i", "connect.py", "--"];
        let inside = world.fleche(options.iter().chain(&words)).run();
        assert_eq!(inside.code(), 1, "{kind}: {}", inside.stderr());
        assert!(inside.stderr().contains("Error"), "{kind}: {}", inside.stderr());
    }
    answering.join().unwrap();
}

#[test]
fn it_is_run_under_the_folder_s_own_name_and_as_the_same_user() {
    let world = world();
    if !is_confinable(&world) {
        return;
    }
    let line = "pwd; id -u; id -g; umask; cat in > out";
    let bare = world.program("/bin/sh", ["-c", "pwd; id -u; id -g; umask"]).run().stdout();
    let run = || strictly(&world, &["-v", "-i", "in", "-o", "out"], line).run();
    let first = run();
    assert_eq!((first.stdout(), first.code()), (bare.clone(), 0));
    fs::remove_file(world.path("out")).unwrap();
    let second = run();
    assert!(second.stderr().starts_with("fleche: hit "), "{}", second.stderr());
    assert_eq!((second.stdout(), world.read("out").as_str()), (bare, "in\n"));
    // An absolute path of an output is the same inside.
    let made = world.path("made");
    strictly(&world, &["-i", "in", "-o", made.to_str().unwrap()], &format!("cat in > {}", made.display())).prints("");
    assert_eq!(world.read("made"), "in\n");
}

#[test]
fn an_ordinary_user_is_confined_as_well() {
    let world = world();
    if !is_confinable(&world) {
        return;
    }
    let secret = world.root().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    world.give_away();
    world.remove_cache();
    let line = format!("id -u; cat in > out; cat {}", secret.display());
    let words = ["run", "--isolate=strict", "-i", "in", "-o", "out", "--", "/bin/sh", "-c", &line];
    let outcome = world.program(world.root().join("fleche"), words).by_somebody().run();
    // Another policy may keep ordinary users from it.
    if outcome.code() == 125 && outcome.stderr().contains("can be had here") {
        return;
    }
    assert_eq!((outcome.code(), world.read("out").as_str()), (1, "in\n"), "{}", outcome.stderr());
    assert!(outcome.stderr().contains("No such file"), "{}", outcome.stderr());
}

#[test]
fn a_mount_cannot_be_undone() {
    let world = world();
    if !is_confinable(&world) {
        return;
    }
    for line in ["umount /proc", "mount -o remount,rw /usr", "mount -t tmpfs none /tmp", "umount -l /"] {
        let outcome = strictly(&world, &["-i", "in"], line).run();
        assert!(outcome.code() != 0 && outcome.code() != 125, "{line}: {}", outcome.stderr());
    }
}

#[test]
fn a_program_of_the_user_s_comes_with_its_folder() {
    let world = world();
    if !is_confinable(&world) {
        return;
    }
    let bin = world.root().join("tools/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(world.root().join("tools/lib")).unwrap();
    fs::write(world.root().join("tools/lib/part"), "part\n").unwrap();
    world.script(bin.join("tool"), "#!/bin/sh\n. \"${0%/*}/other\"\ncat \"${0%/*}/../lib/part\" in\n");
    fs::write(bin.join("other"), "echo other\n").unwrap();
    let path = format!("{}:{}", bin.display(), crate::world::search_path());
    world.fleche(["run", "--isolate=strict", "-i", "in", "--", "tool"]).env("PATH", path).prints("other\npart\nin\n");
}

#[test]
fn what_was_looked_for_is_named_there_too() {
    let world = world();
    if !is_confinable(&world) || !is_watchable(&world) {
        return;
    }
    world.write("data/x.csv", "x\n");
    let outcome = strictly(&world, &["-i", "in"], "cat data/x.csv 2>/dev/null").run();
    outcome.check(1, "", "fleche: `data/x.csv` was looked for but is not declared; add -i data/x.csv\n");
}

#[test]
fn where_the_kernel_does_not_allow_it_nothing_is_run() {
    let world = world();
    let path = probe::install(&world);
    let filtered = |denied: &str, line: &str| {
        let line = format!("tool with deny={denied} -- fleche run --isolate=strict -i in -o out -- sh -c '{line}'");
        world.shell(&line).env("PATH", &path).run()
    };
    let is_refused = |denied: &str| {
        let outcome = filtered(denied, ": > out; echo ran");
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (125, ""), "{denied}: {}", outcome.stderr());
        assert!(!world.path("out").exists());
        outcome.stderr()
    };
    let why = "fleche: cannot isolate `sh` strictly: no name spaces of its own (user, mount, network) can be had here: \
               operation not permitted\nhint: `--isolate` without `=strict` needs nothing of the kernel\n";
    assert_eq!(is_refused("unshare"), why);
    if !is_confinable(&world) {
        return;
    }
    for denied in ["mount", "attributes", "pivot", "capabilities", "kill:unshare", "kill:mount", "kill:pivot"] {
        let told = is_refused(denied);
        assert!(told.contains("can be had here"), "{denied}: {told}");
    }
    // A hit needs nothing of the kernel.
    let line = "fleche run --isolate=strict -i in -o out -- sh -c 'cat in'";
    world.shell(line).env("PATH", &path).prints("in\n");
    filtered("unshare", "cat in").check(0, "in\n", "");
}

#[test]
fn root_keeps_the_rights_over_its_own_files_and_no_others() {
    let world = world();
    if !crate::world::is_root() || !is_confinable(&world) {
        return;
    }
    let closed = world.path("in");
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o0)).unwrap();
    let mut kept = String::new();
    fs::File::open("/proc/self/status").unwrap().read_to_string(&mut kept).unwrap();
    strictly(&world, &["-i", "in"], "cat in; grep CapBnd /proc/self/status").prints("in\nCapBnd:\t00000000000000fb\n");
}
