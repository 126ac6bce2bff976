//! Moving calls from one cache to another: what of a record only its own cache can tell, and what goes with it.

use crate::key;
use crate::model::{Call, Digest, Key, Reason};
use crate::store::{Copied, Durability, Existing, Parcel, Store};

use super::again::Recorded;

/// Parts whose values it takes to run a command again.
const NEEDED: [&str; 2] = [key::STREAMS, key::STDIN];
/// The variable that a shell sets to the working directory.
const PWD: &str = "env.PWD";

/// What becomes of a call that is given to another cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transferred {
    /// It is there now.
    Copied,
    /// One of its key was there and stayed.
    Present,
}

/// Gives a call, with its values, to another store; it survives a power cut there when this returns.
///
/// # Errors
///
/// [`Reason::NoCall`] where `from` has none; [`Reason::Damaged`] where it lacks a value; what keeps `to` from being written.
pub fn transfer(key: &Key, from: &Store, to: &Store, existing: Existing) -> Result<Transferred, Reason> {
    let parcel = packed(from.call(key)?.ok_or(Reason::NoCall)?, from)?;
    let settled = settled(parcel, to)?;
    Ok(match to.copy(&settled.call, from, existing, Durability::Synced)? {
        Copied::Anew => Transferred::Copied,
        Copied::Present => Transferred::Present,
    })
}

/// A call of `store` as it can be sent elsewhere: with the name of the secret that hides its environment, and with what can
/// be told without it.
///
/// # Errors
///
/// Where the store's secret cannot be read.
pub fn packed(call: Call, store: &Store) -> Result<Parcel, Reason> {
    let path_set = store.members().find_map(|member| member.path_set_of(&call)).map(|set| set.observations);
    // One that has no secret has told nothing under it.
    let (told, name) = match (store.secret(), store.secret_name()) {
        (Ok(secret), Ok(name)) => (told(&call, &secret), name),
        (Err(Reason::ReadOnly), _) | (_, Err(Reason::ReadOnly)) => (Vec::new(), Digest([0; 32])),
        (Err(reason), _) | (_, Err(reason)) => return Err(reason),
    };
    // What it takes to run it again is under this secret in any case.
    let sealed_by = call.sealed_by.or(Some(name));
    Ok(Parcel { call: Call { sealed_by, ..call }, path_set, told })
}

/// What it takes to run the command of a call again, by the names of its parts.
fn told(call: &Call, secret: &[u8; 32]) -> Vec<(String, String)> {
    let Ok(recorded) = Recorded::of(call, secret) else { return Vec::new() };
    let [streams, stdin] = NEEDED.map(str::to_owned);
    let mut told = vec![
        (streams, key::streams_name(recorded.streams).to_owned()),
        (stdin, key::stdin_name(&recorded.stdin).to_owned()),
    ];
    let cwd = call.cwd.to_str().unwrap_or_default();
    let pwd = call.variables.iter().find(|variable| variable.name == "PWD");
    if pwd.is_some_and(|pwd| pwd.digest == Digest::under(secret, cwd.as_bytes())) {
        told.push((PWD.to_owned(), cwd.to_owned()));
    }
    told
}

/// The same as `store` keeps it: what was told is hidden under its secret, and of one that comes home it is known again what
/// counted.
///
/// # Errors
///
/// Where the store's secret cannot be read or made.
pub fn settled(parcel: Parcel, store: &Store) -> Result<Parcel, Reason> {
    let Parcel { mut call, path_set, told } = parcel;
    if call.sealed_by == Some(store.secret_name()?) {
        call.sealed_by = None;
    }
    // That it was made here, a file or a store only says.
    call.taken_over = true;
    let secret = store.secret()?;
    for (name, value) in &told {
        let digest = Digest::under(&secret, value.as_bytes());
        call.parts.iter_mut().filter(|(part, _)| part == name).for_each(|(_, own)| *own = digest);
        if name == PWD {
            call.variables.iter_mut().filter(|own| own.name == "PWD").for_each(|own| own.digest = digest);
        }
    }
    Ok(Parcel { call, path_set, told })
}
