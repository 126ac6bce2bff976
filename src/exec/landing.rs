//! Regular files that the command writes by itself, because they are the caller's streams; what came to be in them is kept
//! afterwards.
//!
//! A command that gets its file, and not a pipe that fleche copies from, knows it (`grep -r x . > out`), can move in it
//! (`zip - a > a.zip`), and finds a full disk and limits itself. But then whatever else writes to the file is not told apart
//! from it. So a file is only given where nobody else has it, or nobody but a shell that waits: not with `make > log`. It is kept
//! only if that shell wrote nothing, nobody opened it to write (of which the kernel tells), and nobody has it afterwards.
//! Who has it is asked before the command starts, however long that takes: what ends meanwhile may have written.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fstat, open};
use rustix::io::Errno;

use super::Forward;
use crate::model::{Reason, Stamp, Stream, Streams, Trace};
use crate::sys::bystanders::{self, Bystander};
use crate::sys::descriptor::{self, Kind};
use crate::sys::entry::{Standard, standard};
use crate::sys::holders::{self, Label};
use crate::sys::stamp;

/// The files that a command writes by itself.
#[derive(Debug, Default)]
pub struct Landings {
    all: Vec<Landing>,
    /// Shells that have one of the files and wait.
    bystanders: Vec<Bystander>,
    /// The processes that there were before the command.
    former: Vec<i32>,
    doubt: Option<Reason>,
}

/// One such file.
#[derive(Debug)]
pub struct Landing {
    stream: Stream,
    number: Standard,
    file: File,
    label: Label,
    /// Tells who opens it, and who closes it after writing.
    witness: OwnedFd,
    /// When the command had ended.
    stamp: Option<Stamp>,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Witnessed {
    opened: bool,
    written: bool,
}

impl Landings {
    /// Those among the streams that nobody else seems to have; the others need a pipe.
    pub fn of(streams: Streams, forward: Forward) -> Landings {
        if forward == Forward::Nowhere {
            return Landings::default();
        }
        let is_file = |number: RawFd| descriptor::kind(number) == Kind::File;
        let files = [streams.stdout && is_file(1), streams.stderr && is_file(2)];
        if files == [false, false] || holders::has_children() {
            return Landings::default();
        }
        let Ok(former) = holders::processes() else { return Landings::default() };
        let mut all: Vec<Landing> = Vec::with_capacity(2);
        let mut bystanders = Vec::new();
        for (stream, number) in [(Stream::Stdout, Standard::Output), (Stream::Stderr, Standard::Error)] {
            if files[number as usize - 1]
                && !(stream == Stream::Stderr && streams.same)
                && let Some((landing, more)) = Landing::of(stream, number)
            {
                all.push(landing);
                bystanders.extend(more);
            }
        }
        // Two places in one file: what is written at one may be overwritten at the other.
        let is_one_file = files == [true, true] && same_file(1, 2);
        if is_one_file != streams.same {
            return Landings::default();
        }
        let labels: Vec<&Label> = all.iter().map(|landing| &landing.label).collect();
        if !all.is_empty() && holders::are_held_beside(&labels, &former, &bystanders) {
            return Landings::default();
        }
        let reads_one = all.iter().find(|landing| same_file(0, landing.number as RawFd));
        let doubt = reads_one.map(|landing| Reason::OwnOutput(landing.label.path().to_owned()));
        Landings { all, bystanders, former, doubt }
    }

    /// The file of a stream, if it has one.
    pub fn at(&self, stream: Stream) -> Option<&Landing> {
        self.all.iter().find(|landing| landing.stream == stream)
    }

    /// The stream of each, and how many bytes the command wrote.
    pub fn lengths(&self) -> impl Iterator<Item = (Stream, u64)> {
        self.all.iter().map(|landing| (landing.stream, landing.length()))
    }

    /// To be called once, when the command has ended.
    pub fn command_ended(&mut self) {
        for landing in &mut self.all {
            if let Err(what) = landing.command_ended() {
                self.doubt.get_or_insert(Reason::OutputShared(what.into()));
            }
        }
    }

    /// Refuses to keep what others may have written or may still write. A trace tells whether anything that the command started
    /// is left; without one all processes are looked at.
    ///
    /// # Errors
    ///
    /// [`Reason::OwnOutput`], [`Reason::OutputShared`], [`Reason::LeftBehind`].
    pub fn check_alone(&self, trace: Option<&Trace>) -> Result<(), Reason> {
        if let Some(doubt) = &self.doubt {
            return Err(doubt.clone());
        }
        let mut opened = false;
        for landing in &self.all {
            opened |= landing.check_unwritten()?.opened;
        }
        let is_over = trace.is_some_and(|trace| !trace.refusals.contains(&Reason::LeftBehind));
        // What a shell has started beside the command no trace tells of.
        let may_be_held = !self.all.is_empty() && (!is_over || opened || !self.bystanders.is_empty());
        if may_be_held && holders::are_held_beside(&self.labels(), &self.former, &self.bystanders) {
            return Err(Reason::LeftBehind);
        }
        match self.bystanders.iter().any(Bystander::has_written) {
            true => Err(Reason::OutputShared("a shell that has it open went on meanwhile".into())),
            false => Ok(()),
        }
    }

    /// Refuses what was changed since the command ended; to be asked when all was read.
    ///
    /// # Errors
    ///
    /// [`Reason::OutputShared`].
    pub fn check_unchanged(&self) -> Result<(), Reason> {
        for landing in &self.all {
            landing.check_unwritten()?;
            if landing.stamp != stamp::of_file(&landing.file).ok() {
                return Err(Reason::OutputShared("the file was changed after it had ended".into()));
            }
        }
        Ok(())
    }

    fn labels(&self) -> Vec<&Label> {
        self.all.iter().map(|landing| &landing.label).collect()
    }
}

impl Landing {
    /// `None` where the caller's descriptor leads to something else, where what comes to be in it could not be read back, or where
    /// others have it and do not just wait.
    fn of(stream: Stream, number: Standard) -> Option<(Landing, Vec<Bystander>)> {
        let descriptor = standard(number);
        let (flags, found) = (fcntl_getfl(descriptor).ok()?, fstat(descriptor).ok()?);
        let is_writable = flags.intersection(OFlags::RWMODE) != OFlags::RDONLY && !flags.contains(OFlags::PATH);
        if !is_writable || FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return None;
        }
        // What a command finds in it would count: whether there is a heading already, whether it is its own input. So it finds
        // nothing, or a pipe.
        let is_empty = found.st_size == 0 && descriptor::offset(descriptor).ok() == Some(0);
        if !is_empty || flags.contains(OFlags::APPEND) {
            return None;
        }
        // Of what other machines do the kernel does not tell, and of its own files even opening one to read may do something.
        if !stamp::is_plain(descriptor) {
            return None;
        }
        let label = Label::of(descriptor).ok()?;
        let bystanders = bystanders::of(&label)?;
        let path = format!("/proc/self/fd/{}", number as RawFd);
        let file = reader(&path).ok()?;
        let witness = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        inotify::add_watch(&witness, &path, WatchFlags::OPEN | WatchFlags::CLOSE_WRITE).ok()?;
        let landing = Landing { stream, number, file, label, witness, stamp: None };
        Some((landing, bystanders))
    }

    /// To read what the command wrote.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// How many bytes the command wrote, once it has ended.
    fn length(&self) -> u64 {
        self.stamp.as_ref().map_or(0, |stamp| stamp.size)
    }

    /// Takes the stamp; what is wrong with the file, if something is.
    fn command_ended(&mut self) -> Result<(), &'static str> {
        let stamp = stamp::of_file(&self.file).map_err(|_| "the file is gone")?;
        let size = stamp.size;
        self.stamp = Some(stamp);
        let descriptor = standard(self.number);
        let flags = fcntl_getfl(descriptor).unwrap_or(OFlags::empty());
        let is_at_end = descriptor::offset(descriptor).ok() == Some(size);
        match is_at_end && !flags.contains(OFlags::APPEND) {
            true => Ok(()),
            false => Err("the file does not end where it wrote last"),
        }
    }

    /// Refuses where somebody opened the file anew and wrote, or may have.
    fn check_unwritten(&self) -> Result<Witnessed, Reason> {
        let witnessed = self.witnessed();
        match witnessed.written {
            true => Err(Reason::OutputShared("the file was opened anew and written".into())),
            false => Ok(witnessed),
        }
    }

    /// What the kernel told since it was last asked.
    fn witnessed(&self) -> Witnessed {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(self.witness.as_fd(), &mut room);
        let mut all = Witnessed::default();
        loop {
            match events.next() {
                Ok(event) => {
                    all.opened |= event.events().contains(ReadFlags::OPEN);
                    all.written |= event.events().intersects(ReadFlags::CLOSE_WRITE | ReadFlags::QUEUE_OVERFLOW);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return all,
                Err(_) => return Witnessed { opened: true, written: true },
            }
        }
    }
}

/// Whether two descriptors lead to one regular file.
fn same_file(one: RawFd, other: RawFd) -> bool {
    let file = |number: RawFd| {
        let number =
            [Standard::Input, Standard::Output, Standard::Error].into_iter().find(|it| *it as RawFd == number)?;
        (descriptor::kind(number as RawFd) == Kind::File).then(|| fstat(standard(number)).ok()).flatten()
    };
    match (file(one), file(other)) {
        (Some(one), Some(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// Opens a file to read it, so that when it was last read stays as it is where that can be.
fn reader(path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = open(path, flags | OFlags::NOATIME, Mode::empty()).or_else(|_| open(path, flags, Mode::empty()));
    Ok(File::from(opened?))
}
