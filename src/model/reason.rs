//! Why a command was not replayed, or its run not stored: never an error, always counted.

use std::fmt;
use std::path::PathBuf;

/// A named reason; its text is what `-v` and `explain` show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No call of this key is stored.
    NoCall,
    /// The call is older than `--ttl` or `--failure-ttl` allows.
    Expired,
    /// A call file or value fails its digest or is gone.
    Damaged(String),
    /// Restoring an output failed.
    NotRestored(String),
    /// `--mode refresh`.
    Refresh,
    /// `--mode off`, or a cache that is not there to be used.
    Off,
    /// `--mode read-only`.
    ReadOnly,
    /// Nothing was declared.
    Undeclared,
    /// The store cannot be used or written.
    StoreUnusable(String),
    /// Standard input may or may not be input.
    StdinUnknown,
    /// Standard input could not be read or kept whole.
    StdinUnreadable(String),
    /// The command read standard input, which did not count.
    StdinRead,
    /// Standard input has more bytes than are read ahead.
    StdinTooLarge(u64),
    /// Standard output is a device that takes nothing.
    StdoutUnwritable,
    /// An argument that `--require-arg` asks for is missing.
    ArgumentMissing(String),
    /// A variable that `--require-env` asks for is missing.
    VariableMissing(String),
    /// Such a thing is open at this descriptor, and the command might use it.
    DescriptorOpen(i32, &'static str),
    /// The command used the file at this descriptor, or somebody else did meanwhile.
    DescriptorUsed(i32),
    /// The exit code is not among those that are stored.
    Exit(u8),
    /// The command died by a signal.
    Signal(i32),
    /// The program was not found or could not be executed.
    NotStarted,
    /// Output was lost on its way: the reader left, a disk was full.
    CutShort(String),
    /// Somebody kept the command's output open after it had ended.
    LeftBehind,
    /// The file that its output goes to is not its own alone; what tells so.
    OutputShared(String),
    /// It looked into this file, which its output goes to.
    OwnOutput(PathBuf),
    /// A stream or output is larger than `--max-entry`.
    TooLarge(u64),
    /// An input changed while the command ran.
    InputChanged(PathBuf),
    /// A FIFO or device is named as an input: what comes from it is another thing each time.
    InputStream(PathBuf),
    /// An input could not be read.
    InputUnreadable(PathBuf, String),
    /// An output cannot be stored; what is wrong with it, as in "is a FIFO".
    OutputUnstorable(PathBuf, String),
    /// The command used the network.
    Network(String),
    /// It talked to another process through this socket.
    Socket(PathBuf),
    /// It used this device, or memory that others may share.
    Device(PathBuf),
    /// It gave an older file this name as well.
    HardLink(PathBuf),
    /// It wrote here, which is outside the root.
    WrittenOutside(PathBuf),
    /// It executed this program, which has other rights than its caller.
    Privileged(PathBuf),
    /// It asked for the inode of this, or for a time that nobody can set.
    Identity(PathBuf),
    /// It left extended attributes at this, or took some away: they are not stored.
    Attributes(PathBuf),
    /// It executed this program, which tells of the machine what no key holds.
    Machine(PathBuf),
    /// It compiled this, which tells when it was last changed (`__TIMESTAMP__`).
    OwnAge(PathBuf),
    /// It changed this before what was there could be kept.
    NoImage(PathBuf),
    /// No command can be watched here; why.
    Unwatchable(String),
    /// It may have done something else than it does unwatched; why.
    Disturbed(String),
    /// It did something at which it could not be watched; what.
    Unwatched(String),
    /// A path that would be stored tells of an argument that `--redact-arg` hides.
    RedactedTold,
    /// The result tells in which private folder it was made.
    PrivateFolderTold,
    /// A defect of fleche itself.
    Internal,
}

impl Reason {
    /// A short word for counting; never changes once released.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::NoCall => "no-call",
            Reason::Expired => "expired",
            Reason::Damaged(_) => "damaged",
            Reason::NotRestored(_) => "not-restored",
            Reason::Refresh => "refresh",
            Reason::Off => "off",
            Reason::ReadOnly => "read-only",
            Reason::Undeclared => "undeclared",
            Reason::StoreUnusable(_) => "store-unusable",
            Reason::StdinUnknown => "stdin-unknown",
            Reason::StdinUnreadable(_) => "stdin-unreadable",
            Reason::StdinRead => "stdin-read",
            Reason::StdinTooLarge(_) => "stdin-too-large",
            Reason::StdoutUnwritable => "stdout-unwritable",
            Reason::ArgumentMissing(_) => "argument-missing",
            Reason::VariableMissing(_) => "variable-missing",
            Reason::DescriptorOpen(..) => "descriptor-open",
            Reason::DescriptorUsed(_) => "descriptor-used",
            Reason::Exit(_) => "exit",
            Reason::Signal(_) => "signal",
            Reason::NotStarted => "not-started",
            Reason::CutShort(_) => "cut-short",
            Reason::LeftBehind => "left-behind",
            Reason::OutputShared(_) => "output-shared",
            Reason::OwnOutput(_) => "own-output",
            Reason::TooLarge(_) => "too-large",
            Reason::InputChanged(_) => "input-changed",
            Reason::InputStream(_) => "input-stream",
            Reason::InputUnreadable(..) => "input-unreadable",
            Reason::OutputUnstorable(..) => "output-unstorable",
            Reason::Network(_) => "network",
            Reason::Socket(_) => "socket",
            Reason::Device(_) => "device",
            Reason::HardLink(_) => "hard-link",
            Reason::WrittenOutside(_) => "written-outside",
            Reason::Privileged(_) => "privileged",
            Reason::Identity(_) => "identity",
            Reason::Attributes(_) => "attributes",
            Reason::Machine(_) => "machine",
            Reason::OwnAge(_) => "own-age",
            Reason::NoImage(_) => "no-image",
            Reason::Unwatchable(_) => "unwatchable",
            Reason::Disturbed(_) => "disturbed",
            Reason::Unwatched(_) => "unwatched",
            Reason::RedactedTold => "redacted-told",
            Reason::PrivateFolderTold => "private-folder-told",
            Reason::Internal => "internal",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoCall => f.write_str("no call is stored for this state"),
            Reason::Expired => f.write_str("the stored call is too old"),
            Reason::Damaged(what) => write!(f, "the stored call is damaged: {what}"),
            Reason::NotRestored(what) => write!(f, "its outputs cannot be restored: {what}"),
            Reason::Refresh => f.write_str("asked to run again"),
            Reason::Off => f.write_str("caching is off"),
            Reason::ReadOnly => f.write_str("the cache is read-only"),
            Reason::Undeclared => f.write_str("its inputs are not declared"),
            Reason::StoreUnusable(why) => write!(f, "the cache cannot be used: {why}"),
            Reason::StdinUnknown => f.write_str("standard input may be input"),
            Reason::StdinUnreadable(why) => write!(f, "standard input cannot be kept: {why}"),
            Reason::StdinRead => f.write_str("it read standard input, which did not count"),
            Reason::StdinTooLarge(most) => write!(f, "standard input has more than {most} bytes"),
            Reason::StdoutUnwritable => f.write_str("standard output takes nothing"),
            Reason::ArgumentMissing(glob) => write!(f, "no argument matches `{glob}`"),
            Reason::VariableMissing(name) => write!(f, "variable `{name}` is not set"),
            Reason::DescriptorOpen(number, what) => {
                write!(f, "descriptor {number} is {what}, which a replay cannot serve")
            }
            Reason::DescriptorUsed(number) => write!(f, "the file at descriptor {number} was read or written"),
            Reason::Exit(code) => write!(f, "it exited with {code}"),
            Reason::Signal(signal) => write!(f, "it was ended by signal {signal}"),
            Reason::NotStarted => f.write_str("it could not be started"),
            Reason::CutShort(why) => write!(f, "its output was cut short: {why}"),
            Reason::LeftBehind => f.write_str("a process that it left behind may still write"),
            Reason::OutputShared(why) => write!(f, "its output is not its own alone: {why}"),
            Reason::OwnOutput(path) => write!(f, "it looks into `{}`, which its output goes to", path.display()),
            Reason::TooLarge(most) => write!(f, "it made more than {most} bytes"),
            Reason::InputChanged(path) => write!(f, "input `{}` changed while it ran", path.display()),
            Reason::InputStream(path) => write!(f, "input `{}` is a FIFO or a device", path.display()),
            Reason::InputUnreadable(path, why) => write!(f, "input `{}` cannot be read: {why}", path.display()),
            Reason::OutputUnstorable(path, why) => write!(f, "output `{}` {why}", path.display()),
            Reason::Network(how) => write!(f, "it used the network: {how}"),
            Reason::Socket(path) => write!(f, "it talked to another process through `{}`", path.display()),
            Reason::Device(path) => write!(f, "it used `{}`, which others share", path.display()),
            Reason::HardLink(path) => write!(f, "it gave an older file the name `{}` as well", path.display()),
            Reason::WrittenOutside(path) => write!(f, "it wrote `{}`, which is outside the root", path.display()),
            Reason::Privileged(path) => write!(f, "it executed `{}`, which has rights of its own", path.display()),
            Reason::Identity(path) => {
                write!(f, "it asked for the inode of `{}`, or when that was changed or read at last", path.display())
            }
            Reason::Attributes(path) => {
                write!(f, "it left extended attributes at `{}`, which are not stored", path.display())
            }
            Reason::Machine(path) => write!(f, "it executed `{}`, which tells of the machine", path.display()),
            Reason::OwnAge(path) => write!(f, "it compiled `{}`, which tells its own age", path.display()),
            Reason::NoImage(path) => write!(f, "it changed `{}` before that could be read", path.display()),
            Reason::Unwatchable(why) => write!(f, "commands cannot be watched here: {why}"),
            Reason::Disturbed(why) => write!(f, "it may do something else while it is watched: {why}"),
            Reason::Unwatched(what) => write!(f, "it cannot be watched: {what}"),
            Reason::RedactedTold => f.write_str("a path that would be stored tells of a redacted argument"),
            Reason::PrivateFolderTold => f.write_str("its result tells of the private folder that it was made in"),
            Reason::Internal => f.write_str("an internal error of fleche"),
        }
    }
}
