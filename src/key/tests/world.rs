//! A small world of files, with a command in it.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::error::Result;
use crate::key::{ObserveError, Observed, Surroundings, command, confirm, observe};
use crate::model::{
    Command, Digest, Inventory, Observation, Reason, Remembered, Request, Stamp, StampMemory, State, Stdin, Streams,
};
use crate::sys::project;

/// Remembers what it is told, and knows what it was made with.
#[derive(Default)]
pub struct Memory {
    pub known: Vec<(Stamp, Digest)>,
    pub binary: bool,
    pub told: RefCell<Vec<(Stamp, Remembered)>>,
    pub inventory: Option<Inventory>,
}

impl StampMemory for Memory {
    fn recall(&self, stamp: &Stamp) -> Option<Remembered> {
        let known = self.known.iter().find(|(known, _)| known == stamp);
        known.map(|(_, digest)| Remembered { digest: *digest, binary: self.binary })
    }

    fn inventory(&self, identity: &Digest) -> Option<Inventory> {
        self.inventory.clone().filter(|inventory| inventory.identity == *identity)
    }

    fn remember(&self, stamp: &Stamp, seen: &Remembered) {
        self.told.borrow_mut().push((*stamp, *seen));
    }
}

pub struct World {
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        // So deep that no link of a test climbs to what others change.
        let root = folder.path().canonicalize().unwrap().join("not/so/near");
        fs::create_dir_all(&root).unwrap();
        World { root, _folder: folder }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.write(name, content);
        self.mode(name, 0o755);
        path
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn folder(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    pub fn link(&self, target: &str, name: &str) {
        let _ = fs::remove_file(self.path(name));
        symlink(target, self.path(name)).unwrap();
    }

    pub fn fifo(&self, name: &str) {
        mknodat(CWD, self.path(name), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }

    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
    }

    /// A command that runs in the folder `cwd` of this world.
    pub fn command_in(&self, cwd: &str, request: &Request) -> Result<Command> {
        let surroundings = surroundings(&self.path(cwd));
        command(request, &surroundings, &Memory::default())
    }

    pub fn command(&self, request: &Request) -> Command {
        self.command_in("", request).unwrap()
    }

    /// What `request` observes; what it should not be able to is a panic.
    pub fn observe(&self, request: &Request) -> Vec<Observation> {
        self.try_observe(request).unwrap().observations().to_vec()
    }

    pub fn try_observe(&self, request: &Request) -> std::result::Result<Observed, ObserveError> {
        observe(request, &self.command(request), &mut Vec::new, &Memory::default(), &[])
    }

    /// What happens to a run that does `meanwhile`.
    pub fn confirm(
        &self,
        request: &Request,
        meanwhile: impl FnOnce(),
    ) -> std::result::Result<Vec<Observation>, Reason> {
        let command = self.command(request);
        let before = observe(request, &command, &mut Vec::new, &Memory::default(), &[]).unwrap();
        before.guard();
        meanwhile();
        confirm(request, &command, &before, &Memory::default(), &[]).map(|after| after.observations().to_vec())
    }
}

pub fn no_probe(_: &OsStr) -> Result<Vec<u8>> {
    Ok(Vec::new())
}

pub fn surroundings(cwd: &Path) -> Surroundings<'static> {
    Surroundings {
        cwd: cwd.to_owned(),
        project: project::root(cwd),
        environment: vec!["PATH=/bin:/usr/bin".into()],
        streams: Streams { stdout: true, stderr: true, same: false },
        descriptors: String::new(),
        stdin: Stdin::Uncounted,
        stdin_content: None,
        probe: &no_probe,
    }
}

pub fn words<S: AsRef<OsStr>>(words: &[S]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

/// A request whose options are written as on the command line: `-i`, `-x`, `-o`, `--gitignore`.
pub fn request(options: &[&str]) -> Request {
    let mut request = Request { argv: words(&["/bin/true"]), ..Request::default() };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || (*options.next().unwrap()).to_owned();
        match *option {
            "-i" => request.inputs.push(value().into()),
            "-x" => request.excludes.push(value()),
            "-o" => request.outputs.push(value().into()),
            "--gitignore" => request.gitignore = true,
            other => panic!("unknown option {other}"),
        }
    }
    request
}

/// Observations as lines: `path`, a mark for the type, what is seen through a link.
pub fn shown(observations: &[Observation]) -> Vec<String> {
    observations.iter().map(|seen| format!("{}{}", seen.path.display(), mark(&seen.state))).collect()
}

fn mark(state: &State) -> String {
    match state {
        State::Absent => " absent".to_owned(),
        State::File { mode, .. } if mode & 0o111 == 0 => String::new(),
        State::File { .. } => "*".to_owned(),
        State::Folder { .. } => "/".to_owned(),
        State::Link { target, behind } => format!(" -> {}{}", OsStr::from_bytes(target).display(), mark(behind)),
        State::Special(kind) => format!(" special {kind:o}"),
        other => format!(" {other:?}"),
    }
}
