//! A run of fleche in a command that another one watches, on the side of the inner one.
//!
//! Nothing is handed down for it, neither variable nor descriptor: the inner one makes a system call that the outer one's
//! filter stops, and that fails where there is no such filter.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Descriptor0, Network, Vain, Watch};
use crate::model::{Account, Kept, Malformed, Reader, Reason, Touch, Trace, Writer};
use crate::sys::clock;
use crate::sys::message::{self, Verb};
use crate::sys::process::Adoption;

/// Tells that `folder`, which must be absolute, is no business of the command's that this process belongs to; whether
/// somebody watches that. Costs an ordinary process one short system call.
pub fn tell_apart(folder: &Path) -> bool {
    message::tell(Verb::Apart, folder.as_os_str().as_bytes()).is_some()
}

/// Has nothing noted of what this process does itself from now on, until it becomes another program; whether somebody watches
/// it at all. What counts must be told with [`tell`].
pub fn exempt() -> bool {
    message::tell(Verb::Exempt, &[]).is_some()
}

/// Tells what counts of a command that is answered without being run; whether somebody heard it.
///
/// What is told of is looked at before this returns: what was seen earlier may have been something else.
pub fn tell(account: &Account) -> bool {
    message::tell(Verb::Account, &account.encode()).is_some()
}

/// Tells that what was told may not hold after all.
pub fn refuse() {
    message::tell(Verb::Refuse, &[]);
}

/// Leaves it to the outermost run to look after the store in `folder`, which must be absolute; whether somebody heard it.
pub fn leave_due(folder: &Path) -> bool {
    message::tell(Verb::Due, folder.as_os_str().as_bytes()).is_some()
}

/// The folder that the bytes of a message name, without links if it is there.
pub fn folder(bytes: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(bytes));
    path.is_absolute().then(|| path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}

/// What a scope is opened with.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening {
    /// Device and inode of what the command gets as descriptor 0.
    pub input: Option<(u64, u64)>,
    root: Option<PathBuf>,
    kept: Kept,
    apart: Vec<PathBuf>,
}

impl Opening {
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self.input {
            None => writer.number(0),
            Some((device, inode)) => writer.number(1).number(device).number(inode),
        };
        match &self.root {
            None => writer.number(0),
            Some(root) => writer.number(1).bytes(root.as_os_str().as_bytes()),
        };
        self.kept.encode(&mut writer);
        self.apart.iter().fold(&mut writer, |writer, folder| writer.bytes(folder.as_os_str().as_bytes()));
        writer.into_bytes()
    }

    /// Reads what the inner run wrote.
    ///
    /// # Errors
    ///
    /// It is another version.
    pub fn decode(bytes: &[u8]) -> Result<Opening, Malformed> {
        let mut reader = Reader::new(bytes);
        let input = match reader.number()? {
            0 => None,
            1 => Some((reader.number()?, reader.number()?)),
            _ => return Err(Malformed("opening")),
        };
        let root = match reader.number()? {
            0 => None,
            1 => Some(PathBuf::from(OsStr::from_bytes(reader.bytes()?))),
            _ => return Err(Malformed("opening")),
        };
        let kept = Kept::decode(&mut reader)?;
        let mut apart = Vec::new();
        while !reader.is_empty() {
            apart.push(folder(reader.bytes()?).ok_or(Malformed("folder"))?);
        }
        Ok(Opening { input, root, kept, apart })
    }

    /// What to watch for: what else the inner run passes over, it takes out itself.
    pub fn watch(&self) -> Watch {
        Watch {
            root: self.root.clone(),
            apart: self.apart.clone(),
            scratch: Arc::new(|_| false),
            kept: self.kept.clone(),
            network: Network::Refused,
            stdin: Descriptor0::Watched,
            vain: Vain::Break,
        }
    }
}

/// What this process starts is being watched by somebody else's watcher, which notes it apart.
pub struct Scope {
    watch: Watch,
    /// Whether it is not known whether descriptor 0 is used.
    is_deaf: bool,
    adoption: Adoption,
}

impl Scope {
    /// Has whatever this process starts from now on noted, until [`finish`](Scope::finish); `None` where nobody watches it.
    /// `input` is the device and inode of the command's descriptor 0.
    pub fn open(watch: &Watch, input: Option<(u64, u64)>) -> Option<Scope> {
        if !message::is_filtered() {
            return None;
        }
        // Else what its parents leave behind could not be told from the processes of others.
        let adoption = Adoption::begin().ok()?;
        let opening = Opening { input, root: watch.root.clone(), kept: watch.kept.clone(), apart: watch.apart.clone() };
        let hears_input = message::tell(Verb::Scope, &opening.encode())? == 1;
        let is_deaf = watch.stdin == Descriptor0::Watched && !hears_input;
        Some(Scope { watch: watch.clone(), is_deaf, adoption })
    }

    /// What was seen, to be asked when the command has ended and was collected.
    pub fn finish(self) -> Trace {
        let is_left_behind = !self.is_over();
        let collected = collect().unwrap_or_else(|_| Trace { refusals: vec![Reason::Internal], ..Trace::default() });
        let mut trace = of_interest(&self.watch, collected);
        if is_left_behind {
            trace.refusals.push(Reason::LeftBehind);
        }
        if self.is_deaf {
            trace.refusals.push(Reason::StdinUnknown);
        }
        trace
    }

    /// Whether all that was started has ended, or will within a moment.
    fn is_over(&self) -> bool {
        const PAUSES: u32 = 30;
        for _ in 0..PAUSES {
            if !self.adoption.has_children() {
                return true;
            }
            clock::pause(Duration::from_millis(1));
        }
        !self.adoption.has_children()
    }
}

/// A trace without what was said not to count.
fn of_interest(watch: &Watch, mut trace: Trace) -> Trace {
    let Watch { scratch, network, stdin, .. } = watch;
    trace.touched.retain(|path, _| !scratch(path));
    for (path, touch) in &mut trace.touched {
        pass_over(watch, path, touch);
    }
    if *network == Network::Allowed {
        trace.refusals.retain(|refusal| !matches!(refusal, Reason::Network(_)));
    }
    trace.stdin_used &= *stdin == Descriptor0::Watched;
    trace
}

/// Takes names out of a listing as if they had not been looked for.
fn pass_over(watch: &Watch, folder: &Path, touch: &mut Touch) {
    let Some(listing) = &mut touch.listing else { return };
    let without = &mut listing.without;
    listing.entries.retain(|(name, _)| {
        let is_kept = !(watch.scratch)(&folder.join(name));
        if !is_kept {
            without.push(name.clone());
        }
        is_kept
    });
    without.sort_unstable();
}

/// Fetches what was noted since the scope was opened.
fn collect() -> io::Result<Trace> {
    let lost = || io::Error::other("nobody watches any more");
    let length = message::tell(Verb::Collect, &[]).and_then(|length| usize::try_from(length).ok()).ok_or_else(lost)?;
    let mut bytes = vec![0; length];
    match message::ask(Verb::Fetch, &mut bytes) {
        true => Trace::decode(&bytes).map_err(io::Error::other),
        false => Err(lost()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Glimpse, Listing, Made, Seen};

    #[test]
    fn openings_come_through_whole() {
        for input in [None, Some((1, u64::MAX))] {
            let kept = Kept { folder: Some("/c".into()), locks: vec!["/l".into()] };
            let root = input.map(|_| "/r".into());
            let opening = Opening { input, root, kept, apart: vec!["/a".into(), "/b/c".into()] };
            assert_eq!(Opening::decode(&opening.encode()), Ok(opening));
        }
        assert!(Opening::decode(&[2]).is_err() && folder(b"relative").is_none());
    }

    #[test]
    fn what_does_not_count_is_taken_out() {
        let touch = |names: &[&str]| Touch {
            before: Glimpse::Nothing,
            image: None,
            seen: Seen::default(),
            listing: Some(Listing {
                entries: names.iter().map(|name| (name.into(), 0)).collect(),
                without: vec!["own".into()],
            }),
            attributes: None,
            made: Made::default(),
        };
        let watch = Watch {
            root: None,
            apart: Vec::new(),
            scratch: Arc::new(|path| path.ends_with("scratch")),
            kept: Kept::default(),
            network: Network::Allowed,
            stdin: Descriptor0::Unwatched,
            vain: Vain::Break,
        };
        let trace = Trace {
            touched: [("/a".into(), touch(&["b", "scratch"])), ("/a/scratch".into(), touch(&[]))].into(),
            refusals: vec![Reason::Network("inet".into()), Reason::LeftBehind],
            stdin_used: true,
            ..Trace::default()
        };
        let trace = of_interest(&watch, trace);
        assert_eq!((trace.touched.len(), trace.stdin_used, trace.refusals), (1, false, vec![Reason::LeftBehind]));
        let listing = trace.touched[Path::new("/a")].listing.clone().unwrap();
        assert_eq!(listing.entries, [("b".into(), 0)]);
        assert_eq!(listing.without, ["own", "scratch"]);
    }
}
