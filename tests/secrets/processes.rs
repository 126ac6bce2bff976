//! What fleche leaves running behind a command shows no arguments to other users.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::stage::Stage;
use crate::tell;
use crate::world::eventually;

/// The command lines of all processes of the program under test that work in this world.
fn lines(stage: &Stage) -> Vec<Vec<u8>> {
    let home = [b"HOME=", stage.world.home().as_os_str().as_bytes(), b"\0"].concat();
    let fleche = Path::new(env!("CARGO_BIN_EXE_fleche")).canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|process| fs::read_link(process.join("exe")).is_ok_and(|program| program == fleche))
        .filter(|process| {
            fs::read(process.join("environ")).is_ok_and(|all| memchr::memmem::find(&all, &home).is_some())
        })
        .filter_map(|process| fs::read(process.join("cmdline")).ok().filter(|line| !line.is_empty()))
        .collect()
}

#[test]
fn what_outlives_a_command_shows_no_arguments() {
    let mut seen = 0;
    for way in ["a refresh", "a daemon's output"] {
        let stage = Stage::new();
        let (fifo, secret) = (stage.world.path("fifo"), stage.secret("an argument with its name"));
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let line = match way {
            "a refresh" => "if [ -e second ]; then exec < fifo; read x; fi; echo done",
            _ => "{ read x < fifo; echo late; } & echo done",
        };
        let mut words = vec!["run", "--redact-arg", "*hush*", "--ttl", "0s", "--stale", "1h", "-i", "input", "--"];
        words.extend(["sh", "-c", line, secret]);
        let output = || fs::File::create(stage.world.path("output")).unwrap();
        let run = || {
            stage
                .fleche(&words)
                .with(|command| {
                    command.stdout(output()).stderr(output());
                })
                .command()
                .status()
                .unwrap()
        };
        assert!(run().success());
        if way == "a refresh" {
            stage.world.write("second", "");
            assert!(run().success());
        }
        // It is there, and waits.
        let go_on = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
        let lines_now = lines(&stage);
        assert!(!lines_now.is_empty(), "{way}: nothing of fleche is left");
        for line in &lines_now {
            let text = String::from_utf8_lossy(line);
            assert!(memchr::memmem::find(line, secret.as_bytes()).is_none(), "{way}: {text}");
            seen += 1;
        }
        drop(go_on);
        eventually("the end of what is left", || lines(&stage).is_empty());
    }
    tell(&format!("{seen} processes that outlive their command: none shows its arguments"));
}
