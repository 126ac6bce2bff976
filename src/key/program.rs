//! The program: which file a name means, what it and its interpreters hold.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FileType, access};
use rustix::io::Errno;

use crate::model::{Digest, Part, Program, ProgramRule, Remembered, Stamp, StampMemory, Watched, Writer};
use crate::sys::stamp;

use super::content::{self, Links, Seen};
use super::environment::variable;
use super::place::{lexical, place, recorded};
use super::script::{self, Format, SearchPath};

/// Where programs are looked for without PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// What runs a file that is neither a binary nor a script.
const SHELL: &str = "/bin/sh";
/// A script whose interpreters are nested deeper than this is not started by the kernel either.
const DEEPEST: usize = 5;
/// Programs up to this size, in bytes, are hashed sooner than the store is asked for their digest, which takes as long
/// as reading and hashing this much. Less than for inputs, of which each call remembers its own.
const SMALL: u64 = 8 << 10;

/// Finds the file that `name` means in the folder `cwd`, by the rules of `execvp(3)`: a name with a slash
/// is a path; else the first that can be executed in the folders of `path` counts, of which an empty one is
/// the working directory.
pub fn resolve_program(name: &OsStr, cwd: &Path, path: Option<&OsStr>) -> Program {
    resolve(name, cwd, path).0
}

/// As [`resolve_program`], with the stamp of what was found, if that is no link.
fn resolve(name: &OsStr, cwd: &Path, path: Option<&OsStr>) -> (Program, Option<Stamp>) {
    if name.is_empty() {
        return (Program::NotFound, None);
    }
    if name.as_bytes().contains(&b'/') {
        return match executable(cwd, Path::new(name)) {
            Ok(stamp) => (Program::Found(PathBuf::from(name)), stamp),
            Err(Errno::NOENT | Errno::NOTDIR) => (Program::NotFound, None),
            Err(_) => (Program::NotExecutable, None),
        };
    }
    let mut found = Program::NotFound;
    for folder in path.map_or(DEFAULT_PATH, OsStr::as_bytes).split(|byte| *byte == b':') {
        let candidate = Path::new(OsStr::from_bytes(folder)).join(name);
        match executable(cwd, &candidate) {
            Ok(stamp) => return (Program::Found(candidate), stamp),
            Err(Errno::ACCESS) => found = Program::NotExecutable,
            Err(_) => {}
        }
    }
    (found, None)
}

/// The stamp of what can be executed at `path`, if that is no link; folders are refused as `execve(2)` refuses them.
fn executable(cwd: &Path, path: &Path) -> Result<Option<Stamp>, Errno> {
    let path = cwd.join(path);
    access(&path, Access::EXEC_OK)?;
    let found = rustix::fs::lstat(&path)?;
    let is_file = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    if is_file(found.st_mode) {
        return Ok(Some(stamp::from_stat(&found)));
    }
    if is_file(rustix::fs::stat(&path)?.st_mode) { Ok(None) } else { Err(Errno::ACCESS) }
}

/// What the program adds to a command.
pub struct Identity {
    /// The file to execute.
    pub program: Program,
    /// What counts of it.
    pub parts: Vec<Part>,
    /// What was read of it.
    pub watched: Vec<Watched>,
}

/// Where a program is looked for, and what is known of files.
pub struct Search<'a> {
    /// The working directory.
    pub cwd: &'a Path,
    /// The root of the project, under which paths are relative.
    pub project: Option<&'a Path>,
    /// The environment that the command sees.
    pub environment: &'a [OsString],
    /// Remembered digests.
    pub memory: &'a dyn StampMemory,
    /// A time before anything was looked at, in nanoseconds since 1970.
    pub now: i64,
}

impl Search<'_> {
    /// What counts of the program that `name` means.
    ///
    /// A program that cannot be found or read is no error: the parts say so.
    pub fn identify(&self, name: &OsStr, rule: ProgramRule) -> Identity {
        let (program, stamp) = resolve(name, self.cwd, variable(self.environment, b"PATH"));
        let mut identity = Identity { program, parts: Vec::new(), watched: Vec::new() };
        let path = match (&identity.program, rule) {
            (_, ProgramRule::Name) => {
                identity.parts.push(Part::open("program.name", name.as_bytes()));
                return identity;
            }
            (Program::Found(path), _) => self.cwd.join(path),
            (Program::NotFound, _) => {
                identity.parts.push(Part::open("program.state", "not found"));
                return identity;
            }
            (Program::NotExecutable, _) => {
                identity.parts.push(Part::open("program.state", "not executable"));
                return identity;
            }
        };
        match rule {
            ProgramRule::Content => self.follow(path, stamp, &mut identity),
            ProgramRule::Path | ProgramRule::Name => identity.parts.push(self.path_part("program", &path)),
        }
        identity
    }

    /// Looks at the program, of which the stamp may be known, and at what interprets it, to the end.
    fn follow(&self, program: PathBuf, mut stamp: Option<Stamp>, identity: &mut Identity) {
        let (mut next, mut name) = (Some(program), "program".to_owned());
        for depth in 1..=DEEPEST {
            let Some(path) = next.take() else { break };
            next = match self.count(&name, &path, stamp.take(), identity) {
                Format::Binary => None,
                Format::Plain => Some(PathBuf::from(SHELL)),
                Format::Script(interpreter, argument) => self.interpreter(interpreter, argument, depth, identity),
            };
            name = format!("interpreter.{depth}");
        }
    }

    /// The file that interprets a script; where that is `env`, what env starts.
    fn interpreter(
        &self,
        interpreter: PathBuf,
        argument: Option<OsString>,
        depth: usize,
        identity: &mut Identity,
    ) -> Option<PathBuf> {
        let path = self.cwd.join(interpreter);
        let Some(argument) = argument.filter(|_| path.file_name() == Some(OsStr::new("env"))) else {
            return Some(path);
        };
        self.count(&format!("interpreter.{depth}.env"), &path, None, identity);
        let value = |name: &[u8]| variable(self.environment, name).map(OsStr::to_owned);
        let line = script::env_line(&argument, value)?;
        let search_path = match &line.path {
            SearchPath::Inherited => variable(self.environment, b"PATH"),
            SearchPath::Unset => None,
            SearchPath::Set(path) => Some(path.as_os_str()),
        };
        let cwd = line.folder.map_or_else(|| self.cwd.to_owned(), |folder| self.cwd.join(folder));
        match resolve_program(&line.name, &cwd, search_path) {
            Program::Found(path) => Some(cwd.join(path)),
            Program::NotFound | Program::NotExecutable => {
                identity.parts.push(Part::open(format!("interpreter.{depth}.state"), "not found"));
                None
            }
        }
    }

    /// Adds the file at `path` under `name`, and says how it is executed.
    fn count(&self, name: &str, path: &Path, stamp: Option<Stamp>, identity: &mut Identity) -> Format {
        identity.parts.push(self.path_part(name, path));
        let mut examined = examine(path, content::Links::Refused, stamp, self.memory, self.now);
        if examined.as_ref().is_err_and(|why| why.raw_os_error() == Some(Errno::LOOP.raw_os_error())) {
            // A program may look for its libraries beside the file that a link leads to.
            if let Ok(real) = path.canonicalize() {
                identity.parts.push(self.path_part(&format!("{name}.real"), &real));
            }
            examined = examine(path, content::Links::Followed, None, self.memory, self.now);
        }
        let (state, seen, format) = match examined {
            Ok((seen, format)) => ("", seen, format),
            Err(_) => match unreadable(path) {
                Ok(seen) => ("unreadable ", seen, Format::Binary),
                Err(_) => {
                    identity.parts.push(Part::open(format!("{name}.content"), "missing"));
                    return Format::Binary;
                }
            },
        };
        identity.parts.push(Part::open(format!("{name}.content"), format!("{state}{}", seen.digest)));
        identity.watched.push(Watched {
            path: path.to_owned(),
            stamp: seen.stamp,
            settled: seen.settled,
            digest: seen.digest,
        });
        format
    }

    /// A part that holds a path, relative below the project's root.
    fn path_part(&self, name: &str, path: &Path) -> Part {
        let path = place(self.cwd, path).map_or_else(|_| lexical(self.cwd, path), |place| place.path);
        let path = self.project.map_or_else(|| path.clone(), |root| recorded(&path, root));
        Part::open(name, path.as_os_str().as_bytes())
    }
}

/// The content and the format of an executable file, of which the stamp may be known; the content of a large one is
/// remembered.
///
/// # Errors
///
/// Where it cannot be read, or changes whenever it is read.
pub fn examine(
    path: &Path,
    links: Links,
    known: Option<Stamp>,
    memory: &dyn StampMemory,
    now: i64,
) -> io::Result<(Seen, Format)> {
    // A large binary that was seen before need not even be opened.
    let found = match (links, known) {
        (_, Some(known)) => known,
        (Links::Refused, None) => stamp::of_link(path)?,
        (Links::Followed, None) => stamp::of(path)?,
    };
    let is_file = FileType::from_raw_mode(found.mode) == FileType::RegularFile;
    let remembered = if is_file && found.size > SMALL { memory.recall(&found) } else { None };
    if let Some(Remembered { digest, binary: true }) = remembered {
        return Ok((Seen { digest, stamp: found, settled: true }, Format::Binary));
    }
    let (file, stamp) = content::open(path, links)?;
    let mut buffer = Vec::new();
    if stamp.size <= SMALL {
        let seen = content::read(&file, stamp, now, &mut buffer)?;
        let length = usize::try_from(seen.stamp.size).unwrap_or_default().min(buffer.len());
        return Ok((seen, script::format(&buffer[..length])));
    }
    let mut head = [0; script::HEAD];
    let length = file.read_at(&mut head, 0)?;
    let format = script::format(&head[..length]);
    let binary = format == Format::Binary;
    // Only stamps that prove something are remembered.
    if let Some(Remembered { digest, .. }) = remembered.filter(|_| stamp == found) {
        if binary {
            memory.remember(&stamp, &Remembered { digest, binary });
        }
        return Ok((Seen { digest, stamp, settled: true }, format));
    }
    let seen = content::read(&file, stamp, now, &mut buffer)?;
    if seen.settled {
        memory.remember(&seen.stamp, &Remembered { digest: seen.digest, binary });
    }
    Ok((seen, format))
}

/// Stands for the content of a file that may be executed, but not read: its stamp.
///
/// # Errors
///
/// Where it is not even there.
pub fn unreadable(path: &Path) -> io::Result<Seen> {
    let stamp = stamp::of(path)?;
    Ok(Seen { digest: stand_in(&stamp), stamp, settled: false })
}

fn stand_in(stamp: &Stamp) -> Digest {
    let mut writer = Writer::new();
    stamp.encode(&mut writer);
    Digest::of(&writer.into_bytes())
}
