//! Looking after a store beyond this machine: what it has, whether it works, and what is too old.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::ControlFlow;

use super::engine::{Body, Engine};
use super::mount::NEW;
use super::object::{self, Kind};
use super::signing::SigningKey;
use super::{Failure, Tier};
use crate::error::Error;
use crate::model::{CacheAccess, Digest, Key};
use crate::sys::clock;

/// What lies somewhere in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// This call, as somebody says who is believed.
    Call(Key),
    /// Something else: it is damaged, or of somebody who is not believed here, but maybe elsewhere.
    Something,
}

/// What goes of what lies in a store for a long time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearance {
    /// Calls of the namespace, and what is remembered of its commands.
    Calls,
    /// Values that lie by themselves as well. They are everybody's: a call of any namespace may name one, and is of no use without.
    CallsAndValues,
}

impl Tier {
    /// Tells `each` what the calls there are named after, until it has heard enough.
    ///
    /// # Errors
    ///
    /// Where they cannot be listed.
    pub fn names(&self, each: &mut dyn FnMut(&Key) -> ControlFlow<()>) -> Result<(), Failure> {
        let prefix = format!("v1/{}/{}/", char::from(Kind::Record as u8), self.remote.namespace);
        self.engine.list(&prefix, &mut |listed| {
            let last = listed.name.rsplit('/').next().unwrap_or_default();
            last.parse().map_or(ControlFlow::Continue(()), |digest| each(&Key(digest)))
        })
    }

    /// What lies under the name of a call.
    ///
    /// # Errors
    ///
    /// Where it cannot be asked.
    pub fn told_at(&self, at: &Key) -> Result<There, Failure> {
        let Some(mut object) = self.ask(&self.object(Kind::Record, &at.0))? else { return Ok(There::Nothing) };
        match object::open(&mut object, &self.expected(Kind::Record, at.0)) {
            Ok(head) => Ok(head.key.map_or(There::Something, There::Call)),
            Err(Failure::Wrong(_)) => Ok(There::Something),
            Err(failure) => Err(failure),
        }
    }

    /// Takes the call away that is named `at`; its larger values, which are everybody's, stay.
    ///
    /// # Errors
    ///
    /// Where that cannot be done.
    pub fn forget(&self, at: &Key) -> Result<(), Failure> {
        self.engine.remove(&self.object(Kind::Record, &at.0))
    }

    /// Takes away what fleche has put there before a time, in nanoseconds since 1970; a value goes a day later. `go` hears of each
    /// before, and says whether it really goes. How many stay because the store does not tell how old they are.
    ///
    /// # Errors
    ///
    /// Where the store cannot tell what it has, or takes nothing away.
    pub fn clear(&self, what: Clearance, before: i64, go: &mut dyn FnMut(&str) -> bool) -> Result<u64, Failure> {
        let namespace = &self.remote.namespace;
        let kinds = [Kind::PathSets, Kind::Record].map(|kind| format!("v1/{}/{namespace}/", char::from(kind as u8)));
        // Some tell of an object twice.
        let mut due: BTreeSet<(usize, String)> = BTreeSet::new();
        // A call that is put there now may need a value that was put there a little earlier.
        let values = (what == Clearance::CallsAndValues).then(|| ("v1/b/", before.saturating_sub(clock::DAY)));
        let kinds = kinds.iter().map(|prefix| (prefix.as_str(), before)).chain(values);
        let mut untold = BTreeSet::new();
        for (order, (prefix, before)) in kinds.enumerate() {
            self.engine.list(prefix, &mut |listed| {
                match listed.put {
                    // Others may keep something there, too.
                    _ if !is_ours(listed.name, prefix) => {}
                    Some(put) if put < before => drop(due.insert((order, listed.name.to_owned()))),
                    Some(_) => {}
                    None => drop(untold.insert(listed.name.to_owned())),
                }
                ControlFlow::Continue(())
            })?;
        }
        due.iter().filter(|(_, name)| go(name)).try_for_each(|(_, name)| self.engine.remove(name))?;
        Ok(untold.len() as u64)
    }

    /// Asks for an object that is not there, and, if objects may be put there, puts one, reads it and takes it away if that is
    /// allowed.
    ///
    /// # Errors
    ///
    /// What fails of that.
    pub fn check(&self) -> Result<(), Error> {
        let told = |doing: &str, failure: Failure| {
            Error::failure(format!("cannot {doing} the cache `{}`", self.name())).because(failure.to_string())
        };
        // Nobody has drawn these before.
        let [missing, content] = [SigningKey::generate()?.0, SigningKey::generate()?.0].map(|key| key.public().0);
        let name = |digits: &[u8; 32]| format!("v1/check/{}/{}", self.remote.namespace, Digest(*digits));
        self.engine.get(&name(&missing)).map_err(|failure| told("ask", failure))?;
        if self.remote.access == CacheAccess::ReadOnly {
            return Ok(());
        }
        // Always the same one: there may be no right to take it away.
        let mine = name(&self.signing_key()?.public().0);
        self.engine.put(&mine, Body::Bytes(&content)).map_err(|failure| told("write", failure))?;
        let mut read = Vec::new();
        if let Some(object) = self.engine.get(&mine).map_err(|failure| told("read", failure))? {
            let wanted = content.len() as u64 + 1;
            object.take(wanted).read_to_end(&mut read).map_err(|why| told("read", Failure::of_reading(why)))?;
        }
        match self.engine.remove(&mine) {
            Ok(()) | Err(Failure::Denied(_) | Failure::Refused(_)) => {}
            Err(failure) => return Err(told("take anything away from", failure)),
        }
        match read == content {
            true => Ok(()),
            false => Err(told("read", Failure::Wrong("what was put there is not what is there".to_owned()))),
        }
    }
}

/// Whether an object is one of fleche's, whole or begun: `prefix`, two digits, and a name that begins with them or is
/// [`NEW`].
fn is_ours(name: &str, prefix: &str) -> bool {
    let Some((shard, name)) = name.strip_prefix(prefix).and_then(|rest| rest.split_once('/')) else { return false };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    match name.strip_prefix(NEW) {
        Some(random) => shard.len() == 2 && random.chars().all(is_plain),
        None => {
            let digits = name.strip_suffix(".zst").unwrap_or(name);
            digits.starts_with(shard) && shard.len() == 2 && digits.parse::<Digest>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_objects_are_names_of_objects() {
        let digits = "ab".repeat(32);
        for name in [format!("ab/{digits}"), format!("ab/{digits}.zst"), "ab/.new-x0Y1z2".to_owned()] {
            assert!(is_ours(&format!("v1/a/main/{name}"), "v1/a/main/"), "{name}");
            assert!(!is_ours(&format!("v1/a/other/{name}"), "v1/a/main/"), "{name}");
        }
        for name in [
            "",
            "README",
            "ab/README",
            "ab/\u{1b}[2J",
            "ab/.new-\u{1b}[2J",
            "ab/.new-x/y",
            &digits,
            &format!("cd/{digits}"),
            &format!("/{digits}"),
            &format!("a/{digits}"),
            &format!("ab/ab/{digits}"),
            &format!("ab/{digits}.zst.zst"),
            &format!("ab/{digits}\n"),
            &format!("ab/{}", digits.to_uppercase()),
        ] {
            assert!(!is_ours(&format!("v1/a/main/{name}"), "v1/a/main/"), "{name:?}");
        }
    }
}
