//! How a replay writes: in the recorded order, never twice, and as the command would where it cannot go on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeWriter, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::process::Stdio;

use crate::world::{World, eventually, world};

/// What is recorded and replayed.
const RUN: &str = "exec fleche run -i input -- ./tool";
/// More than any pipe holds unless it is asked to.
const MUCH: usize = 3 << 20;

/// A world in which a tool that prints so many bytes was recorded.
fn printing(bytes: usize) -> World {
    let world = world(&format!("yes | head -c {bytes}"));
    world.shell(RUN).prints(&"y\n".repeat(bytes / 2));
    world
}

/// The second way into a pipe: another open file.
fn further(writer: &PipeWriter) -> File {
    OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap()
}

fn is_full(writer: RawFd) -> bool {
    let mut poll = libc::pollfd { fd: writer, events: libc::POLLOUT, revents: 0 };
    // SAFETY: poll(2) writes to the one entry that it is given.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 0 }
}

#[test]
fn what_both_streams_got_comes_in_the_order_in_which_it_came() {
    let world = world("echo 1; read x <one; echo 2 >&2; read x <two; echo 3; read x <three; echo 4 >&2");
    // A gate for each step: one that is opened again may still be held open from the step before.
    world.program("mkfifo", ["one", "two", "three"]).prints("");
    let mut recording = world.shell(RUN).start();
    let mut stdout = BufReader::new(recording.stdout.take().unwrap());
    let mut stderr = BufReader::new(recording.stderr.take().unwrap());
    let comes = |from: &mut dyn BufRead, expected: &str| {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    };
    // What has come was taken down, before the tool may go on.
    comes(&mut stdout, "1\n");
    fs::write(world.path("one"), "\n").unwrap();
    comes(&mut stderr, "2\n");
    fs::write(world.path("two"), "\n").unwrap();
    comes(&mut stdout, "3\n");
    fs::write(world.path("three"), "\n").unwrap();
    comes(&mut stderr, "4\n");
    assert!(recording.wait().unwrap().success());
    for options in ["", "--realtime"] {
        let line = format!("fleche run {options} -i input -- ./tool >>all 2>>all; cat all; rm all");
        world.shell(&line).prints("1\n2\n3\n4\n");
    }
    assert_eq!(world.executions("tool"), 1);
}

/// Replays with both streams in one pipe, of which a page is read whenever it is full.
fn dozing(world: &World) -> String {
    let (mut reader, writer) = io::pipe().unwrap();
    let (full, second) = (writer.try_clone().unwrap(), further(&writer));
    let mut session = world.shell(RUN);
    session.command().stdout(writer).stderr(second);
    let mut replay = session.command().spawn().unwrap();
    drop(session);
    let mut seen = Vec::new();
    let mut page = [0; 4096];
    let mut is_over = false;
    while !is_over {
        eventually("a full pipe or the end", || {
            is_over = is_over || replay.try_wait().unwrap().is_some();
            is_over || is_full(full.as_raw_fd())
        });
        if !is_over {
            let count = reader.read(&mut page).unwrap();
            seen.extend(&page[..count]);
        }
    }
    assert!(replay.wait().unwrap().success());
    drop(full);
    reader.read_to_end(&mut seen).unwrap();
    String::from_utf8(seen).unwrap()
}

#[test]
fn a_reader_that_dozes_gets_both_streams_in_order() {
    let world = world("i=0; while [ $i -lt 8000 ]; do echo output $i; echo error $i >&2; i=$((i + 1)); done");
    assert_eq!(world.shell(RUN).run().code(), 0);
    world.shell("fleche run -i input -- ./tool >>all 2>>all").prints("");
    let written: usize = (0..8000).map(|number| format!("output {number}\nerror {number}\n").len()).sum();
    assert_eq!(world.read("all").len(), written);
    assert!(dozing(&world) == world.read("all"));
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn a_file_that_may_not_grow_takes_a_replay_where_it_would_take_the_command() {
    // Of the output of four thousand bytes so many find room.
    for (room, written, executions) in [(4000, 4000, 1), (1000, 1000, 1), (1, 1, 1), (0, 0, 2)] {
        let world = world("yes | head -c 4000");
        let limited = |line: &str| world.shell(&format!("ulimit -f 100; {line}"));
        limited(RUN).prints(&"y\n".repeat(2000));
        let filled = 100 * 512 - room;
        world.write("log", vec![b'x'; filled]);
        let code = if room < 4000 { "153\n" } else { "0\n" };
        let outcome = limited("fleche run -i input -- ./tool >>log; echo $? >said; cat said").run();
        assert_eq!(outcome.stdout(), code, "{room}: {outcome:?}");
        assert_eq!((world.read("log").len(), world.executions("tool")), (filled + written, executions), "{room}");
    }
}

/// Ends the reading of a replay after so many bytes; gives how it ended and what it said.
fn left_after(world: &World, line: &str, bytes: usize) -> (Option<i32>, String) {
    let mut session = world.shell(line);
    session.command().stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut replay = session.command().spawn().unwrap();
    let mut stdout = replay.stdout.take().unwrap();
    let mut some = vec![0; bytes];
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    let output = replay.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_leaves_ends_a_replay_once() {
    let world = printing(MUCH);
    let said = "fleche: cannot write the whole output: broken pipe\n";
    for bytes in [1, 100_000] {
        assert_eq!(left_after(&world, &format!("trap '' PIPE; {RUN}"), bytes), (Some(1), said.to_owned()));
        // By SIGPIPE.
        assert_eq!(left_after(&world, RUN, bytes), (None, String::new()));
    }
    assert_eq!(world.executions("tool"), 1);
}
