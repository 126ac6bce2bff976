//! A throw-away store for the tests of this layer.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::folder::value_name;
use super::{Durability, Pending, Store};
use crate::model::{
    Argument, CacheAccess, Call, CommandDigest, Content, Digest, Facet, Grade, Key, Metadata, Observation, Outcome,
    PathSet, Remote, Request, Sink, State, Usage,
};

/// Everything shorter than `whole`, and `whole` with each of its bits flipped: nine times as many as it has bytes.
pub fn cuts_and_flips(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flipped = |bit: usize| {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    (0..whole.len()).map(|length| whole[..length].to_vec()).chain((0..whole.len() * 8).map(flipped))
}

/// A store beyond this machine.
pub fn remote(name: &str, namespace: &str) -> Remote {
    Remote {
        name: name.to_owned(),
        url: "file:///mnt".to_owned(),
        access: CacheAccess::ReadWrite,
        namespace: namespace.to_owned(),
        trusted: Vec::new(),
        signing: None,
        upload: Vec::new(),
        helper: None,
        private: None,
        password: None,
        certificates: None,
        proxies: crate::model::Proxies::default(),
        bucket: None,
    }
}

/// A store in a temporary folder.
pub struct World {
    pub store: Store,
    _folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        World { store: Store::open(&folder.path().join("cache")).unwrap(), _folder: folder }
    }

    /// Bytes, taken in as a stream would be.
    pub fn pending(&self, bytes: &[u8]) -> Pending {
        let mut spool = self.store.spool(u64::MAX);
        spool.accept(bytes.to_vec());
        spool.finish().unwrap()
    }

    /// Keeps a value without a call.
    pub fn keep(&self, bytes: &[u8]) -> Content {
        self.store.recording().unwrap().keep(self.pending(bytes)).unwrap()
    }

    /// Stores `call`, whose values are inline.
    pub fn record(&self, call: Call) -> Call {
        let recording = self.store.recording().unwrap();
        let set = path_set(&call);
        recording.store(&call, Durability::Buffered, Some(set)).unwrap();
        call
    }

    pub fn value_file(&self, content: &Content) -> PathBuf {
        self.store.folder().join(value_name(&content.digest))
    }
}

/// A cache of a group, in `folder`.
pub fn shared(folder: &tempfile::TempDir) -> Store {
    let group = crate::model::Cache {
        name: "team".to_owned(),
        folder: folder.path().join("cache"),
        access: crate::model::CacheAccess::ReadWrite,
        sharing: crate::model::Sharing::Group,
        limits: crate::model::CacheLimits::default(),
    };
    Store::open_stack(&[crate::model::Member::Folder(group)], super::Purpose::Write, &mut |_, _| {}).unwrap()
}

/// A call whose key, command and arguments are made from `name`.
pub fn call(name: &str) -> Call {
    Call {
        key: Key(Digest::of(name.as_bytes())),
        command: CommandDigest::of_parts(name.as_bytes()),
        grade: Grade::Declared,
        bound: false,
        argv: vec![Argument::Clear("/usr/bin/cc".into()), Argument::Clear(name.into())],
        program: "/usr/bin/cc".into(),
        cwd: "/work".into(),
        root: "/work".into(),
        parts: Vec::new(),
        sealed_by: None,
        taken_over: false,
        variables: Vec::new(),
        request: Request::default(),
        observations: vec![Observation { path: "a.c".into(), facet: Facet::Whole, state: State::Absent, stamp: None }],
        outcome: Outcome { stdout: Some(Content::inline(b"out\n".to_vec())), ..Outcome::default() },
        metadata: Metadata { usage: Usage { started: 5, wall: 7, ..Usage::default() }, ..Metadata::default() },
        tags: BTreeMap::from([("project".into(), "alpha".into())]),
    }
}

pub fn path_set(call: &Call) -> PathSet {
    PathSet { key: call.key, observations: call.observations.clone() }
}

/// Paths with inode numbers, sizes, and times of modification and change.
pub type Everything = BTreeMap<PathBuf, (u64, u64, i64, i64)>;

/// Every path below `folder` with its inode, size and times: equal before and after means that nothing was written.
pub fn everything(folder: &Path) -> Everything {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let times = (metadata.ino(), metadata.size(), metadata.mtime_nsec(), metadata.ctime_nsec());
        found.insert(entry.into_path(), times);
    }
    found
}

/// A test that is started again as another process.
pub mod again {
    use std::io::{BufRead, BufReader, Read};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};

    /// Starts `test` in a process of its own, beside the cache in `folder`; gives that process, and what it [`tell`]s before its
    /// standard input ends.
    pub fn start(test: &str, folder: &Path) -> (Child, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(test, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let told = lines.map(|line| line.unwrap()).find_map(|line| Some(line.split_once("told: ")?.1.to_owned()));
        (child, told.unwrap())
    }

    /// The folder for this process, if it was started by [`start`] for this `test`.
    pub fn folder(test: &str) -> Option<PathBuf> {
        std::env::var_os(test).map(PathBuf::from)
    }

    /// Tells who started this process something, and waits for its word to go on.
    pub fn tell(what: &str) {
        println!("told: {what}");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }
}
