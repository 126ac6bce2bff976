//! From what was asked for to a command: all parts that count, named and in a fixed order.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat};

use crate::error::Result;
use crate::model::{
    Command, Digest, Part, Program, Request, StampMemory, Stdin, StdinRule, StdinSource, Streams, UNOBSERVED_VERSION,
    Watched,
};
use crate::sys::{clock, identity, limits, stamp};

use super::environment::environment;
use super::pattern::Patterns;
use super::place::{place, recorded};
use super::program::Search;
use super::volatile;

/// The version of what is counted and how; raised with every change, so that no older call is found by a
/// newer meaning.
pub const FORMAT: u32 = 3;

/// Calls of formats before this one are not given keys of the present format. To be raised with [`FORMAT`] where a change
/// makes doubtful what older calls recorded, and not only how they are named.
pub const TRUSTED_FROM: u32 = 1;

/// Under which name the file on descriptor 0 is watched.
pub const STANDARD_INPUT: &str = "/dev/stdin";

/// The part that says what is open beyond the standard descriptors where the command may know of it, if anything is.
pub const DESCRIPTORS: &str = "descriptors";

/// The part that says which rights of its own the program has, if its file gives any.
pub const RIGHTS: &str = "rights";

/// The part that says of which limits the command may have too little, if of any.
pub const LIMITS: &str = "limits";

/// The part that says in which format the others are.
pub const FORMAT_PART: &str = "format";

/// The part that says which list of volatile variables was used.
pub const VOLATILE: &str = "volatile";

/// The part that says of what kind standard input is.
pub const STDIN: &str = "stdin";

/// The part that says how the standard streams are connected.
pub const STREAMS: &str = "streams";

/// At the end of the name of a part: the argument names a stored value.
pub const STORED: &str = ".stored";

/// Longer than anybody needs to read a file, in nanoseconds.
const LONG_AGO: i64 = 6 * 3_600_000_000_000;

/// Where a command is asked for: all that is not on its command line, gathered by the engine.
pub struct Surroundings<'a> {
    /// The working directory, absolute, without links.
    pub cwd: PathBuf,
    /// The root of the project that it belongs to, if there is one.
    pub project: Option<PathBuf>,
    /// The entries of the environment, in their order.
    pub environment: Vec<OsString>,
    /// How the standard streams are connected.
    pub streams: Streams,
    /// What is open beyond the standard descriptors where the command may know of it; empty for nothing.
    pub descriptors: String,
    /// What standard input means.
    pub stdin: Stdin,
    /// The digest and the length in bytes of standard input, where it counts.
    pub stdin_content: Option<(Digest, u64)>,
    /// Runs a `--probe` in a shell and gives what it printed.
    pub probe: &'a dyn Fn(&OsStr) -> Result<Vec<u8>>,
}

/// Looks at a command: says what counts of it, and what it takes to run it.
///
/// A program that cannot be found is no error: [`Command::program`] says so.
///
/// # Errors
///
/// A malformed glob, a probe that fails.
pub fn command(request: &Request, surroundings: &Surroundings, memory: &dyn StampMemory) -> Result<Command> {
    let now = clock::now();
    let cwd = &surroundings.cwd;
    let project = &surroundings.project;
    let root = project.clone().unwrap_or_else(|| cwd.clone());
    Patterns::new(&request.arguments.required)?;
    let environment = environment(&request.environment, &surroundings.environment, cwd)?;
    let (arguments, redacted) = arguments(request)?;
    let search = Search { cwd, project: project.as_deref(), environment: &environment.visible, memory, now };
    let name = request.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let found = search.identify(name, request.program);

    let mut parts = vec![Part::open(FORMAT_PART, FORMAT.to_string())];
    parts.extend(arguments);
    parts.push(Part::open("program.rule", request.program.name()));
    parts.extend(found.parts);
    if !request.ignore_cwd {
        parts.push(folder_part(cwd, project.as_deref()));
    }
    parts.push(Part::open("env-mode", request.environment.mode.name()));
    parts.push(Part::open(VOLATILE, volatile::VERSION.to_string()));
    parts.extend(environment.parts);
    parts.extend(stdin_parts(&surroundings.stdin, surroundings.stdin_content));
    parts.push(Part::open(STREAMS, streams_name(surroundings.streams)));
    // Only where there is one: so it is with most commands.
    let descriptors = Some(surroundings.descriptors.as_str()).filter(|open| !open.is_empty());
    parts.extend(descriptors.map(|open| Part::open(DESCRIPTORS, open)));
    parts.extend(machine_parts());
    // Only where there are any: most programs give none.
    if let Program::Found(program) = &found.program {
        parts.extend(identity::rights_given(&cwd.join(program)).map(|rights| Part::open(RIGHTS, rights)));
    }
    // A limit that is low may be why a command did less than it does elsewhere, and said yes all the same.
    parts.extend(limits::tight().map(|limits| Part::open(LIMITS, limits)));
    parts.extend(request.revision.as_ref().map(|revision| Part::open("revision", revision.as_bytes())));
    parts.extend(declaration(request, &root));
    // Only where it is: so it is not with most commands. What it finds there, and whether it fails, is another thing.
    parts.extend(request.is_isolated().then(|| Part::open("isolate", request.isolation.name())));
    parts.extend(probe_parts(request, surroundings)?);

    let mut watched = found.watched;
    watched.extend(watched_input(request, surroundings, rustix::stdio::stdin(), now));
    Ok(Command {
        digest: Part::digest(&parts),
        parts,
        argv: request.argv.clone(),
        redacted,
        program: found.program,
        cwd: cwd.clone(),
        root,
        project: project.is_some(),
        environment: environment.visible,
        stdin: surroundings.stdin.clone(),
        streams: surroundings.streams,
        watched,
    })
}

/// The arguments that count, numbered among themselves, and for every argument whether it is redacted.
///
/// The name by which the program was called always counts.
fn arguments(request: &Request) -> Result<(Vec<Part>, Vec<bool>)> {
    let ignored = Patterns::new(&request.arguments.ignored)?;
    let redacted = redacted_arguments(request)?;
    let mut parts: Vec<Part> = Vec::with_capacity(request.argv.len());
    for (position, (word, redacted)) in request.argv.iter().zip(&redacted).enumerate() {
        if position > 0 && is_named(request, position, &ignored) {
            continue;
        }
        // Another name, because the same text can be meant as it stands.
        let kind = if request.is_stored(position) { STORED } else { "" };
        let name = format!("arg.{}{kind}", parts.len());
        let value = word.as_bytes();
        parts.push(if *redacted { Part::secret(name, value) } else { Part::open(name, value) });
    }
    Ok((parts, redacted))
}

/// For every argument, whether `--redact-arg` covers it.
///
/// # Errors
///
/// A malformed glob.
pub fn redacted_arguments(request: &Request) -> Result<Vec<bool>> {
    let redacted = Patterns::new(&request.arguments.redacted)?;
    // Whoever redacts what they type means the digest that takes its place as well.
    Ok((0..request.argv.len()).map(|position| is_named(request, position, &redacted)).collect())
}

fn is_named(request: &Request, position: usize, patterns: &Patterns) -> bool {
    request.spellings(position).any(|word| patterns.name(word))
}

/// The working directory: absolute, or relative to the project's root.
fn folder_part(cwd: &Path, project: Option<&Path>) -> Part {
    let path = project.map_or_else(|| cwd.to_owned(), |root| recorded(cwd, root));
    Part::open("cwd", path.as_os_str().as_bytes())
}

/// What counts of the kind of standard input.
pub fn stdin_name(stdin: &Stdin) -> &'static str {
    match stdin {
        // One and the same: `make -j` gives its standard input to one recipe and a pipe at its end to the others.
        Stdin::Uncounted | Stdin::Ended => "none",
        Stdin::Closed => "closed",
        Stdin::File { .. } => "file",
        Stdin::Spool => "spool",
        Stdin::From => "from",
        Stdin::Null => "null",
        Stdin::Unread => "unread",
        Stdin::Unknown => "unknown",
    }
}

fn stdin_parts(stdin: &Stdin, content: Option<(Digest, u64)>) -> Vec<Part> {
    let mut parts = vec![Part::open(STDIN, stdin_name(stdin))];
    if let Some((digest, length)) = content {
        parts.push(Part::open("stdin.content", digest.hex()));
        parts.push(Part::open("stdin.length", length.to_string()));
    }
    if let Stdin::File { offset: offset @ 1.. } = stdin {
        parts.push(Part::open("stdin.offset", offset.to_string()));
    }
    parts
}

/// What counts of how the standard streams are connected.
pub fn streams_name(streams: Streams) -> &'static str {
    match (streams.stdout, streams.stderr, streams.same) {
        (true, true, true) => "stdout and stderr are one",
        (true, true, false) => "stdout and stderr",
        (true, false, _) => "stdout",
        (false, true, _) => "stderr",
        (false, false, _) => "none",
    }
}

fn machine_parts() -> [Part; 4] {
    [
        Part::open("umask", format!("{:03o}", identity::umask())),
        Part::open("root-user", if identity::is_root() { "yes" } else { "no" }),
        Part::open("os", identity::OPERATING_SYSTEM),
        Part::open("arch", identity::ARCHITECTURE),
    ]
}

/// What was declared, because it decides what is observed and what is stored.
fn declaration(request: &Request, root: &Path) -> Vec<Part> {
    let mut parts = Vec::new();
    parts.extend(request.inputs.iter().enumerate().map(|(number, word)| declared("input", number, word, root)));
    let excludes = request.excludes.iter().enumerate();
    parts.extend(excludes.map(|(number, glob)| declared("exclude", number, OsStr::new(glob), root)));
    parts.extend(request.outputs.iter().enumerate().map(|(number, word)| declared("output", number, word, root)));
    parts.extend(request.gitignore.then(|| Part::open("gitignore", "yes")));
    parts.extend(request.pure.then(|| Part::open("pure", "yes")));
    parts.extend(watching(request, root));
    let stdin = match request.stdin {
        StdinRule::Automatic => "automatic",
        StdinRule::Input => "input",
        StdinRule::None => "none",
        StdinRule::From(_) => "from",
    };
    parts.push(Part::open("stdin-rule", stdin));
    // What one user allows to be ignored, another run that did not allow it must not be given.
    let rules = [
        ("ignore-arg", &request.arguments.ignored),
        ("ignore-env", &request.environment.ignored),
        ("count-env", &request.environment.counted),
    ];
    for (name, globs) in rules {
        let globs = globs.iter().enumerate();
        parts.extend(globs.map(|(number, glob)| Part::open(format!("{name}.{}", number + 1), glob.as_bytes())));
    }
    parts
}

/// How a command is watched: what one user lets it do unseen, another run that did not must not be given.
fn watching(request: &Request, root: &Path) -> Vec<Part> {
    if !request.is_watched() {
        return Vec::new();
    }
    let rules = &request.watching;
    let mut parts = vec![Part::open("traced", UNOBSERVED_VERSION.to_string())];
    parts.extend(rules.network.then(|| Part::open("allow-network", "yes")));
    let writable = rules.writable.iter().enumerate();
    parts.extend(writable.map(|(number, word)| declared("allow-write", number, word, root)));
    let scratch = rules.scratch.iter().enumerate();
    parts.extend(scratch.map(|(number, glob)| declared("scratch", number, OsStr::new(glob), root)));
    parts
}

/// A declared word as it stands; relative to the root where it is an absolute path there, so that
/// checkouts share calls. The name of the part tells the one from the other.
fn declared(kind: &str, number: usize, word: &OsStr, root: &Path) -> Part {
    let number = number + 1;
    let rest = word.as_bytes().strip_prefix(root.as_os_str().as_bytes());
    match rest {
        Some([]) => Part::open(format!("{kind}.{number}.rooted"), b"".as_slice()),
        Some([b'/', rest @ ..]) => Part::open(format!("{kind}.{number}.rooted"), rest),
        _ => Part::open(format!("{kind}.{number}"), word.as_bytes()),
    }
}

fn probe_parts(request: &Request, surroundings: &Surroundings) -> Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(2 * request.probes.len());
    for (number, line) in request.probes.iter().enumerate() {
        parts.push(Part::open(format!("probe.{}", number + 1), line.as_bytes()));
        parts.push(Part::open(format!("probe.{}.output", number + 1), (surroundings.probe)(line)?));
    }
    Ok(parts)
}

/// The same command with its standard streams connected in another way.
pub fn with_streams(command: &Command, streams: Streams) -> Command {
    let mut command = Command { streams, ..command.clone() };
    let parts = command.parts.iter_mut().filter(|part| part.name == STREAMS);
    parts.for_each(|part| part.value = streams_name(streams).into());
    command.digest = Part::digest(&command.parts);
    command
}

/// The file that standard input is read from.
///
/// Its digest was made before its stamp is taken here, and how long before is not known; so only a stamp
/// that is hours old proves anything, and any other file is read again after the run.
fn watched_input(request: &Request, surroundings: &Surroundings, descriptor: BorrowedFd, now: i64) -> Option<Watched> {
    let (digest, _) = surroundings.stdin_content?;
    let (path, stamp) = match (&surroundings.stdin, &request.stdin) {
        (Stdin::File { .. }, _) => (STANDARD_INPUT.into(), stamp::from_stat(&fstat(descriptor).ok()?)),
        (Stdin::From, StdinRule::From(StdinSource::File(path))) => {
            let path = place(&surroundings.cwd, path).ok()?.path;
            let stamp = stamp::of(&path).ok()?;
            (path, stamp)
        }
        _ => return None,
    };
    let is_file = FileType::from_raw_mode(stamp.mode) == FileType::RegularFile;
    let settled = now.saturating_sub(stamp.modified.max(stamp.changed)) > LONG_AGO;
    is_file.then_some(Watched { path, stamp, settled, digest })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_declared_has_a_number_and_is_relative_to_the_root_where_it_is_a_whole_path_there() {
        for (word, name, value) in [
            ("/w", "input.1.rooted", ""),
            ("/w/", "input.1.rooted", ""),
            ("/w/a/b", "input.1.rooted", "a/b"),
            ("/wide", "input.1", "/wide"),
            ("a", "input.1", "a"),
            ("/", "input.1", "/"),
        ] {
            assert_eq!(declared("input", 0, OsStr::new(word), Path::new("/w")), Part::open(name, value), "{word}");
        }
        assert_eq!(declared("output", 9, OsStr::new("a"), Path::new("/w")), Part::open("output.10", "a"));
    }

    #[test]
    fn only_a_file_that_is_hours_old_proves_what_was_read_from_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("f"), "x").unwrap();
        let file = File::open(folder.path().join("f")).unwrap();
        let stamp = stamp::from_stat(&fstat(&file).unwrap());
        let surroundings = Surroundings {
            cwd: folder.path().to_owned(),
            project: None,
            environment: Vec::new(),
            streams: Streams { stdout: true, stderr: true, same: false },
            descriptors: String::new(),
            stdin: Stdin::File { offset: 0 },
            stdin_content: Some((Digest::of(b"x"), 1)),
            probe: &|_| Ok(Vec::new()),
        };
        let latest = stamp.modified.max(stamp.changed);
        for (age, settled) in
            [(i64::MIN, false), (0, false), (LONG_AGO, false), (LONG_AGO + 1, true), (2 * LONG_AGO, true)]
        {
            let now = latest.saturating_add(age);
            let watched = watched_input(&Request::default(), &surroundings, file.as_fd(), now).unwrap();
            assert_eq!((watched.stamp, watched.settled), (stamp, settled), "{age}");
        }
        let null = File::open("/dev/null").unwrap();
        assert!(watched_input(&Request::default(), &surroundings, null.as_fd(), latest).is_none());
    }
}
