//! A command under fleche is the command: its output, files and status are those of a bare run,
//! whether fleche stays out of the way, records it or replays it.
//!
//! Tables of probes. A probe is a shell line with `{}` before the command; `{}` is nothing in the bare
//! run and `fleche run FLAGS --` in the others. Every variant starts in the same fresh folder and must
//! show what the bare one showed: both streams, the files, and the code or signal.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::probe;
use crate::world::World;

/// Long enough for every line on a slow machine: a line that takes longer hangs.
const HANGS: Duration = Duration::from_secs(60);

/// A command with its surroundings, and what is known of it beforehand.
struct Probe {
    name: String,
    /// A shell script that makes the files, before each variant.
    setup: &'static str,
    line: String,
    /// The line of the bare run, where it is not `line` without fleche.
    bare: Option<&'static str>,
    flags: String,
    /// How often the program is executed when the line comes for the first and for the second time.
    cold: Executions,
    warm: Executions,
    said: Said,
    extent: Extent,
}

#[derive(Clone, Copy, PartialEq)]
enum Executions {
    AsBare,
    Times(usize),
    Any,
}

/// What is on standard error beside the command's own words.
#[derive(Clone, Copy)]
enum Said {
    Nothing,
    /// This text before all, wherever the cache is on.
    Hint(&'static str),
    /// This text after all, always.
    Error(&'static str),
    /// At most one line, because the cache is in trouble.
    AtMostOneLine,
}

#[derive(Clone, Copy, PartialEq)]
enum Extent {
    All,
    /// Not the variants that go by FLECHE_MODE: they would only take time.
    Brief,
}

/// A pure command whose second run is a replay.
fn probe(name: impl Into<String>, line: impl Into<String>) -> Probe {
    Probe {
        name: name.into(),
        setup: "",
        line: line.into(),
        bare: None,
        flags: "--pure".to_owned(),
        cold: Executions::AsBare,
        warm: Executions::Times(0),
        said: Said::Nothing,
        extent: Extent::All,
    }
}

impl Probe {
    fn setup(self, setup: &'static str) -> Probe {
        Probe { setup, ..self }
    }

    fn flags(self, flags: impl Into<String>) -> Probe {
        Probe { flags: flags.into(), ..self }
    }

    fn bare(self, bare: &'static str) -> Probe {
        Probe { bare: Some(bare), ..self }
    }

    /// The program runs so often when the line comes for the first time.
    fn cold(self, times: usize) -> Probe {
        Probe { cold: Executions::Times(times), ..self }
    }

    /// The program runs so often when the line comes for the second time.
    fn warm(self, times: usize) -> Probe {
        Probe { warm: Executions::Times(times), ..self }
    }

    /// Nothing of it may be stored.
    fn never_stored(self) -> Probe {
        Probe { warm: Executions::AsBare, ..self }
    }

    /// Whether it is stored, or started at all, depends on more than the test can say.
    fn perhaps_stored(self) -> Probe {
        Probe { cold: Executions::Any, warm: Executions::Any, ..self }
    }

    fn hint(self, text: &'static str) -> Probe {
        Probe { said: Said::Hint(text), ..self }
    }

    fn error(self, text: &'static str) -> Probe {
        Probe { said: Said::Error(text), ..self }
    }

    fn in_trouble(self) -> Probe {
        Probe { said: Said::AtMostOneLine, ..self }
    }

    fn brief(self) -> Probe {
        Probe { extent: Extent::Brief, ..self }
    }
}

/// The ways to run a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    Bare,
    Off,
    Cold,
    Warm,
    Refresh,
    ReadOnly,
    OffByEnvironment,
    /// Without what was declared: watched for the first time, and for the second.
    Watched,
    WatchedAgain,
}

impl Variant {
    const ALL: [Variant; 9] = [
        Variant::Bare,
        Variant::Off,
        Variant::Cold,
        Variant::Warm,
        Variant::Refresh,
        Variant::ReadOnly,
        Variant::OffByEnvironment,
        Variant::Watched,
        Variant::WatchedAgain,
    ];

    fn prefix(self, flags: &str) -> String {
        match self {
            Variant::Bare => String::new(),
            Variant::Off => format!("fleche run --mode off {flags} --"),
            // Where each execution is noted is not for a replay to repeat.
            _ if self.watches() => format!("fleche run -q --scratch executions {} --", undeclared(flags)),
            _ => format!("fleche run {flags} --"),
        }
    }

    /// FLECHE_MODE.
    fn mode(self) -> Option<&'static str> {
        match self {
            Variant::Refresh => Some("refresh"),
            Variant::ReadOnly => Some("read-only"),
            Variant::OffByEnvironment => Some("off"),
            _ => None,
        }
    }

    fn caches(self) -> bool {
        !matches!(self, Variant::Bare | Variant::Off | Variant::OffByEnvironment)
    }

    fn watches(self) -> bool {
        matches!(self, Variant::Watched | Variant::WatchedAgain)
    }
}

/// Flags without those that say what a command reads.
fn undeclared(flags: &str) -> String {
    let mut words = flags.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--pure" | "-q" => {}
            "-i" => drop(words.next()),
            _ => kept.push(word),
        }
    }
    kept.join(" ")
}

/// What a variant showed.
struct Seen {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    files: BTreeMap<PathBuf, String>,
    executions: usize,
}

/// Runs a table and names each probe that is not the same.
#[track_caller]
fn the_same_as_bare(probes: &[Probe]) {
    the_same_in(probes, |_| {});
}

#[track_caller]
fn the_same_in(probes: &[Probe], prepare: impl Fn(&World)) {
    let failures: Vec<String> =
        probes.iter().flat_map(|probe| compare(probe, &prepare)).map(|failure| format!("\n{failure}")).collect();
    assert!(failures.is_empty(), "{} differences in {} probes:{}", failures.len(), probes.len(), failures.concat());
}

/// What differs from the bare run, for each variant that does.
fn compare(probe: &Probe, prepare: impl Fn(&World)) -> Vec<String> {
    let world = World::new();
    let path = probe::install(&world);
    prepare(&world);
    let mut failures = Vec::new();
    let mut bare: Option<Seen> = None;
    for variant in Variant::ALL {
        if probe.extent == Extent::Brief && variant.mode().is_some() {
            continue;
        }
        let line = match (variant, probe.bare) {
            (Variant::Bare, Some(line)) => line.to_owned(),
            _ => probe.line.replace("{}", &variant.prefix(&probe.flags)),
        };
        let seen = match observe(&world, &path, probe.setup, &line, variant.mode()) {
            Ok(seen) => seen,
            Err(hangs) => {
                failures.push(format!("{}: {variant:?}: {hangs}\n  {line}", probe.name));
                break;
            }
        };
        match &bare {
            None => bare = Some(seen),
            Some(bare) => {
                let differences = differences(probe, variant, bare, &seen);
                if !differences.is_empty() {
                    failures.push(format!("{}: {variant:?}:{differences}\n  {line}", probe.name));
                }
            }
        }
    }
    failures
}

fn differences(probe: &Probe, variant: Variant, bare: &Seen, seen: &Seen) -> String {
    let mut text = String::new();
    if (seen.status.code(), seen.status.signal()) != (bare.status.code(), bare.status.signal()) {
        write!(text, "\n  status: bare {}, here {}", bare.status, seen.status).unwrap();
    }
    // What a command can read of itself in /proc tells that there is a filter.
    let (shown, seen_stdout) = match variant.watches() {
        true => (without_filter(&bare.stdout), without_filter(&seen.stdout)),
        false => (bare.stdout.clone(), seen.stdout.clone()),
    };
    if seen_stdout != shown {
        write!(text, "\n  stdout: {}", first_difference(&bare.stdout, &seen.stdout)).unwrap();
    }
    let expected = match probe.said {
        Said::Hint(hint) if variant.caches() && !variant.watches() => [hint.as_bytes(), &bare.stderr].concat(),
        Said::Error(error) => [&bare.stderr, error.as_bytes()].concat(),
        _ => bare.stderr.clone(),
    };
    let stderr = match probe.said {
        Said::AtMostOneLine => without_a_line_of_fleche(&seen.stderr),
        _ => seen.stderr.clone(),
    };
    if stderr != expected {
        write!(text, "\n  stderr: {}", first_difference(&expected, &stderr)).unwrap();
    }
    if seen.files != bare.files {
        write!(text, "\n  files: bare {:?}, here {:?}", bare.files, seen.files).unwrap();
    }
    let executions = match variant {
        Variant::Cold => probe.cold,
        Variant::Warm | Variant::ReadOnly => probe.warm,
        Variant::Refresh if probe.cold == Executions::Any => Executions::Any,
        // How many are replayed depends on what they touch.
        Variant::Watched | Variant::WatchedAgain => Executions::Any,
        _ => Executions::AsBare,
    };
    let expected = match executions {
        Executions::AsBare => bare.executions,
        Executions::Times(times) => times,
        Executions::Any => seen.executions,
    };
    if seen.executions != expected {
        write!(text, "\n  executions: {}, must be {expected}", seen.executions).unwrap();
    }
    text
}

fn first_difference(bare: &[u8], here: &[u8]) -> String {
    let at = bare.iter().zip(here).position(|(one, other)| one != other).unwrap_or(bare.len().min(here.len()));
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(60);
        bytes[from..bytes.len().min(at + 200)].escape_ascii().to_string()
    };
    format!(
        "{} bytes, must be {}; the first difference is at {at}:\n    bare `{}`\n    here `{}`",
        here.len(),
        bare.len(),
        around(bare),
        around(here)
    )
}

/// What a command shows, without whether its system calls are filtered.
fn without_filter(stdout: &[u8]) -> Vec<u8> {
    let text = stdout.escape_ascii().to_string();
    let mut text = text.replace("no new privileges 1", "no new privileges 0");
    for (name, value) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Seccomp_filters", "1")] {
        text = text.replace(&format!("{name}:\\t{value}\\n"), &format!("{name}:\\t0\\n"));
    }
    text.into_bytes()
}

/// Standard error without the one line that the cache may say.
fn without_a_line_of_fleche(stderr: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = stderr.split_inclusive(|byte| *byte == b'\n').collect();
    if let Some(said) = lines.iter().position(|line| line.starts_with(b"fleche: ")) {
        lines.remove(said);
    }
    lines.concat()
}

/// Runs a line in a fresh folder; an error if it hangs.
fn observe(world: &World, path: &OsStr, setup: &str, line: &str, mode: Option<&str>) -> Result<Seen, String> {
    empty(&world.work());
    let executions_before = probe::executions(world);
    run(world, path, &format!("set -e\n{setup}"), None).and_then(|(status, _, stderr)| match status.success() {
        true => Ok(()),
        false => Err(format!("the setup failed: {}", String::from_utf8_lossy(&stderr))),
    })?;
    let (status, stdout, stderr) = run(world, path, &format!("umask 022\nulimit -c 0\n{line}"), mode)?;
    let executions = probe::executions(world) - executions_before;
    let mut files = BTreeMap::new();
    describe(&world.work(), Path::new(""), &mut files);
    Ok(Seen { status, stdout, stderr, files, executions })
}

fn run(world: &World, path: &OsStr, line: &str, mode: Option<&str>) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), String> {
    let mut session = world.shell(line).env("PATH", path);
    if let Some(mode) = mode {
        session = session.env("FLECHE_MODE", mode);
    }
    let command = session.command();
    // A group of its own, so that all of it can be ended if it hangs.
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let group = i32::try_from(child.id()).unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || match end.recv_timeout(HANGS) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            // SAFETY: a plain system call; the group is alive as long as it holds our pipes, or empty.
            unsafe { libc::kill(-group, libc::SIGKILL) };
            true
        }
        _ => false,
    });
    let stderr = thread::spawn(move || read_all(stderr));
    let stdout = read_all(stdout);
    let stderr = stderr.join().unwrap();
    let status = child.wait().unwrap();
    drop(ended);
    match watchdog.join().unwrap() {
        false => Ok((status, stdout, stderr)),
        true => Err(format!("it hangs, after `{}` and `{}`", stdout.escape_ascii(), stderr.escape_ascii())),
    }
}

fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap().is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
}

/// Everything below a folder: type, mode and content.
fn describe(folder: &Path, name: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder.join(name)).unwrap() {
        let name = name.join(entry.unwrap().file_name());
        let path = folder.join(&name);
        let metadata = path.symlink_metadata().unwrap();
        let mode = metadata.permissions().mode();
        let content = if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else if metadata.is_file() {
            let content = fs::read(&path).unwrap();
            match content.len() {
                0..200 => content.escape_ascii().to_string(),
                length => format!("{length} bytes {}", blake3::hash(&content).to_hex()),
            }
        } else {
            String::new()
        };
        files.insert(name.clone(), format!("{mode:o} {content}"));
        if metadata.is_dir() {
            describe(folder, &name, files);
        }
    }
}

// ---- how it ends ----

/// All signals that do not stop.
fn signals() -> String {
    let numbers = (1..=64).filter(|signal| !(19..=22).contains(signal));
    numbers.map(|signal| signal.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn exit_codes_are_the_commands_own() {
    let all: Vec<String> = (0..=255).map(|code| code.to_string()).collect();
    let line = "for code in $(seq 0 255); do {} probe exit $code; echo $code $?; done";
    the_same_as_bare(&[
        probe("every exit code", line).warm(255).brief(),
        // A shell says 126 and 127 for what it could not start: those are never kept.
        probe("every exit code, all to be stored", line)
            .flags(format!("--pure --cache-exit {}", all.join(",")))
            .warm(2)
            .brief(),
        probe("one exit code", "exec {} probe exit 7").never_stored(),
        probe("one exit code, stored", "exec {} probe exit 7").flags("--pure --cache-exit 7"),
    ]);
}

#[test]
fn a_signal_that_ends_the_command_ends_fleche() {
    // Four of them do nothing by default: CHLD, CONT, URG, WINCH.
    let each = |settings: &str| {
        format!(
            "for signal in {}; do tool with default=$signal {settings} -- tool report {{}} probe raise $signal; done",
            signals()
        )
    };
    the_same_as_bare(&[
        probe("every signal", each("")).warm(56).brief(),
        // KILL can be neither ignored nor blocked.
        probe("every signal, ignored", each("ignore=$signal")).warm(1).brief(),
        probe("every signal, blocked", each("block=$signal")).warm(1).brief(),
        probe("TERM, as the parent sees it", "exec {} probe raise 15").never_stored(),
        probe("KILL, as the parent sees it", "exec {} probe raise 9").never_stored(),
        probe("SEGV, as the parent sees it", "exec {} probe raise 11").never_stored(),
        probe("an alarm set before", "exec tool with alarm=200 -- {} probe wait").perhaps_stored(),
        probe("SIGCHLD ignored, and a code", "exec tool with ignore=17 -- {} probe exit 7").never_stored(),
        probe("SIGCHLD ignored, and a signal", "exec tool with ignore=17 -- {} probe raise 15").never_stored(),
        probe("SIGCHLD ignored, and success", "exec tool with ignore=17 -- {} probe print hello"),
        probe("SIGCHLD blocked", "exec tool with block=17 -- {} probe exit 7").never_stored(),
        probe("TERM and INT ignored", "exec tool with ignore=15 ignore=2 -- {} probe raise 15 3").never_stored(),
    ]);
}

#[test]
fn a_command_that_stops_itself_stops_fleche() {
    let line = "for signal in 19 20 21 22; do tool report {} probe raise $signal 3; done";
    the_same_as_bare(&[probe("every signal that stops", line).never_stored().brief()]);
}

#[test]
fn what_cannot_be_started_says_so_by_its_status() {
    // `tool with` execs as env(1) does, so that the shell's own words stay out of it.
    let line = |command: &str| format!("exec tool with -- {{}} {command}");
    the_same_as_bare(&[
        probe("not found", line("no-such-command"))
            .error("fleche: cannot run `no-such-command`: no such file or directory\n")
            .never_stored(),
        probe("not found by its path", line("./none a b"))
            .error("fleche: cannot run `./none`: no such file or directory\n")
            .never_stored(),
        probe("an empty name", line("''")).error("fleche: cannot run ``: no such file or directory\n").never_stored(),
        probe("not executable", line("./plain"))
            .setup("echo echo hi >plain")
            .error("fleche: cannot run `./plain`: permission denied\n")
            .never_stored(),
        probe("a folder", line("./folder"))
            .setup("mkdir folder")
            .error("fleche: cannot run `./folder`: permission denied\n")
            .never_stored(),
        probe("a script whose interpreter is missing", line("./script"))
            .setup("printf '#!/no/such/interpreter\\n' >script; chmod +x script")
            .error("fleche: cannot run `./script`: no such file or directory\n")
            .never_stored(),
        probe("a link to nothing", line("./link"))
            .setup("ln -s nothing link")
            .error("fleche: cannot run `./link`: no such file or directory\n")
            .never_stored(),
        probe("a script without #!", line("./script a 'b c'"))
            .setup("printf 'probe args \"$0\" \"$@\"\\nexit 0\\n' >script; chmod +x script"),
        probe("a script without #! that fails", line("./script"))
            .setup("printf 'probe exit 0\\nexit 5\\n' >script; chmod +x script")
            .never_stored(),
        probe("an empty script", line("./script")).setup(": >script; chmod +x script"),
        probe("a script with #! and an argument", line("./script x y"))
            .setup("printf '#!/bin/sh -e\\nprobe args \"$0\" \"$@\"\\nfalse\\nprobe exit 0\\n' >script; chmod +x script")
            .flags("--pure --cache-exit 1"),
        probe("a script of a script", line("./outer x"))
            .setup("printf '#!/bin/sh\\nprobe args \"$0\" \"$@\"\\n' >inner; printf '#!%s y\\n' \"$PWD/inner\" >outer; chmod +x inner outer"),
        probe("a file that is not executable hides nothing", "PATH=$PWD/a:$PWD/b:$PATH; exec tool with -- {} found x")
            .setup("mkdir a b; echo x >a/found; printf '#!/bin/sh\\nprobe args \"$0\" \"$@\"\\n' >b/found; chmod +x b/found"),
        probe("an empty entry of PATH", "PATH=:$PATH; exec tool with -- {} found x")
            .setup("printf '#!/bin/sh\\nprobe args \"$0\" \"$@\"\\n' >found; chmod +x found"),
    ]);
}

// ---- descriptors ----

#[test]
fn closed_descriptors_stay_closed() {
    let mut probes = Vec::new();
    for closed in 1..8 {
        let closed: Vec<&str> =
            (0..3).filter(|number| closed & (1 << number) != 0).map(|number| ["0", "1", "2"][number]).collect();
        let settings: String = closed.iter().map(|number| format!("close={number} ")).collect();
        let name = |what: &str| format!("closed {}: {what}", closed.join(" and "));
        probes.extend([
            probe(name("as the command sees it"), format!("exec tool with {settings} -- {{}} probe fds seen"))
                .setup("echo x >in")
                .flags("-i in -o seen"),
            probe(name("nothing written"), format!("exec tool with {settings} -- {{}} probe exit 0")),
            probe(name("nothing written, and a code"), format!("exec tool with {settings} -- {{}} probe exit 3"))
                .never_stored(),
            probe(name("nothing written, and a signal"), format!("exec tool with {settings} -- {{}} probe raise 10"))
                .never_stored(),
            probe(name("files made"), format!("exec tool with {settings} -- {{}} probe create made 640 hello"))
                .setup("echo x >in")
                .flags("-i in -o made"),
        ]);
        if closed.iter().any(|number| *number != "0") {
            let line = format!("exec tool with {settings} -- {{}} probe print hello trouble");
            probes.push(probe(name("written to"), line).never_stored());
        }
        if !closed.contains(&"1") {
            let line = format!("exec tool with {settings} -- {{}} probe out 70000");
            probes.push(probe(name("output on the open one"), line));
        }
    }
    the_same_as_bare(&probes);
}

#[test]
fn what_cannot_be_written_fails_as_it_does_bare() {
    the_same_as_bare(&[
        probe("stdout full", "exec {} probe print hello >/dev/full").never_stored(),
        probe("stdout full, much output", "exec {} probe out 200000 >/dev/full").never_stored(),
        probe("stderr full", "exec {} probe print hello trouble 2>/dev/full").never_stored(),
        probe("stderr full, but silent", "exec {} probe print hello 2>/dev/full").never_stored(),
        probe("both full", "exec {} probe print hello trouble >/dev/full 2>&1").never_stored(),
        probe("stdout full, but silent", "exec {} probe exit 0 >/dev/full").never_stored(),
        probe("stdout open for reading only", "exec {} probe print hello trouble 1</dev/null").never_stored(),
        probe("stderr open for reading only", "exec {} probe print hello trouble 2</dev/null").never_stored(),
        probe("stdout is a folder", "exec {} probe print hello trouble 1<.").never_stored(),
    ]);
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    let line = |settings: &str, before: &str| {
        format!(
            "{before}{{ tool with {settings} -- tool report {{}} probe lines 300000 2>said; }} | head -n 1; cat said"
        )
    };
    the_same_as_bare(&[
        probe("SIGPIPE as it is", line("default=13", "")).never_stored(),
        probe("SIGPIPE ignored", line("ignore=13", "")).never_stored(),
        probe("SIGPIPE blocked", line("default=13 block=13", "")).never_stored(),
        probe("the reader leaves a replay", line("default=13", "{} probe lines 300000 >all 2>trouble; "))
            .cold(1)
            .warm(0)
            .brief(),
        probe("the reader of a silent command leaves", "{ tool report {} probe until-left 2>said; } | : ; cat said")
            .never_stored(),
        probe("the reader of a command that does not care leaves", "{ {} probe exit 0; echo $? >said; } | :; cat said")
            .perhaps_stored(),
        probe("the same, with a code", "{ {} probe exit 7; echo $? >said; } | :; cat said").never_stored(),
        probe(
            "the reader of stderr leaves",
            "{ {} probe errors 3000000 2>&1 >/dev/null; echo $? >said; } | head -c 1 >first; cat said",
        )
        .never_stored(),
    ]);
}

#[test]
fn other_descriptors_pass_and_none_of_fleches_leaks() {
    the_same_as_bare(&[
        probe("no others", "exec {} probe fds -"),
        // What can be read there counts with its times, so it must be the same in each world.
        probe("3 and 9", "exec 3</etc/passwd 9>>log; exec {} probe fds -"),
        probe(
            "all up to 9",
            "exec 3</etc/passwd 4</etc/group 5>log 6>>log 7<>/dev/null 8</usr 9</dev/null; exec {} probe fds -",
        ),
        probe("files and a folder that were just made", "exec 3<in 4<>in 5<.; exec {} probe fds -")
            .setup("echo x >in")
            .flags("--pure -q")
            .never_stored(),
        probe(
            "a jobserver",
            "export MAKEFLAGS=' -j2 --jobserver-auth=3,4'; exec tool with jobserver=3,4 -- {} probe fds -",
        ),
        probe(
            "a jobserver far up",
            "export MAKEFLAGS=' -j2 --jobserver-fds=200,300'; exec tool with jobserver=200,300 -- {} probe fds -",
        ),
        probe("a pipe that may be used", "exec tool with jobserver=3,4 -- {} probe fds -")
            .flags("--pure -q")
            .never_stored(),
        probe("a pipe of which nobody knows", "exec tool with jobserver=200,300 -- {} probe fds -"),
        probe(
            "a blocking and a non-blocking one",
            "exec 3</dev/zero 4</dev/zero; exec tool with nonblock=3 -- {} probe fds -",
        ),
        probe("where a run is not stored", "exec 3<in 9>>log; exec {} sh -c 'probe fds -; exit 3'")
            .setup("echo x >in")
            .never_stored(),
        probe("written to", "exec 9>>log; {} probe write 9 hello 3; echo $? >&9").never_stored(),
        probe("read from", "exec 3<in; {} tool with -- sh -c 'probe line <&3; exit 3'; cat <&3")
            .setup("printf 'a\\nb\\nc\\n' >in")
            .never_stored(),
        probe("a non-blocking stdout", "tool with nonblock=1 -- {} probe out 3000000 | tool hash"),
        probe("a non-blocking stderr", "tool with nonblock=2 -- {} probe errors 3000000 2>&1 >/dev/null | tool hash"),
    ]);
}

// ---- streams ----

#[test]
fn output_is_the_commands_byte_for_byte() {
    let mut probes = Vec::new();
    for length in [0, 1, 8191, 8192, 8193, 65473, 65535, 65536, 65537, 200_000, 1 << 20, 3_000_001] {
        probes.push(probe(format!("{length} bytes"), format!("exec {{}} probe out {length}")));
    }
    probes.extend([
        probe("200 kB on stderr", "exec {} probe errors 200000"),
        probe("one byte on stderr", "exec {} probe errors 1"),
        probe("no newline at the end", "exec {} probe print 'no newline' 'none here'"),
        probe("a byte with each write", "exec {} probe drip 3000"),
        probe("200 kB into a file", "{} probe out 200000 >all"),
        probe("200 kB after what a file holds", "echo before >all; {} probe out 200000 >>all; echo after >>all"),
        probe("between others in one file", "{ echo before; {} probe print between; echo after; } >all"),
        probe("over what a file holds", "printf 0123456789 >all; {} probe print abc 1<>all"),
        probe("to nowhere", "exec {} probe mix 500 >/dev/null 2>&1"),
        probe("none, and both streams closed early", "exec {} sh -c 'probe exit 0; exec >&- 2>&-; exit 3'")
            .never_stored(),
        probe(
            "as much as a pipe holds, that nobody reads yet",
            "{ {} probe out 65536; echo done >said; } | { until [ -s said ]; do sleep 0.01; done; tool hash; }",
        ),
        probe(
            "at once",
            "mkfifo gate; {} sh -c 'probe print hello; read word <gate; exit 3' | { tool with -- head -c 5; : >gate; }",
        )
        .never_stored(),
        probe("much, read slowly", "{} probe out 3000000 | { tool line >/dev/null; tool hash; }"),
    ]);
    the_same_as_bare(&probes);
}

#[test]
fn a_file_is_the_commands_to_know_and_to_move_in() {
    let tree = "mkdir sub; echo x one >a; echo x two >sub/b; echo y >c";
    let tar = "tar cf - --sort=name --mtime=@0 .";
    the_same_as_bare(&[
        // What depends on the kind of a stream is the same in the same place.
        probe("a new file", "{} probe place - >all"),
        probe("a file for both streams", "{} probe place - >all 2>&1"),
        probe("a file for stderr only", "{} probe print hello trouble 2>err; cat err"),
        probe("each stream in a file", "{} probe print hello trouble >out 2>err"),
        probe("both streams in one file that was opened twice", "{} probe print hello trouble >all 2>>all")
            .perhaps_stored(),
        probe("a file and a closed stream", "{} probe print hello '' >all 2>&-"),
        probe("going back", "{} probe rewrite - >all"),
        probe("a shorter file", "{} probe resize 10 >all"),
        probe("a longer file", "{} probe resize 1000 >all"),
        probe("opened anew", "{} sh -c 'probe print hello; probe print world >/dev/stdout' >all").never_stored(),
        probe("a file without a name", "{} sh -c 'rm all; probe print hello' >all").perhaps_stored(),
        probe("searched", "{} grep -r x . >all").setup(tree).perhaps_stored(),
        probe("read with all others", "{} sh -c 'cat *' >all").setup(tree).perhaps_stored(),
        probe("packed with all others", format!("{{}} {tar} >all.tar; tar tf all.tar | sort >list; rm all.tar"))
            .setup(tree)
            .perhaps_stored(),
        probe("beyond the limit of files", "tool with fsize=1024 -- tool report {} probe out 3000000 >all")
            .in_trouble()
            .never_stored(),
        probe("ended by a signal", "{} sh -c 'probe print hello; kill -9 $$' >all; echo $?").never_stored(),
    ]);
}

#[test]
fn streams_keep_their_order() {
    the_same_as_bare(&[
        probe("both into one pipe", "exec {} probe mix 2000 2>&1"),
        probe("both into one pipe, the other way", "exec {} probe mix 2000 1>&2"),
        probe("each into its own pipe", "exec {} probe mix 2000"),
        probe("both into one file", "{} probe mix 2000 >both 2>&1"),
        probe("both after what a file holds", "echo before >both; {} probe mix 2000 >>both 2>&1"),
        probe("each into its own file", "{} probe mix 2000 >out 2>trouble"),
        probe("only stderr", "exec {} probe mix 2000 2>&1 >/dev/null"),
        probe("both into one pipe, not stored", "exec {} sh -c 'probe mix 2000; exit 3' 2>&1").never_stored(),
        probe("both, read slowly", "{} probe mix 20000 2>&1 | { tool line; tool hash; }").brief(),
    ]);
}

#[test]
fn a_reader_may_take_one_stream_after_the_other() {
    // Two processes write; standard output stands still until something came on standard error. In a replay
    // nobody opens the gate to read, so opening it to write is given up after a while.
    let line = "{} sh -c 'probe out 300000 & read word <gate; probe errors 10; wait' 2>said \
                | { tool with -- head -c 1; timeout 2 sh -c ': >gate'; until [ -s said ]; do sleep 0.01; done; tool hash; }";
    the_same_as_bare(&[probe("stderr before stdout", line).setup("mkfifo gate; : >said").brief()]);
}

#[test]
fn a_gigabyte_passes() {
    the_same_as_bare(&[probe("1 GiB", "{} probe big 1073741824 | tool hash").brief()]);
}

// ---- surroundings ----

#[test]
fn signals_are_inherited_as_they_are() {
    let each = |setting: &str| {
        format!(
            "for signal in {}; do tool with {setting}=$signal -- {{}} probe signals $signal; done",
            signals().replace(" 9 ", " ")
        )
    };
    the_same_as_bare(&[
        probe("as the shell has them", "exec {} probe signals"),
        probe("SIGPIPE by default", "exec tool with default=13 -- {} probe signals"),
        probe("each ignored", each("ignore")).brief(),
        probe("each blocked", each("block")).brief(),
        probe(
            "some ignored, some blocked",
            "exec tool with ignore=1 ignore=2 ignore=13 ignore=17 ignore=34 block=10 block=15 block=17 block=40 -- {} probe signals",
        ),
        probe(
            "the same where a run is not stored",
            "exec tool with ignore=1 ignore=13 ignore=17 block=15 -- {} sh -c 'probe signals; exit 3'",
        )
        .never_stored(),
        probe("nohup", "exec nohup {} probe signals"),
    ]);
}

#[test]
fn surroundings_are_inherited_as_they_are() {
    the_same_as_bare(&[
        probe("as the shell has them", "exec {} probe surroundings"),
        probe("group and session", "LEADER=$$; export LEADER; exec {} probe group").flags("--pure --ignore-env LEADER"),
        probe("umask 027", "umask 027; exec {} probe surroundings"),
        probe("umask 0", "umask 0; exec {} probe surroundings"),
        probe("umask 077 and a file", "umask 077; exec {} probe create made 666 hello")
            .setup("echo x >in")
            .flags("-i in -o made"),
        probe("umask 0 and a file", "umask 0; exec {} probe create made 777 hello")
            .setup("echo x >in")
            .flags("-i in -o made"),
        probe(
            "nice, timer slack, one processor, address layout",
            "exec tool with nice=5 slack=12345 cpu=1 oom=300 personality=0x40000 -- {} probe surroundings",
        ),
        probe("no new privileges", "exec tool with no-new-privileges=1 -- {} probe surroundings"),
        probe("nice where a run is not stored", "exec tool with nice=7 -- {} sh -c 'probe surroundings; exit 3'")
            .never_stored(),
        probe("a folder that is no text", "d=$(printf 'd\\377'); mkdir \"$d\"; cd \"$d\"; exec {} probe surroundings"),
        probe("a folder behind a link", "cd link; exec {} sh -c 'probe surroundings; pwd'")
            .setup("mkdir real; ln -s real link"),
        probe("a folder that is gone", "mkdir d; cd d; rmdir ../d; exec {} probe surroundings")
            .hint("fleche: not cached: input `.` cannot be read: no such file or directory; the command runs without it\n")
            .never_stored(),
        probe("the root", "cd /; exec {} probe surroundings"),
    ]);
}

#[test]
fn limits_are_inherited_and_bind_only_the_command() {
    let limits = |setting: &str| probe(setting, format!("exec tool with {setting} -- {{}} probe limits"));
    let mut probes = vec![
        limits("nofile=64"),
        limits("core=0"),
        limits("core=max"),
        limits("stack=1048576"),
        limits("nproc=1000 memlock=4096"),
        limits("as=4294967296"),
        probe("fsize=4096", "exec tool with fsize=4096 -- {} probe limits").in_trouble().perhaps_stored(),
        probe("a file beyond the limit", "exec tool with fsize=1024 -- {} probe fill made 4096")
            .in_trouble()
            .never_stored(),
        probe("output beyond the limit of files", "exec tool with fsize=1024 -- {} probe out 200000")
            .in_trouble()
            .never_stored(),
        probe("output into a file beyond the limit", "tool with fsize=1024 -- tool report {} probe out 3000000 >all")
            .in_trouble()
            .never_stored(),
        probe("a limit of files of nothing", "exec tool with fsize=0 -- {} probe print hello")
            .in_trouble()
            .never_stored(),
        probe("SIGXFSZ ignored", "exec tool with fsize=1024 ignore=25 -- {} probe fill made 4096")
            .in_trouble()
            .never_stored(),
        probe("no more processes", "exec tool with nproc=0 -- {} probe print hello").in_trouble().perhaps_stored(),
        // A build for debugging needs 320 KiB itself, one for release 64.
        probe("a small stack", "exec tool with stack=524288 -- {} probe print hello").in_trouble().perhaps_stored(),
        probe("little memory", "exec tool with as=134217728 -- {} probe out 200000").in_trouble().perhaps_stored(),
    ];
    for most in [4, 5, 6, 7, 8, 9, 10, 12, 16, 20] {
        let line = format!("exec tool with nofile={most} -- {{}} probe fds -");
        probes.push(probe(format!("at most {most} descriptors"), line).in_trouble().perhaps_stored());
        let line = format!("exec tool with nofile={most} -- {{}} probe mix 500");
        probes.push(probe(format!("at most {most} descriptors, much output"), line).in_trouble().perhaps_stored());
    }
    the_same_as_bare(&probes);
}

#[test]
fn arguments_arrive_byte_for_byte() {
    the_same_as_bare(&[
        probe("empty, with blanks, options, dashes", "exec {} probe args '' ' a  b ' '*' --help -- -v -- '' --pure ''"),
        probe("no text", "exec {} probe args \"$(printf 'a\\377\\376b')\" \"$(printf 'x\\n\\001\\033y')\""),
        probe("only the name", "exec {} probe exit 0"),
        probe("words of fleche's own", "exec {} probe args run --mode off fleche:run --version"),
        probe("60,000 of them", "exec {} probe args $(seq 1 60000)").brief(),
        probe("as long as they may be", "exec {} probe args \"$(printf %0131071d 0)\"").brief(),
        probe("longer than they may be", "{} probe args \"$(printf %0131072d 0)\" 2>/dev/null; echo $?").brief(),
        probe("more than there may be", "{} probe args $(seq 1000000 1300000) 2>/dev/null; echo $?").brief(),
        probe("the name as it was called", "exec {} ./alias args").setup("ln -s \"$(command -v probe)\" alias"),
        probe("the name through folders", "exec {} sub/.././alias args")
            .setup("mkdir sub; ln -s \"$(command -v probe)\" alias"),
        probe("the name as an absolute path", "exec {} \"$(command -v probe)\" args"),
        probe("a name that is no text", "exec {} \"./$(printf 'n\\377')\" args")
            .setup("ln -s \"$(command -v probe)\" \"$(printf 'n\\377')\""),
    ]);
}

#[test]
fn the_environment_arrives_byte_for_byte() {
    let with = |settings: &str| format!("exec tool with keep=HOME keep=PATH {settings} -- {{}} probe environment");
    // Brief, because nothing of the test's own environment arrives, FLECHE_MODE neither.
    the_same_as_bare(&[
        probe("as it is", with("env=A=1 env=B=2")).brief(),
        probe("in this order", with("env=Z=1 env=A=2 env=M=3")).brief(),
        probe("twice the same name", with("env=A=1 env=A=2 env=A=1")).brief(),
        probe("no equals sign", with("env=NONE env=A=1")).brief(),
        probe("no name, no value, nothing at all", with("env==x env=A= env= env==")).brief(),
        probe("no text", with("\"env=A=$(printf '\\377\\376')\" \"env=$(printf 'N\\377')=1\"")).brief(),
        probe("lines and controls", with("\"env=A=$(printf 'x\\ny\\033[0m')\" 'env=BASH_FUNC_f%%=() { :; }'")).brief(),
        probe(
            "MAKEFLAGS and what a shell sets",
            with("env=MAKEFLAGS=' -j2 --jobserver-auth=3,4' env=SHLVL=3 env=_=/x env=OLDPWD=/"),
        )
        .brief(),
        probe("no PATH", "exec tool with keep=HOME -- {} \"$(command -v probe)\" environment").brief(),
        probe("the same where a run is not stored", with("env=A=1 env=A=2 env=NONE"))
            .brief()
            .never_stored()
            .flags("--pure --require-env MISSING")
            .hint("fleche: not cached: variable `MISSING` is not set; it was required\n"),
        probe("128 KiB in one", "LONG=$(printf %0131066d 0); export LONG; {} probe environment | grep -v ' _='")
            .brief(),
    ]);
}

// ---- standard input ----

#[test]
fn standard_input_is_used_as_far_as_the_command_uses_it() {
    const UNKNOWN: &str = "fleche: not cached: standard input may be input; say --stdin if it is, --no-stdin if not\n";
    let lines = "printf 'a\\nb\\nc\\nd\\n' >in; mkfifo fifo";
    the_same_as_bare(&[
        probe("a file, read to its end", "exec {} probe cat <in").setup(lines),
        probe("a file, from where it stands", "{ tool line; {} probe cat; } <in").setup(lines),
        probe("a file, one line of it", "{ tool line; {} probe line; tool cat; } <in").setup(lines),
        probe("a file, nothing of it", "{ {} probe print hello; tool cat; } <in").setup(lines),
        probe("a file, line by line", "{ {} probe line; {} probe line; {} probe line; tool cat; } <in").setup(lines),
        probe("a file, line by line, not stored", "{ {} sh -c 'probe line; exit 3'; tool cat; } <in")
            .setup(lines)
            .never_stored(),
        probe("a file, at its end", "{ tool cat; {} probe cat; } <in").setup(lines),
        probe("a large file", "{ {} probe line; tool hash; } <large").setup("tool lines 500000 >large").brief(),
        probe("an empty file", "exec {} probe cat <in").setup(": >in"),
        probe("a folder", "exec {} probe print hello <.").setup(lines).perhaps_stored().in_trouble(),
        probe("nothing", "exec {} probe cat </dev/null"),
        probe("zeros without end", "exec {} probe print hello </dev/zero").hint(UNKNOWN).never_stored(),
        probe("a pipe, in a loop", "printf 'a\\nb\\nc\\n' | while read l; do {} probe args $l; done")
            .flags("--pure -q")
            .perhaps_stored(),
        probe(
            "a pipe that stays open, in a loop",
            "exec 5<>fifo; printf 'a\\nb\\nc\\n' >fifo; for i in 1 2 3; do read l <&5; {} probe args $l <fifo; done",
        )
        .setup(lines)
        .flags("--pure -q")
        .never_stored(),
        probe("a pipe that stays open and is never written", "exec 5<>fifo; exec {} probe print hello <fifo")
            .setup(lines)
            .hint(UNKNOWN)
            .never_stored(),
        probe("a FIFO that nobody writes", "exec tool with input=fifo -- {} probe print hello")
            .setup(lines)
            .perhaps_stored()
            .flags("--pure -q"),
        probe("a pipe of which a line is read", "printf 'a\\nb\\nc\\n' | { {} probe line; tool cat; }")
            .flags("--pure -q")
            .perhaps_stored(),
        probe("a socket", "exec tool with socket=hello -- {} probe print hello").hint(UNKNOWN).never_stored(),
        probe("a pipe that is never empty", "tool lines 30000000 2>/dev/null | {} probe line")
            .hint(UNKNOWN)
            .never_stored(),
        probe("a pipe at its end", "mkfifo ended; : >ended & exec 5<ended; wait; exec {} probe cat <&5"),
        probe("a pipe, declared", "printf 'a\\nb\\n' | {} probe cat").flags("--pure --stdin"),
        probe("a pipe, declared, a line of it", "printf 'a\\nb\\n' | {} probe line").flags("--pure --stdin"),
        probe("a large pipe, declared", "tool out 3000000 | {} probe hash").flags("--pure --stdin"),
        probe("a large pipe, declared, not read", "tool out 3000000 | {} probe print hello").flags("--pure --stdin"),
        probe("an empty pipe, declared", ": | {} probe cat").flags("--pure --stdin"),
        probe("a file, declared", "{ tool line; {} probe line; tool cat; } <in").setup(lines).flags("--pure --stdin"),
        probe(
            "a pipe, declared to be none",
            "exec 5<>fifo; printf 'a\\n' >fifo; {} probe cat <fifo 5<&-; tool line <fifo",
        )
        .bare("exec 5<>fifo; printf 'a\\n' >fifo; probe cat </dev/null; tool line <fifo")
        .setup(lines)
        .flags("--pure --no-stdin"),
        probe("another file in its place", "{ {} probe cat; tool cat; } <other")
            .bare("{ probe cat <in; tool cat; } <other")
            .setup("printf 'a\\nb\\n' >in; echo c >other")
            .flags("--pure --stdin-from in"),
        probe("a pipe, not declared, and nothing either", "printf 'a\\nb\\n' | {} probe cat")
            .flags("-q")
            .never_stored(),
    ]);
}

// ---- who stays behind ----

#[test]
fn a_process_left_behind_keeps_its_output() {
    the_same_as_bare(&[
        // It prints once the gate is opened, and the gate is opened once fleche has returned.
        probe("into a pipe", "mkfifo gate; { {} probe leave-behind gate; echo returned $?; : >gate; } | cat").never_stored(),
        probe("into a pipe, both streams", "mkfifo gate; { {} probe leave-behind gate; echo returned $?; : >gate; } 2>&1 | cat")
            .never_stored(),
        probe("much into a pipe", "mkfifo gate; { {} probe leave-behind gate 3000000; echo returned $?; : >gate; } 2>&1 | cat")
            .never_stored(),
        probe(
            "into a file",
            "mkfifo gate; {} probe leave-behind gate >out 2>&1; cat out; : >gate; until grep -q late$ out; do sleep 0.01; done",
        )
        .never_stored(),
        probe("a status", "mkfifo gate; { {} sh -c 'probe leave-behind gate; exit 3'; echo returned $?; : >gate; } | cat").never_stored(),
        probe(
            "whose reader left",
            "mkfifo gate; { {} probe leave-behind gate; echo returned $?; } 2>/dev/null | tool line; : >gate",
        )
        .never_stored(),
    ]);
}

// ---- files ----

#[test]
fn files_are_those_of_the_command() {
    let input = "mkdir -p src; echo one >src/a; echo two >src/b";
    the_same_as_bare(&[
        probe("one file", "{} probe create made 644 hello").setup(input).flags("-i src -o made"),
        probe("modes", "{} sh -c 'for m in 600 640 755 400 444; do probe create made.$m $m hello; done'")
            .setup(input)
            .flags("-i src -o 'made.*'"),
        probe("over what was there", "echo old >made; chmod 600 made; {} sh -c 'probe exit 0; cat src/* >made'").setup(input).flags("-i src -o made"),
        probe("a large file", "{} probe fill made 3000001").setup(input).flags("-i src -o made"),
        probe("an empty file", "{} probe fill made 0").setup(input).flags("-i src -o made"),
        probe(
            "a folder with links and empty folders",
            "{} sh -c 'probe exit 0; mkdir -p out/x/y out/empty; cp src/* out/x; ln -s x/a out/link; chmod 700 out/x/y; chmod +x out/x/b'",
        )
        .setup(input)
        .flags("-i src -o out/"),
        probe("names that are no text", "{} sh -c 'probe exit 0; mkdir out; echo x >\"$(printf \"out/n\\377\")\"; echo y >\"out/a b\"'")
            .setup(input)
            .flags("-i src -o out/"),
        probe("streams too", "{} sh -c 'probe mix 200; cat src/* | tee made' 2>&1").setup(input).flags("-i src -o made"),
        probe("a file that fails to be made", "{} sh -c 'probe create made 644 half; exit 2'").setup(input).flags("-i src -o made").never_stored(),
        probe("none declared", "{} sh -c 'probe create made 644 hello; exit 4'").setup(input).flags("-i src").never_stored(),
        probe("nothing declared at all", "{} probe create made 644 hello")
            .setup(input)
            .flags("--trace off")
            .hint("fleche: not cached: its inputs are not declared; name what it reads with -i, or say --pure\n")
            .never_stored(),
    ]);
}

// ---- other users ----

/// Only root can become somebody else; elsewhere the tables above run as an ordinary user anyway.
#[test]
fn an_ordinary_user_has_the_same() {
    // SAFETY: a plain system call.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let prepare = |world: &World| {
        for folder in [world.root(), world.root().join("bin")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for folder in [world.home(), world.work()] {
            std::os::unix::fs::chown(folder, Some(65534), Some(65534)).unwrap();
        }
        // Where the build put it, the user may not come.
        let fleche = world.root().join("bin/fleche");
        probe::copy(Path::new(env!("CARGO_BIN_EXE_fleche")), &fleche);
    };
    let rooted = "cp \"$(command -v probe)\" ../bin/rooted; chmod 4755 ../bin/rooted";
    let user = |line: &str| format!("exec tool with user=65534 {line}");
    let probes = [
        probe("surroundings", user("-- {} probe surroundings")),
        probe("signals", user("-- {} probe signals")),
        probe("a program with the rights of its owner", user("-- {} ../bin/rooted surroundings")).setup(rooted),
        probe("the same where a run is not stored", user("-- {} ../bin/rooted exit 3")).setup(rooted).never_stored(),
        probe("no more processes", user("nproc=0 -- {} probe mix 500 2>&1")).in_trouble().perhaps_stored(),
        probe("into a file that may only be written", user("sh -c '{} probe print hello >all'"))
            .setup("echo old >all; chown 65534 all; chmod 222 all"),
        probe("a file that may not be read", user("-- {} probe print hello"))
            .setup("echo x >in; chmod 600 in")
            .flags("-i in")
            .hint("fleche: not cached: input `in` cannot be read: permission denied; the command runs without it\n")
            .never_stored(),
        probe("a program that may not be read", user("-- {} ../bin/secret print hello"))
            .setup("rm -f ../bin/secret; cp \"$(command -v probe)\" ../bin/secret; chmod 711 ../bin/secret")
            .in_trouble()
            .perhaps_stored(),
    ];
    the_same_in(&probes, prepare);
}
