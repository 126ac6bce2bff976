//! Probes: shell commands whose output says something about the machine, such as a tool's version.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::{Error, Result};
use crate::sys::{clock, process};

/// How long a probe may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How much a probe may print, in bytes.
const MOST: u64 = 1 << 20;
/// How often one is looked at that cannot be waited for (before Linux 5.3).
const PAUSE: Duration = Duration::from_millis(5);

/// What `/bin/sh -c LINE` prints on both its streams, without standard input.
///
/// A probe that fails, prints more than 1 MiB or takes more than ten seconds is an error: its answer
/// would be a guess.
pub fn probe(line: &OsStr, cwd: &Path, environment: &[OsString]) -> Result<Vec<u8>> {
    ask_for(line, cwd, environment, TIME_LIMIT)
        .map_err(|why| Error::usage(format!("probe `{}` failed: {why}", line.display())))
}

/// What the probe prints within `limit`, or what is wrong with it.
fn ask_for(
    line: &OsStr,
    cwd: &Path,
    environment: &[OsString],
    limit: Duration,
) -> std::result::Result<Vec<u8>, String> {
    let told = |why: io::Error| why.to_string();
    let (mut reader, writer) = io::pipe().map_err(told)?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).current_dir(cwd).env_clear().envs(environment.iter().filter_map(pair));
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(told)?).stderr(writer);
    // A group of its own, so that the time limit ends all that the probe started and did not leave it. Of the terminal
    // it then hears nothing, so it is tied to fleche's life: the shell is, and where it runs one command only, that is
    // what the shell has become. What a shell that waits has started goes on when fleche is killed or interrupted.
    // Rejected: fleche's own group, which `^C` and a hang-up reach. Nothing could then end all of a probe that takes too
    // long: its descendants can be found only by looking for them, and they may make others meanwhile.
    process::die_with_parent(command.process_group(0));
    let deadline = Deadline::after(limit);
    let mut child = command.spawn().map_err(told)?;
    drop(command);
    let printed = read_in_time(&mut reader, &deadline);
    let ended = printed.and_then(|printed| Ok((printed, wait_in_time(&mut child, &deadline)?)));
    if ended.is_err() {
        end(&mut child);
    }
    match ended? {
        (printed, status) if status.success() => Ok(printed),
        (_, status) => Err(status.to_string()),
    }
}

/// When a probe has to have ended.
struct Deadline {
    limit: Duration,
    /// By the monotonic clock, in nanoseconds.
    at: u64,
}

impl Deadline {
    fn after(limit: Duration) -> Deadline {
        let nanoseconds = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Deadline { limit, at: clock::monotonic().saturating_add(nanoseconds) }
    }

    /// Waits until `file` is readable or the other side is gone; `false` if that may not be so yet.
    fn wait_for(&self, file: impl AsFd) -> std::result::Result<bool, String> {
        let left = self.left()?;
        let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
            Ok(_) => Ok(true),
            Err(why) => Err(why.to_string()),
        }
    }

    fn left(&self) -> std::result::Result<Duration, String> {
        match self.at.saturating_sub(clock::monotonic()) {
            0 => Err(format!("it took more than {}", humantime::format_duration(self.limit))),
            left => Ok(Duration::from_nanos(left)),
        }
    }
}

fn read_in_time(reader: &mut io::PipeReader, deadline: &Deadline) -> std::result::Result<Vec<u8>, String> {
    let mut printed = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if !deadline.wait_for(&*reader)? {
            continue;
        }
        match reader.read(&mut chunk).map_err(|why| why.to_string())? {
            0 => return Ok(printed),
            read => printed.extend_from_slice(&chunk[..read]),
        }
        if printed.len() as u64 > MOST {
            return Err("it printed more than 1 MiB".to_owned());
        }
    }
}

/// How the probe ends, which may be long after it closed its streams.
fn wait_in_time(child: &mut Child, deadline: &Deadline) -> std::result::Result<ExitStatus, String> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let handle = id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok());
    loop {
        if let Some(status) = child.try_wait().map_err(|why| why.to_string())? {
            return Ok(status);
        }
        match &handle {
            Some(handle) => drop(deadline.wait_for(handle)?),
            None => clock::pause(deadline.left()?.min(PAUSE)),
        }
    }
}

/// Ends the probe and all that is in its group, and collects it.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself meanwhile.
        let _ = kill_process_group(group, Signal::KILL);
    }
    // It may have left its group.
    let _ = child.kill();
    let _ = child.wait();
}

/// Name and value of an entry; a first `=` belongs to the name, as getenv(3) has it.
fn pair(entry: &OsString) -> Option<(&OsStr, &OsStr)> {
    let bytes = entry.as_bytes();
    let split = bytes.iter().skip(1).position(|byte| *byte == b'=')? + 1;
    Some((OsStr::from_bytes(&bytes[..split]), OsStr::from_bytes(&bytes[split + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> std::result::Result<String, String> {
        let environment = [OsString::from("PATH=/usr/bin:/bin"), OsString::from("NAME=value=x")];
        let printed = probe(OsStr::new(line), Path::new("/"), &environment).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(printed).unwrap())
    }

    /// The same with a time limit that a test can wait for.
    fn ask_briefly(line: &str) -> std::result::Result<Vec<u8>, String> {
        let environment = [OsString::from("PATH=/usr/bin:/bin")];
        ask_for(OsStr::new(line), Path::new("/"), &environment, Duration::from_millis(200))
    }

    #[test]
    fn one_that_takes_too_long_is_ended() {
        let late = Err("it took more than 200ms".to_owned());
        assert_eq!(ask_briefly("sleep 1000"), late);
        assert_eq!(ask_briefly("echo early; sleep 1000 & exit 0"), late);
    }

    #[test]
    fn one_that_lives_on_without_its_streams_is_ended() {
        assert_eq!(ask_briefly("exec >&- 2>&-; sleep 1000"), Err("it took more than 200ms".into()));
    }

    #[test]
    fn what_one_left_running_is_ended_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("pid");
        // It prints too much: no limit of time decides when it ends.
        let line = format!("sleep 1000 >/dev/null 2>&1 & echo $! >'{}'; yes", note.display());
        assert!(ask(&line).unwrap_err().ends_with("it printed more than 1 MiB"));
        let id = std::fs::read_to_string(note).unwrap().trim_end().parse().unwrap();
        let began = std::time::Instant::now();
        // Whoever inherits it may take his time to collect it.
        while process::glance(id).is_some_and(|(state, _)| state != b'Z') {
            assert!(began.elapsed() < Duration::from_secs(60), "{id} goes on");
            clock::pause(PAUSE);
        }
    }

    #[test]
    fn both_streams_count() {
        assert_eq!(ask("echo $NAME; echo b >&2; pwd; cat"), Ok("value=x\nb\n/\n".into()));
    }

    #[test]
    fn a_failure_is_an_error() {
        assert_eq!(ask("exit 3"), Err("probe `exit 3` failed: exit status: 3".into()));
    }

    #[test]
    fn too_much_is_an_error() {
        assert_eq!(ask("yes"), Err("probe `yes` failed: it printed more than 1 MiB".into()));
    }
}
