//! Keys of an older format made anew.
//!
//! A key cannot be made anew from a record, which holds only digests of what counted. So the command is recognised again
//! where it was recorded, and what counts now is held against these digests. Where all of it is the same the call gets the
//! key that the command has now; its observations are taken from the record, so that it answers for the state in which it
//! was made. Whatever cannot be proven is left as it is.

use crate::key;
use crate::model::{Call, Command, Digest, Grade, Key, Part, PathSet, Reason};
use crate::store::Store;

use super::lookup::{Binding, Keys};
use super::proof::proven;

/// Parts that say how the others are coded.
const VERSIONS: [&str; 2] = [key::FORMAT_PART, key::VOLATILE];

/// What becomes of a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Redigest {
    /// Its key is of the present format.
    Present,
    /// It gets this key.
    Renamed(Key),
    /// It stays as it is: why.
    Left(String),
}

/// Whether calls are given their keys, or only told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// They are.
    Done,
    /// `--dry-run`.
    Planned,
}

/// Makes the keys of these calls anew where they are of an older format, and hands what becomes of each to `tell`. How many
/// of how many calls were looked at, `progress` hears.
///
/// # Errors
///
/// Where the store cannot be read or written at all.
pub fn redigest(
    store: &Store,
    keys: &[Key],
    deed: Deed,
    progress: &dyn Fn(u64, u64),
    tell: &mut dyn FnMut(&Key, &Redigest),
) -> Result<(), Reason> {
    let secret = store.secret()?;
    let mut former = Vec::new();
    for (done, name) in keys.iter().enumerate() {
        progress(done as u64, keys.len() as u64);
        let Ok(Some(call)) = store.call(name) else {
            tell(name, &Redigest::Left("it cannot be read".to_owned()));
            continue;
        };
        let becomes = match renamed(&call, store, &secret) {
            Ok(None) => Redigest::Present,
            Ok(Some(renamed)) if deed == Deed::Planned => Redigest::Renamed(renamed.key),
            Ok(Some(renamed)) => match carry_over(store, name, &renamed) {
                Ok(()) => {
                    former.push((*name, renamed.key));
                    Redigest::Renamed(renamed.key)
                }
                Err(reason) => Redigest::Left(reason.to_string()),
            },
            Err(why) => Redigest::Left(why),
        };
        tell(name, &becomes);
    }
    progress(keys.len() as u64, keys.len() as u64);
    if former.is_empty() {
        return Ok(());
    }
    // The catalogue learns of the new keys while it still knows the hits of the former ones. It can be made again, so what
    // ails it is no reason to keep these.
    drop(store.catalogue());
    former.iter().try_for_each(|(former, now)| store.let_go(former, now))
}

/// Stores a call under its new key. One that is there already was made in the present format and stays, with the tags of
/// both.
fn carry_over(store: &Store, former: &Key, renamed: &Call) -> Result<(), Reason> {
    let is_needed = !renamed.request.outputs.is_empty()
        || renamed.grade == Grade::Traced
        || key::is_worth_remembering(&renamed.observations);
    let path_set = || PathSet { key: renamed.key, observations: renamed.observations.clone() };
    store.rename(former, renamed, is_needed.then(path_set))
}

/// The call with the key that it has in the present format; `None` where it has that already.
fn renamed(call: &Call, store: &Store, secret: &[u8; 32]) -> Result<Option<Call>, String> {
    let format = recorded_number(call, secret, key::FORMAT_PART, key::FORMAT);
    if format == Some(key::FORMAT) {
        return Ok(None);
    }
    let format =
        format.filter(|format| *format >= key::TRUSTED_FROM).ok_or("its format is not known, or not trusted")?;
    let command = proven(call, store, secret, &VERSIONS)?.command;
    let binding = binding(call, &command, format, secret)?;
    let parts = command.sealed_parts(secret);
    let key = Keys::new(&command, &call.observations).of(binding);
    let bound = binding == Binding::Root;
    Ok(Some(Call { key, command: command.digest, parts, bound, ..call.clone() }))
}

/// The number up to `most` that a part of a call holds.
fn recorded_number(call: &Call, secret: &[u8; 32], name: &str, most: u32) -> Option<u32> {
    let recorded = call.parts.iter().find(|(part, _)| part == name)?.1;
    (0..=most).rev().find(|number| Digest::under(secret, number.to_string().as_bytes()) == recorded)
}

/// In which checkouts the call may be replayed.
///
/// Where the former key can be made from the present parts it tells; and where it should be, but cannot, something is
/// wrong with the record. Where it cannot be, because the coding was another, the closer binding is the safe one.
fn binding(call: &Call, command: &Command, format: u32, secret: &[u8; 32]) -> Result<Binding, String> {
    let volatile = recorded_number(call, secret, key::VOLATILE, key::volatile::VERSION).unwrap_or_default();
    let mut former = command.clone();
    for part in &mut former.parts {
        let number = match part.name.as_str() {
            key::FORMAT_PART => format,
            key::VOLATILE => volatile,
            _ => continue,
        };
        part.value = number.to_string().into_bytes();
    }
    former.digest = Part::digest(&former.parts);
    if former.digest == call.command {
        let keys = Keys::of_former_format(&former, &call.observations);
        let found =
            [Binding::Free, Binding::Name, Binding::Root].into_iter().find(|binding| keys.of(*binding) == call.key);
        return found.ok_or_else(|| "its key is not that of its record".to_owned());
    }
    Ok(match (command.project, call.bound) {
        (false, _) => Binding::Free,
        (true, true) => Binding::Root,
        (true, false) => Binding::Name,
    })
}
