//! Garbage collection beside the map: exactly what nobody needs goes.

use std::collections::BTreeSet;
use std::fs;

use super::machine::{Machine, NOTHING, Planned, Verdict, ensure};
use super::plain::{Plain, State, bytes_of, command_of, name_of};
use super::step::{Grace, Limit, Side};
use crate::store::{Limits, Plan, Thing};

const HOUR: u64 = 3_600_000_000_000;

/// Without grace.
pub fn limits(limit: Limit) -> Limits {
    let none = Limits { max_size: None, max_age: None, max_entries: None, grace: 0 };
    match limit {
        Limit::None => none,
        Limit::Entries(most) => Limits { max_entries: Some(u64::from(most)), ..none },
        Limit::Bytes(most) => Limits { max_size: Some(u64::from(most)), ..none },
        Limit::Age => Limits { max_age: Some(HOUR), ..none },
    }
}

impl Machine {
    pub(super) fn collect(&mut self, at: Side, limit: Limit, grace: Grace) -> Verdict {
        if limit != Limit::None {
            // What it evicts depends on what the catalogue lists, and what is damaged it may list or not.
            for call in self.caches[at].plain.damaged() {
                let _ = self.store(at).call(&name_of(call));
                self.caches[at].plain.read(call);
            }
        }
        let evicted = self.due(at, limit);
        let grace_time = if grace == Grace::Hour { HOUR } else { 0 };
        let plan = self.store(at).gc_plan(&Limits { grace: grace_time, ..limits(limit) }, NOTHING);
        let plan = plan.map_err(|why| why.to_string())?;
        let planned = calls_of(&plan);
        ensure!(planned == evicted, "{planned:?} are to be evicted, not {evicted:?}");
        self.store(at).collect(&plan, NOTHING).map_err(|why| why.to_string())?;
        let cache = &mut self.caches[at];
        let doubtful: BTreeSet<u8> = cache.plain.damaged();
        cache.notice();
        let maybe_needed: BTreeSet<u8> = doubtful.iter().flat_map(|_| 0..super::step::VALUES).collect();
        let maybe_called: BTreeSet<u8> = doubtful.iter().map(|call| command_of(*call)).collect();
        for call in &evicted {
            cache.plain.evict(*call);
        }
        if grace == Grace::None {
            let (needed, called) = (cache.plain.needed(), cache.plain.called());
            let is_left = |value: &u8| needed.contains(value) || maybe_needed.contains(value);
            let (values, garbage): (Vec<u8>, Vec<u8>) =
                (0..super::step::VALUES).filter(|value| cache.value_file(*value).exists()).partition(is_left);
            ensure!(garbage.is_empty(), "values {garbage:?} are left, which nobody names");
            cache.plain.values.retain(|value, _| needed.contains(value) || values.contains(value));
            let left = (0..super::step::COMMANDS).filter(|command| cache.sets_file(*command).exists());
            let left: BTreeSet<u8> = left.filter(|command| maybe_called.contains(command)).collect();
            cache.plain.sets.retain(|command, _| called.contains(command) || left.contains(command));
        }
        cache.plain.leftovers.clear();
        if doubtful.is_empty() && grace == Grace::None {
            let again = self.store(at).gc_plan(&limits(limit), NOTHING).map_err(|why| why.to_string())?;
            ensure!(again.removals().is_empty(), "after it there is garbage: {:?}", again.removals());
        }
        Ok(())
    }

    /// The calls that go: those that are not pinned, those first that were not used for longest.
    fn due(&self, at: Side, limit: Limit) -> BTreeSet<u8> {
        let cache = &self.caches[at];
        if limit == Limit::None {
            return BTreeSet::new();
        }
        let bytes = |left: &Plain| -> u64 {
            let files = left.calls.keys().map(|call| fs::metadata(cache.call_file(*call)).unwrap().len());
            files.sum::<u64>() + left.needed().iter().map(|value| bytes_of(*value).len() as u64).sum::<u64>()
        };
        let mut left = cache.plain.clone();
        let mut in_order: Vec<u8> =
            left.whole().filter(|(_, kept)| !kept.call.tags.contains_key("pin")).map(|(call, _)| call).collect();
        in_order.sort_by_key(|call| (left.last_used(*call), name_of(*call)));
        let mut gone = BTreeSet::new();
        for call in in_order {
            let is_due = match limit {
                Limit::None => false,
                Limit::Entries(most) => left.calls.len() > usize::from(most),
                Limit::Bytes(most) => bytes(&left) > u64::from(most),
                Limit::Age => left.last_used(call) < i64::MAX / 2,
            };
            if !is_due {
                break;
            }
            left.calls.remove(&call);
            gone.insert(call);
        }
        gone
    }

    pub(super) fn make_plan(&mut self, at: Side, limit: Limit) -> Verdict {
        let plan = self.store(at).gc_plan(&limits(limit), NOTHING).map_err(|why| why.to_string())?;
        self.caches[at].notice();
        self.keep_plan(at, plan);
        Ok(())
    }

    pub(super) fn keep_plan(&mut self, at: Side, plan: Plan) {
        let calls = calls_of(&plan);
        self.caches[at].plan = Some(Planned { plan, calls, used: BTreeSet::new(), rotations: 0 });
    }

    /// Carries out a plan although much has happened since: whatever anybody needs now stays.
    pub(super) fn collect_late(&mut self, at: Side) -> Verdict {
        let Some(Planned { plan, calls, used, rotations }) = self.caches[at].plan.take() else { return Ok(()) };
        let done = self.store(at).collect(&plan, NOTHING);
        let cache = &mut self.caches[at];
        if let Err(why) = done {
            // A plan of a time when the journal had hardly begun is void as soon as it makes room.
            ensure!(rotations > 0, "it cannot be carried out: {why}");
            cache.notice();
            return Ok(());
        }
        let before = cache.plain.clone();
        for (call, kept) in &before.calls {
            let is_left = cache.call_file(*call).exists();
            let may_go = calls.contains(call) && !used.contains(call) && !kept.call.tags.contains_key("pin");
            match kept.state {
                State::Whole => {
                    ensure!(is_left || may_go, "call {call} is gone");
                    ensure!(!is_left || !may_go, "call {call} is left");
                    if !is_left {
                        cache.plain.evict(*call);
                    }
                }
                // Found damaged when it was to be evicted, it is put aside and not evicted.
                State::Damaged if !is_left => drop(cache.plain.calls.remove(call)),
                State::Damaged => {}
            }
        }
        let (needed, called) = (cache.plain.needed(), cache.plain.called());
        let gone: Vec<u8> = before.values.into_keys().filter(|value| !cache.value_file(*value).exists()).collect();
        for value in &gone {
            ensure!(!needed.contains(value), "value {value} is gone, which calls need");
            cache.plain.values.remove(value);
        }
        let gone: Vec<u8> = before.sets.into_keys().filter(|command| !cache.sets_file(*command).exists()).collect();
        for command in &gone {
            let is_damaged = cache.plain.sets.get(command) == Some(&None);
            ensure!(is_damaged || !called.contains(command), "the path sets of command {command} are gone");
            cache.plain.sets.remove(command);
        }
        let folder = cache.folder_of_temporaries();
        cache.plain.leftovers.retain(|name| folder.join(name).exists());
        Ok(())
    }
}

fn calls_of(plan: &Plan) -> BTreeSet<u8> {
    let number = |key| (0..super::step::CALLS).find(|call| name_of(*call) == key);
    let call = |thing: &Thing| if let Thing::Call(key) = thing { number(*key) } else { None };
    plan.removals().iter().filter_map(|removal| call(&removal.thing)).collect()
}
