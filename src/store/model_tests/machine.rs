//! Two caches beside two maps: what happens to the ones happens to the others, and they must agree.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::plain::{Bytes, Given, Kept, Plain, State, bytes_of, command_digest, command_of, made, name_of, renamed};
use super::step::{Harm, Limit, Overwrite, Recorded, Renamed, Side, Step, TAGS, Time, Told};
use crate::model::{Call, Content, Digest, PathSet, Reason};
use crate::store::folder::{call_name, paths_name, value_name};
use crate::store::{Durability, Existing, Plan, Progress, Store, Value, journal};

/// What was found wrong.
pub type Verdict = Result<(), String>;

/// Fails a step unless something holds.
macro_rules! ensure {
    ($holds:expr, $($told:tt)*) => {
        if !$holds {
            return Err(format!($($told)*));
        }
    };
}
pub(super) use ensure;

pub(super) const NOTHING: Progress = &|_, _| {};
/// The first of the times that stand for times of use: long ago, so that every replay is later than all of them.
const LONG_AGO: u64 = 1_000_000_000;
/// Stands for the time of the first replay, in the order of which times are compared.
const REPLAYED: i64 = i64::MAX / 2;

/// A cache and what it should hold.
pub struct Cache {
    folder: PathBuf,
    /// Two that have it open, as two processes would.
    stores: [Store; 2],
    pub plain: Plain,
    pub plan: Option<Planned>,
    _place: TempDir,
}

/// A plan of a garbage collection that is carried out later.
pub struct Planned {
    pub plan: Plan,
    /// What it evicts.
    pub calls: BTreeSet<u8>,
    /// What was used since.
    pub used: BTreeSet<u8>,
    /// How often the journal made room since.
    pub rotations: u32,
}

/// Both sides.
pub struct Machine {
    pub caches: [Cache; 2],
    /// Counts what happened: makes times and versions.
    moment: u64,
}

impl Cache {
    fn new() -> Cache {
        let place = place();
        let folder = place.path().join("cache");
        let stores = [Store::open(&folder).unwrap(), Store::open(&folder).unwrap()];
        Cache { folder, stores, plain: Plain::default(), plan: None, _place: place }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn call_file(&self, call: u8) -> PathBuf {
        self.file(&call_name(&name_of(call)))
    }

    pub fn value_file(&self, value: u8) -> PathBuf {
        self.file(&value_name(&Digest::of(&bytes_of(value))))
    }

    pub fn sets_file(&self, command: u8) -> PathBuf {
        self.file(&paths_name(&command_digest(command)))
    }

    pub(super) fn used(&mut self, call: u8) {
        if let Some(plan) = &mut self.plan {
            plan.used.insert(call);
        }
    }

    /// Damage that was noticed by whoever may, but need not, have looked.
    pub(super) fn notice(&mut self) {
        for call in self.plain.damaged() {
            if !self.call_file(call).exists() {
                self.plain.calls.remove(&call);
            }
        }
    }

    /// The journal without its last line, which its writer did not live to write.
    fn forget_last_line(&self) {
        let path = self.file(journal::CURRENT);
        let text = fs::read(&path).unwrap();
        let end = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        File::options().write(true).open(&path).unwrap().set_len(end as u64).unwrap();
    }
}

/// In memory, if that can be: nothing here is about disks.
fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

pub(super) fn set_time(path: &Path, seconds: u64) {
    File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

impl Machine {
    pub fn new() -> Machine {
        Machine { caches: [Cache::new(), Cache::new()], moment: 0 }
    }

    /// A process that has the cache open: not always the same one.
    pub(super) fn store(&self, at: Side) -> &Store {
        &self.caches[at].stores[usize::from(self.moment.is_multiple_of(3))]
    }

    /// Gives a call's file the next time, and says how it compares.
    pub(super) fn dated(&self, at: Side, call: u8) -> i64 {
        set_time(&self.caches[at].call_file(call), LONG_AGO + self.moment);
        self.date()
    }

    /// Lets a moment go by, so that the next call has another time than the last one.
    pub(super) fn go_on(&mut self) {
        self.moment += 1;
    }

    /// How the present compares to other times.
    pub(super) fn date(&self) -> i64 {
        i64::try_from(LONG_AGO + self.moment).unwrap()
    }

    /// Does it to both, and says what is wrong.
    pub fn step(&mut self, step: &Step) -> Verdict {
        self.moment += 1;
        match step {
            Step::Record { at, call, values, tag, how } => self.record(*at, *call, values, *tag, *how)?,
            Step::LookUp { at, call } => self.look_up(*at, *call)?,
            Step::Replay { at, call } => self.replay(*at, *call)?,
            Step::Tag { at, call, name, value, told } => {
                self.tag(*at, *call, TAGS[usize::from(*name)], value.map(|value| value.to_string()), *told)?;
            }
            Step::Evict { at, calls } => self.evict(*at, calls)?,
            Step::Collect { at, limit, grace } => self.collect(*at, *limit, *grace)?,
            Step::Plan { at, limit } => self.make_plan(*at, *limit)?,
            Step::CollectLate { at } => self.collect_late(*at)?,
            Step::HarmCall { at, call, harm } => self.harm_call(*at, *call, *harm)?,
            Step::HarmValue { at, value, harm } => self.harm_value(*at, *value, *harm),
            Step::HarmSets { at, command, harm } => self.harm_sets(*at, *command, *harm),
            Step::HarmCatalogue { at, harm } => self.harm_catalogue(*at, *harm),
            Step::Reindex { at } => {
                self.store(*at).reindex(NOTHING).map_err(|why| why.to_string())?;
                self.caches[*at].notice();
            }
            Step::Rename { at, from, to, how } => self.rename(*at, *from, *to, *how)?,
            Step::Transfer { from, call, overwrite, left } => self.transfer(*from, *call, *overwrite, *left)?,
            Step::Export { from, calls, overwrite } => self.export(*from, calls, *overwrite)?,
            Step::Fold { at, time } => {
                if *time == Time::Passes {
                    self.let_time_pass(*at);
                }
                self.agree(*at)?;
            }
            Step::Rotate { at } => self.rotate(*at)?,
            Step::Leftover { at } => self.leave_something(*at),
        }
        (0..2).try_for_each(|at| self.files_agree(at))
    }

    fn record(&mut self, at: Side, call: u8, values: &BTreeSet<u8>, tag: Option<u8>, how: Recorded) -> Verdict {
        let mut new = made(call, self.moment, values);
        if let Some(tag) = tag {
            new.tags.insert(TAGS[usize::from(tag)].to_owned(), "0".to_owned());
        }
        let store = self.store(at);
        let mut recording = store.recording().map_err(|why| why.to_string())?;
        for value in values {
            let mut spool = store.spool(u64::MAX);
            crate::model::Sink::accept(&mut spool, bytes_of(*value));
            let content = recording.keep(spool.finish().unwrap()).map_err(|why| why.to_string())?;
            ensure!(content.inline.is_none(), "value {value} is small");
        }
        let plan = match how {
            Recorded::AcrossPlan => Some(store.gc_plan(&super::collecting::limits(Limit::Entries(0)), NOTHING)),
            _ => None,
        };
        if how != Recorded::Dropped {
            let durability = if how == Recorded::Synced { Durability::Synced } else { Durability::Buffered };
            let set = PathSet { key: new.key, observations: new.observations.clone() };
            recording.store(&new, durability, Some(set)).map_err(|why| why.to_string())?;
        } else {
            drop(recording);
        }
        values.iter().for_each(|value| self.caches[at].plain.kept(*value));
        if let Some(plan) = plan {
            self.caches[at].notice();
            self.keep_plan(at, plan.map_err(|why| why.to_string())?);
        }
        if how == Recorded::Dropped {
            return Ok(());
        }
        if how == Recorded::Untold {
            self.caches[at].forget_last_line();
        }
        let modified = self.dated(at, call);
        let cache = &mut self.caches[at];
        cache.plain.remember(call);
        let kept = Kept { call: new, values: values.clone(), state: State::Whole, modified };
        cache.plain.calls.insert(call, kept);
        cache.used(call);
        Ok(())
    }

    fn look_up(&mut self, at: Side, call: u8) -> Verdict {
        let was_damaged = self.caches[at].plain.damaged().contains(&call);
        let found = self.store(at).call(&name_of(call));
        let expected = self.caches[at].plain.read(call).map(|kept| (kept.call.clone(), kept.values.clone()));
        match (&found, &expected) {
            (Ok(None), None) if !was_damaged => {}
            (Err(Reason::Damaged(_)), None) if was_damaged => {}
            (Ok(Some(found)), Some((expected, _))) if found == expected => {}
            _ => return Err(format!("call {call} is {found:?}, not {expected:?}")),
        }
        let sets = self.store(at).path_sets(&command_digest(command_of(call)));
        let remembered = self.caches[at].plain.set(command_of(call)).cloned().unwrap_or_default();
        let missing = remembered.iter().find(|call| !sets.keys.contains(&name_of(**call)));
        ensure!(missing.is_none(), "the path sets of call {call} forgot call {missing:?}");
        for value in expected.map(|(_, values)| values).unwrap_or_default() {
            let bytes = bytes_of(value);
            let content = Content { digest: Digest::of(&bytes), length: bytes.len() as u64, inline: None };
            let found = match self.store(at).value(&content) {
                Ok(Value::File { mut file, .. }) => {
                    let mut found = Vec::new();
                    std::io::Read::read_to_end(&mut file, &mut found).unwrap();
                    ensure!(found == bytes, "value {value} has other bytes");
                    true
                }
                Ok(Value::Bytes(found)) => {
                    ensure!(found == bytes, "value {value} has other bytes");
                    true
                }
                Err(_) => false,
            };
            let is_there = self.caches[at].plain.verified(value);
            ensure!(found == is_there, "value {value} is there: {found}, and should be: {is_there}");
        }
        Ok(())
    }

    fn replay(&mut self, at: Side, call: u8) -> Verdict {
        let key = name_of(call);
        let answer = self.store(at).answer(&key).ok().flatten();
        let moment = REPLAYED + i64::try_from(self.moment).unwrap();
        let expected = self.caches[at].plain.read(call).map(|kept| {
            // Its file is touched at most once in five minutes.
            kept.modified = if kept.modified >= REPLAYED { kept.modified } else { moment };
            kept.call.outcome.clone()
        });
        ensure!(answer.as_ref().map(|answer| &answer.outcome) == expected.as_ref(), "call {call} answers {answer:?}");
        if expected.is_some() {
            self.store(at).used(&key, 1, "cc".to_owned());
            let usage = self.caches[at].plain.usage.entry(call).or_default();
            (usage.hits, usage.last) = (usage.hits + 1, moment);
            self.caches[at].used(call);
        }
        Ok(())
    }

    fn tag(&mut self, at: Side, call: u8, name: &str, value: Option<String>, told: Told) -> Verdict {
        let change = |tags: &mut std::collections::BTreeMap<String, String>| match &value {
            Some(value) => drop(tags.insert(name.to_owned(), value.clone())),
            None => drop(tags.remove(name)),
        };
        let done = self.store(at).tag(&name_of(call), change);
        let cache = &mut self.caches[at];
        let was_damaged = cache.plain.damaged().contains(&call);
        let Some(kept) = cache.plain.read(call) else {
            let is_right =
                if was_damaged { matches!(done, Err(Reason::Damaged(_))) } else { done == Err(Reason::NoCall) };
            ensure!(is_right, "call {call}, which is not there, is tagged: {done:?}");
            return Ok(());
        };
        let before = kept.call.tags.clone();
        change(&mut kept.call.tags);
        let is_changed = kept.call.tags != before;
        ensure!(done == Ok(is_changed), "call {call} is tagged: {done:?}, and should be: {is_changed}");
        // Told of before it is written, and where it was there already: somebody may have died who had not told it.
        if is_changed && told == Told::Nobody {
            cache.forget_last_line();
        }
        cache.used(call);
        Ok(())
    }

    fn evict(&mut self, at: Side, calls: &BTreeSet<u8>) -> Verdict {
        let keys: Vec<_> = calls.iter().map(|call| name_of(*call)).collect();
        let mut shown = Vec::new();
        self.store(at).evict(&keys, |key| shown.push(*key)).map_err(|why| why.to_string())?;
        let plain = &mut self.caches[at].plain;
        let expected: Vec<_> = calls.iter().filter(|call| plain.evict(**call)).map(|call| name_of(*call)).collect();
        ensure!(shown == expected, "{shown:?} were evicted, not {expected:?}");
        Ok(())
    }

    fn harm_call(&mut self, at: Side, call: u8, harm: Harm) -> Verdict {
        // What is in the journal of it was read before.
        drop(self.store(at).catalogue().map_err(|why| why.to_string())?);
        let cache = &mut self.caches[at];
        cache.notice();
        // Harmed twice in one place it would be whole again.
        if cache.plain.whole().any(|(number, _)| number == call) {
            match do_harm(&cache.call_file(call), harm) {
                Harm::Gone => drop(cache.plain.calls.remove(&call)),
                _ => cache.plain.calls.get_mut(&call).into_iter().for_each(|kept| kept.state = State::Damaged),
            }
        }
        Ok(())
    }

    fn harm_value(&mut self, at: Side, value: u8, harm: Harm) {
        let cache = &mut self.caches[at];
        let path = cache.value_file(value);
        if let Some(bytes) = cache.plain.values.get_mut(&value) {
            match do_harm(&path, harm) {
                // Harmed twice in one place it may be whole again.
                Harm::Flipped(_) if fs::read(&path).unwrap() == bytes_of(value) => *bytes = Bytes::Whole,
                Harm::Flipped(_) if *bytes != Bytes::Short => *bytes = Bytes::Flipped,
                Harm::Flipped(_) | Harm::Cut(_) => *bytes = Bytes::Short,
                Harm::Gone => drop(cache.plain.values.remove(&value)),
            }
        }
    }

    fn harm_sets(&mut self, at: Side, command: u8, harm: Harm) {
        let cache = &mut self.caches[at];
        if matches!(cache.plain.sets.get(&command), Some(Some(_))) {
            match do_harm(&cache.sets_file(command), harm) {
                Harm::Gone => drop(cache.plain.sets.remove(&command)),
                _ => drop(cache.plain.sets.insert(command, None)),
            }
        }
    }

    fn harm_catalogue(&mut self, at: Side, harm: Harm) {
        let path = self.caches[at].file("index.sqlite");
        match harm {
            // What SQLite reads first.
            Harm::Flipped(at) if path.exists() => {
                let mut bytes = fs::read(&path).unwrap();
                bytes.iter_mut().skip(usize::from(at % 16)).take(1).for_each(|byte| *byte ^= 0x55);
                fs::write(&path, bytes).unwrap();
            }
            Harm::Cut(_) if path.exists() => fs::write(&path, "").unwrap(),
            _ => {
                for end in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(self.caches[at].file(&format!("index.sqlite{end}")));
                }
            }
        }
    }

    fn rename(&mut self, at: Side, from: u8, to: u8, how: Renamed) -> Verdict {
        let found = self.store(at).call(&name_of(from)).ok().flatten();
        let kept = self.caches[at].plain.read(from).cloned();
        ensure!(found.as_ref() == kept.as_ref().map(|kept| &kept.call), "call {from} is {found:?}");
        let Some(kept) = kept.filter(|_| from != to) else { return Ok(()) };
        let new = renamed(&kept.call, to);
        let set = PathSet { key: new.key, observations: new.observations.clone() };
        let done = self.store(at).rename(&name_of(from), &new, Some(set));
        let plain = &mut self.caches[at].plain;
        let has_values =
            kept.values.iter().all(|value| matches!(plain.values.get(value), Some(Bytes::Whole | Bytes::Flipped)));
        let other = plain.damaged().contains(&to);
        let is_possible = has_values && !other;
        ensure!(done.is_ok() == is_possible, "call {from} is renamed to {to}: {done:?}, and should be: {is_possible}");
        if has_values {
            // Looked at before it is known whether anything can be put there.
            plain.set(command_of(to));
            if other {
                plain.read(to);
            }
        }
        if !is_possible {
            return Ok(());
        }
        match plain.read(to).map(|present| present.modified) {
            Some(modified) => {
                plain.add_tags(to, &kept.call.tags);
                plain.read(to).into_iter().for_each(|present| present.modified = modified.max(kept.modified));
            }
            None => {
                plain.remember(to);
                let call = Call { tags: kept.call.tags.clone(), ..new };
                plain.calls.insert(to, Kept { call, ..kept });
            }
        }
        plain.inherit(from, to);
        self.caches[at].used(to);
        if how == Renamed::Whole {
            drop(self.store(at).catalogue().map_err(|why| why.to_string())?);
            self.store(at).let_go(&name_of(from), &name_of(to)).map_err(|why| why.to_string())?;
            let plain = &mut self.caches[at].plain;
            if let Some(former) = plain.calls.remove(&from) {
                plain.add_tags(to, &former.call.tags);
            }
            self.caches[at].notice();
        }
        Ok(())
    }

    fn transfer(&mut self, from: Side, call: u8, overwrite: Overwrite, left: super::step::Left) -> Verdict {
        let (key, to) = (name_of(call), 1 - from);
        let existing = if overwrite == Overwrite::Yes { Existing::Replaced } else { Existing::Kept };
        let could_replay = self.caches[from].plain.could_replay(call);
        // As `fleche transfer` does.
        let taken = |machine: &Machine, existing| {
            let (source, target) = (machine.store(from), machine.store(to));
            let call = source.call(&key).ok().flatten();
            call.map(|call| target.copy(&call, source, existing, Durability::Buffered))
        };
        let done = taken(self, existing);
        let given = self.give(from, call, overwrite);
        let as_expected = match given {
            Given::Copied => matches!(done, Some(Ok(crate::store::Copied::Anew))),
            Given::Present => matches!(done, Some(Ok(crate::store::Copied::Present))),
            Given::Failed => !matches!(done, Some(Ok(_))),
        };
        ensure!(as_expected, "call {call} is transferred: {done:?}, and should be {given:?}");
        if left == super::step::Left::Stays || given == Given::Failed {
            return Ok(());
        }
        let mut is_safe = given == Given::Copied;
        if !is_safe {
            let held = self.store(to).holds(&key);
            let should_be = self.caches[to].plain.holds(call);
            ensure!(held == should_be, "call {call} is held: {held}, and should be: {should_be}");
            is_safe = held;
        }
        if !is_safe {
            let done = taken(self, Existing::Replaced);
            is_safe = self.give(from, call, Overwrite::Yes) == Given::Copied;
            ensure!(is_safe == matches!(done, Some(Ok(_))), "call {call} is transferred again: {done:?}");
        }
        if is_safe {
            self.evict(from, &BTreeSet::from([call]))?;
            ensure!(!could_replay || self.caches[to].plain.could_replay(call), "call {call} was lost on its way");
        }
        Ok(())
    }

    /// What a transfer does to the maps.
    fn give(&mut self, from: Side, call: u8, overwrite: Overwrite) -> Given {
        let modified = self.date();
        let [first, second] = &mut self.caches;
        let (source, target) = if from == 0 { (first, second) } else { (second, first) };
        let given = source.plain.copy_to(&mut target.plain, call, overwrite, modified);
        if given != Given::Failed {
            target.used(call);
        }
        if given == Given::Copied {
            self.dated(1 - from, call);
        }
        given
    }

    /// Every folder of calls that changed gets a time of its own, long ago.
    fn let_time_pass(&mut self, at: Side) {
        for shard in fs::read_dir(self.caches[at].file("calls")).into_iter().flatten().flatten() {
            let modified = shard.metadata().unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
            if modified.as_secs() > LONG_AGO * 6 / 5 {
                set_time(&shard.path(), LONG_AGO + self.moment);
            }
        }
    }

    /// The journal makes room at the next question.
    fn rotate(&mut self, at: Side) -> Verdict {
        let mut journal =
            File::options().append(true).create(true).open(self.caches[at].file(journal::CURRENT)).unwrap();
        let line = [[b'x'; (1 << 20) - 1].as_slice(), b"\n"].concat();
        (0..5).for_each(|_| journal.write_all(&line).unwrap());
        drop(self.store(at).catalogue().map_err(|why| why.to_string())?);
        let size = fs::metadata(self.caches[at].file(journal::CURRENT)).map_or(0, |metadata| metadata.len());
        ensure!(size < 1 << 20, "the journal made no room: {size}");
        let cache = &mut self.caches[at];
        cache.notice();
        cache.plan.iter_mut().for_each(|plan| plan.rotations += 1);
        // How often calls that are gone were used is forgotten then.
        let listed: BTreeSet<u8> = cache.plain.calls.keys().copied().collect();
        cache.plain.usage.retain(|call, _| listed.contains(call));
        Ok(())
    }

    fn leave_something(&mut self, at: Side) {
        let here = crate::sys::temporary::name().into_string().unwrap();
        // No process has a number so high.
        let dead = here.replace(&format!("-{}-", std::process::id()), "-1999999999-");
        fs::create_dir_all(self.caches[at].file("tmp")).unwrap();
        fs::write(self.caches[at].file("tmp").join(&dead), "half").unwrap();
        self.caches[at].plain.leftovers.insert(dead);
    }
}

/// Does it to a file; says what came of it.
fn do_harm(path: &Path, harm: Harm) -> Harm {
    let bytes = fs::read(path).unwrap();
    let place = |part: u8| bytes.len().saturating_sub(1) * usize::from(part) / 255;
    // Not in place: values are written once and are then only to be read.
    fs::remove_file(path).unwrap();
    match harm {
        Harm::Flipped(part) => {
            let mut bytes = bytes.clone();
            if let Some(byte) = bytes.get_mut(place(part)) {
                *byte ^= 0x20;
            }
            fs::write(path, bytes).unwrap();
        }
        Harm::Cut(part) => fs::write(path, &bytes[..place(part)]).unwrap(),
        Harm::Gone => {}
    }
    harm
}
