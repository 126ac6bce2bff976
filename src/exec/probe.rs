//! Probes: shell commands whose output says something about the machine, such as a tool's version.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Error, Result};
use crate::sys::clock;

/// How long a probe may take, in nanoseconds.
const TIME_LIMIT: u64 = 10_000_000_000;
/// How much a probe may print, in bytes.
const MOST: u64 = 1 << 20;

/// What `/bin/sh -c LINE` prints on both its streams, without standard input.
///
/// A probe that fails, prints more than 1 MiB or takes more than ten seconds is an error: its answer
/// would be a guess.
pub fn probe(line: &OsStr, cwd: &Path, environment: &[OsString]) -> Result<Vec<u8>> {
    let failed = |why: String| Error::usage(format!("probe `{}` failed: {why}", line.display()));
    let (mut reader, writer) = io::pipe().map_err(|why| failed(why.to_string()))?;
    let second = writer.try_clone().map_err(|why| failed(why.to_string()))?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).current_dir(cwd).env_clear().envs(environment.iter().filter_map(pair));
    // A group of its own, so that the time limit ends all that the probe started.
    command.stdin(Stdio::null()).stdout(writer).stderr(second).process_group(0);
    let mut child = command.spawn().map_err(|why| failed(why.to_string()))?;
    drop(command);
    let printed = read_in_time(&mut reader, clock::monotonic() + TIME_LIMIT);
    if printed.is_err() {
        end(&child);
    }
    let status = child.wait().map_err(|why| failed(why.to_string()))?;
    let printed = printed.map_err(failed)?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    Ok(printed)
}

fn read_in_time(reader: &mut io::PipeReader, deadline: u64) -> std::result::Result<Vec<u8>, String> {
    let mut printed = Vec::new();
    loop {
        let left = deadline.saturating_sub(clock::monotonic());
        if left == 0 {
            return Err("it took more than 10 s".to_owned());
        }
        let wait = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ };
        match poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(why) => return Err(why.to_string()),
        }
        let mut chunk = [0; 4096];
        match reader.read(&mut chunk).map_err(|why| why.to_string())? {
            0 => return Ok(printed),
            read => printed.extend_from_slice(&chunk[..read]),
        }
        if printed.len() as u64 > MOST {
            return Err("it printed more than 1 MiB".to_owned());
        }
    }
}

/// Ends the probe and all that is in its group.
fn end(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself meanwhile.
        let _ = kill_process_group(group, Signal::KILL);
    }
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
