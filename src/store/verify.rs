//! Checking the files of the store against their names and against each other. Nothing is mended here (`repair` does
//! that), and where the store is read-only nothing is moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::folder::{Opened, value_name};
use super::{Progress, Store, catalogue};
use crate::error::{Error, Result};
use crate::model::{Call, CommandDigest, Content, Digest, Key, Reason};
use crate::sys::hash;

/// How many threads look.
const THREADS: usize = 2;
/// Parts of each kind of file: the first byte of their names.
const PARTS: u64 = 256;
/// The folders that have 256 folders in them.
const SHARDED: [&str; 3] = ["calls", "values", "paths"];
/// Answers that wait to be told.
const WAITING: usize = 16;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which way.
    pub trouble: Trouble,
    /// What it is about.
    pub subject: Subject,
    /// What is known of it.
    pub why: String,
    /// The call that needs it, if one does.
    pub call: Option<Key>,
}

/// In which way something is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its bytes are not what they were.
    Damaged,
    /// It is gone.
    Missing,
    /// It cannot be read, or a newer fleche wrote it.
    Unreadable,
}

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A call's own file.
    Call(Key),
    /// A value, inline or not.
    Value(Digest),
    /// The path sets of a command.
    PathSets(CommandDigest),
    /// The ledger.
    Ledger,
    /// The catalogue.
    Catalogue,
    /// A folder of calls, values or path sets, or the one of them whose names begin with this byte.
    Folder(&'static str, Option<u8>),
}

impl Trouble {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::Damaged => "damaged",
            Trouble::Missing => "missing",
            Trouble::Unreadable => "unreadable",
        }
    }
}

impl Subject {
    /// The word for what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Subject::Call(_) => "call",
            Subject::Value(_) => "value",
            Subject::PathSets(_) => "path sets",
            Subject::Ledger => "ledger",
            Subject::Catalogue => "catalogue",
            Subject::Folder(..) => "folder",
        }
    }

    /// Its name, if there are many of its kind.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Subject::Call(key) => Some(key.0),
            Subject::Value(digest) => Some(*digest),
            Subject::PathSets(command) => Some(command.0),
            Subject::Ledger | Subject::Catalogue | Subject::Folder(..) => None,
        }
    }

    /// The path of a folder below the cache; `None` for what is none.
    pub(super) fn folder(&self) -> Option<String> {
        match self {
            Subject::Folder(kind, None) => Some((*kind).to_owned()),
            Subject::Folder(kind, Some(shard)) => Some(format!("{kind}/{shard:02x}")),
            _ => None,
        }
    }
}

impl Store {
    /// Checks these calls and all values that they name.
    ///
    /// # Errors
    ///
    /// What `report` fails with.
    pub fn verify_calls(
        &self,
        keys: &[Key],
        progress: Progress,
        mut report: impl FnMut(Fault) -> Result<()>,
    ) -> Result<()> {
        let work = |number: u64| Ok(keys.get(number as usize).map_or_else(Vec::new, |key| self.whole_call(key)));
        in_parallel(keys.len() as u64, work, |faults| faults.into_iter().try_for_each(&mut report), progress)
    }

    /// Checks every file: calls, values, also those that no call names, path sets and the ledger.
    ///
    /// # Errors
    ///
    /// Where a folder cannot be listed, and what `report` fails with.
    pub fn verify_all(&self, progress: Progress, mut report: impl FnMut(Fault) -> Result<()>) -> Result<()> {
        let mut tell = |faults: Vec<Fault>| faults.into_iter().try_for_each(&mut report);
        tell(self.misplaced()?)?;
        let calls = |part| self.checked("calls", part, |digest| self.call_faults(&Key(digest)));
        in_parallel(PARTS, calls, &mut tell, &|done, _| progress(done, 3 * PARTS))?;
        let mut damaged = BTreeMap::new();
        let values = |part| self.checked("values", part, |digest| self.value_fault(&digest).into_iter().collect());
        in_parallel(
            PARTS,
            values,
            |faults: Vec<(Digest, Trouble, String)>| {
                damaged.extend(faults.into_iter().map(|(digest, trouble, why)| (digest, (trouble, why))));
                Ok(())
            },
            &|done, _| progress(PARTS + done, 3 * PARTS),
        )?;
        self.whose(&damaged, &mut tell)?;
        let sets = |part| {
            self.checked("paths", part, |digest| {
                let command = CommandDigest(digest);
                let why = self.path_sets_fault(&command);
                why.map(|why| Fault::of(Trouble::Damaged, Subject::PathSets(command), why)).into_iter().collect()
            })
        };
        in_parallel(PARTS, sets, &mut tell, &|done, _| progress(2 * PARTS + done, 3 * PARTS))?;
        tell(match catalogue::ledger_fault(self) {
            Ok(None) => Vec::new(),
            Ok(Some(why)) => vec![Fault::of(Trouble::Damaged, Subject::Ledger, why)],
            Err(why) => vec![Fault::of(Trouble::Unreadable, Subject::Ledger, crate::error::cause(&why))],
        })
    }

    /// Whether the catalogue is whole and lists exactly the calls that there are, once it is up to date. Calls that are
    /// damaged and new to it go to quarantine.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened.
    pub fn verify_catalogue(&self) -> Result<Option<Fault>> {
        let fault = self.catalogue_fault()?;
        Ok(fault.map(|why| Fault::of(Trouble::Damaged, Subject::Catalogue, why)))
    }

    /// What is wrong with all that is named by the digests in a part of a kind of files.
    fn checked<T>(&self, kind: &'static str, part: u64, faults: impl Fn(Digest) -> Vec<T>) -> Result<Vec<T>> {
        let shard = u8::try_from(part).unwrap_or(u8::MAX);
        // It was told, and nothing of the store's is in there.
        if self
            .folder_fault(Subject::Folder(kind, None))?
            .or(self.folder_fault(Subject::Folder(kind, Some(shard)))?)
            .is_some()
        {
            return Ok(Vec::new());
        }
        Ok(self.digests_in(kind, shard)?.into_iter().flat_map(faults).collect())
    }

    /// What is no folder although one belongs there.
    fn misplaced(&self) -> Result<Vec<Fault>> {
        let mut faults = Vec::new();
        for kind in SHARDED {
            match self.folder_fault(Subject::Folder(kind, None))? {
                Some(fault) => faults.push(fault),
                None => {
                    for shard in 0..=u8::MAX {
                        faults.extend(self.folder_fault(Subject::Folder(kind, Some(shard)))?);
                    }
                }
            }
        }
        Ok(faults)
    }

    /// What is wrong with a folder; nothing where there is none.
    pub(super) fn folder_fault(&self, subject: Subject) -> Result<Option<Fault>> {
        let Some(name) = subject.folder() else { return Ok(None) };
        let fault = self.folder.folder_fault(&name);
        let fault =
            fault.map_err(|why| Error::failure(format!("cannot look at `{name}` of the cache")).because(why))?;
        Ok(fault.map(|why| Fault::of(Trouble::Damaged, subject, format!("`{name}`: {why}"))))
    }

    /// What is wrong with a call's own file and with what it says; whether its values are there, not what is in them.
    fn call_faults(&self, key: &Key) -> Vec<Fault> {
        let is_gone = |digest: &Digest| matches!(self.folder.stat(&value_name(digest)), Ok(None));
        self.each_content(key, |content| match &content.inline {
            Some(_) => self.inline_fault(content),
            None => is_gone(&content.digest).then(|| (Trouble::Missing, "it is gone".to_owned())),
        })
    }

    /// The same, and what is wrong with its values.
    fn whole_call(&self, key: &Key) -> Vec<Fault> {
        self.each_content(key, |content| match &content.inline {
            Some(_) => self.inline_fault(content),
            None => match self.value_fault(&content.digest) {
                None if matches!(self.folder.stat(&value_name(&content.digest)), Ok(None)) => {
                    Some((Trouble::Missing, "it is gone".to_owned()))
                }
                fault => fault.map(|(_, trouble, why)| (trouble, why)),
            },
        })
    }

    fn each_content(&self, key: &Key, fault: impl Fn(&Content) -> Option<(Trouble, String)>) -> Vec<Fault> {
        let call = match self.own_call(key) {
            Ok(Some(call)) => call,
            Ok(None) => return Vec::new(),
            Err(Reason::Damaged(why)) => {
                let named = format!("call {}: ", key.0.short());
                let why = why.strip_prefix(&named).unwrap_or(&why).to_owned();
                return vec![Fault::of(Trouble::Damaged, Subject::Call(*key), why)];
            }
            Err(reason) => return vec![Fault::of(Trouble::Unreadable, Subject::Call(*key), reason.to_string())],
        };
        let mut seen = BTreeSet::new();
        let contents = call.values().filter(|content| seen.insert(content.digest));
        let fault = |content: &Content| {
            let (trouble, why) = fault(content)?;
            Some(Fault { trouble, subject: Subject::Value(content.digest), why, call: Some(*key) })
        };
        let faults: Vec<Fault> = contents.filter_map(fault).collect();
        // Somebody may have evicted it meanwhile, and its values after it.
        if faults.is_empty() || self.own_call(key).is_ok_and(|call| call.is_none()) { Vec::new() } else { faults }
    }

    pub(super) fn inline_fault(&self, content: &Content) -> Option<(Trouble, String)> {
        self.own_value(content).err().map(|_| (Trouble::Damaged, "its digest is wrong".to_owned()))
    }

    /// What is wrong with the file of a value; nothing where there is none.
    pub(super) fn value_fault(&self, digest: &Digest) -> Option<(Digest, Trouble, String)> {
        let fault = |trouble, why: String| Some((*digest, trouble, why));
        let unreadable = |why: std::io::Error| fault(Trouble::Unreadable, crate::error::cause(&why));
        let (file, stat) = match self.folder.open(&value_name(digest)) {
            Ok(Opened::Absent) => return None,
            Ok(Opened::Wrong(why)) => return fault(Trouble::Damaged, why),
            Ok(Opened::File(file, stat)) => (file, stat),
            Err(why) => return unreadable(why),
        };
        match hash::of_length(&file, stat.st_size as u64) {
            Ok(Some(its)) if its == *digest => None,
            Ok(_) => fault(Trouble::Damaged, "its digest is wrong".to_owned()),
            Err(why) => unreadable(why),
        }
    }

    /// Tells of damaged values: once for each call that names one, and of those that no call names.
    fn whose(
        &self,
        damaged: &BTreeMap<Digest, (Trouble, String)>,
        tell: &mut impl FnMut(Vec<Fault>) -> Result<()>,
    ) -> Result<()> {
        if damaged.is_empty() {
            return Ok(());
        }
        let fault = |digest: &Digest, call| {
            let (trouble, why) = damaged.get(digest)?;
            Some(Fault { trouble: *trouble, subject: Subject::Value(*digest), why: why.clone(), call })
        };
        let mut unnamed: BTreeSet<Digest> = damaged.keys().copied().collect();
        let named = |part| self.checked("calls", part, |key| self.elsewhere(&Key(key)));
        let take = |names: Vec<(Digest, Key)>| {
            unnamed.retain(|digest| !names.iter().any(|(named, _)| named == digest));
            tell(names.iter().filter_map(|(digest, key)| fault(digest, Some(*key))).collect())
        };
        in_parallel(PARTS, named, take, &|_, _| {})?;
        tell(unnamed.iter().filter_map(|digest| fault(digest, None)).collect())
    }

    /// The values of a call that its own file does not hold.
    fn elsewhere(&self, key: &Key) -> Vec<(Digest, Key)> {
        let names = |call: &Call| -> BTreeSet<Digest> {
            call.values().filter(|content| content.inline.is_none()).map(|content| content.digest).collect()
        };
        let call = self.own_call(key).ok().flatten();
        call.as_ref().map(names).unwrap_or_default().into_iter().map(|digest| (digest, *key)).collect()
    }
}

impl Fault {
    fn of(trouble: Trouble, subject: Subject, why: String) -> Fault {
        Fault { trouble, subject, why, call: None }
    }
}

/// Does all parts of a work, several at a time, and hands their results to `take`, in no order.
fn in_parallel<T: Send>(
    parts: u64,
    work: impl Fn(u64) -> Result<Vec<T>> + Sync,
    mut take: impl FnMut(Vec<T>) -> Result<()>,
    progress: Progress,
) -> Result<()> {
    let next = AtomicU64::new(0);
    let work = &work;
    let next_part = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|part| *part < parts);
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        for _ in 0..THREADS {
            let sender = sender.clone();
            let worker = move || {
                while let Some(part) = next_part() {
                    // Nobody listens once something failed.
                    if sender.send(work(part)).is_err() {
                        return;
                    }
                }
            };
            // Where no thread can be had, those that can do it all.
            let _ = thread::Builder::new().spawn_scoped(scope, worker);
        }
        drop(sender);
        let mut done = 0;
        for result in receiver {
            take(result?)?;
            done += 1;
            progress(done, parts);
        }
        while let Some(part) = next_part() {
            take(work(part)?)?;
        }
        Ok(())
    })
}
