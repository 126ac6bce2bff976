//! What fleche talks about: plain data without input or output.
//!
//! The words are those of the design: a [`Command`] is what is asked for, a [`Call`] one recorded
//! run of it, a [`Content`] bytes named by their digest, an [`Observation`] a path and what a
//! command could see there.

mod account;
mod cache;
mod call;
mod codec;
mod command;
mod credentials;
mod difference;
mod differing;
mod digest;
mod event;
mod fact;
mod inventory;
mod isolation;
mod kept;
pub mod manifest;
mod matching;
mod metadata;
mod observation;
mod outcome;
mod path_set;
mod reason;
mod reference;
mod request;
mod sink;
mod trace;
mod trace_codec;
mod unobserved;
mod walked;
mod words;
mod written;

pub use account::{Account, Trail};
pub use cache::{Cache, CacheAccess, CacheLimits, KeySource, MaxSize, Member, Remote, Sharing};
pub use call::{Answer, Argument, Call, Grade, Variable};
pub use codec::{Fields, Malformed, Reader, Room, Writer};
pub use command::{Command, CommandVariable, Part, Program, Stdin, Streams, Watched};
pub use credentials::{Bucket, Container, Credentials, Password, Profile, Proxies, WebIdentity};
pub use difference::{Aspect, Change, Difference, Nearest, Role, Setting, Side, Subject, Uncovered};
pub use differing::differing_parts;
pub use digest::{CommandDigest, Content, Digest, Key, KeyBase, Prefix};
pub use event::{Event, Exchange, Reply};
pub use fact::Fact;
pub use inventory::{Block, Coded, Inventory, Outline, Shelf};
pub use isolation::Isolation;
pub use kept::{Keeper, Kept};
pub use matching::Matching;
pub use metadata::{Metadata, Usage};
pub use observation::{Facet, Observation, Remembered, Stamp, StampMemory, State};
pub use outcome::{Outcome, Output, OutputKind, Stream, Transcript};
pub use path_set::{PathSet, PathSets};
pub use reason::Reason;
pub use reference::{Reference, SCHEME};
pub use request::{
    ArgumentRules, EnvironmentMode, EnvironmentRules, ProgramRule, Request, StdinRule, StdinSource, StoredArgument,
    WatchMode, WatchRules,
};
pub use sink::Sink;
pub use trace::{Glimpse, Listing, Made, Seen, Touch, Trace};
pub use unobserved::{SYSTEM, UNOBSERVED, UNOBSERVED_VERSION};
pub use walked::{Ended, Names, Walked};
pub use words::{command_line, is_harmful, quoted, shell_line};
pub use written::{is_compilable_glob, parse_size, parse_tag};
