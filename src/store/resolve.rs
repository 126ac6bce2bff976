//! What the beginning of a digest names: calls and values share one name space.

use rustix::fs::FileType;

use super::folder::value_name;
use super::{Catalogue, Store};
use crate::error::Error;
use crate::model::{Content, Digest, Key, Prefix};

/// Candidates that a message lists.
const SHOWN: usize = 5;

/// What a digest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// A call.
    Call(Key),
    /// A value, inline or not.
    Value(Digest),
}

impl Named {
    /// The whole digest.
    pub fn digest(&self) -> Digest {
        match self {
            Named::Call(key) => key.0,
            Named::Value(digest) => *digest,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Named::Call(_) => "call",
            Named::Value(_) => "value",
        }
    }
}

impl Store {
    /// The one call or value whose digest begins with `prefix`. A whole digest that names a file needs no catalogue.
    ///
    /// # Errors
    ///
    /// Of kind `No` where nothing is called so, of kind `Usage` where several things are (the candidates are named,
    /// and how many characters tell them apart), of kind `Failure` where the catalogue cannot be read.
    pub fn resolve(&self, prefix: &Prefix) -> Result<Named, Error> {
        if let Ok(digest) = prefix.as_str().parse()
            && let Some(named) = self.file_named(&digest)
        {
            return Ok(named);
        }
        self.resolve_by(&self.catalogue()?, prefix)
    }

    /// The same by a catalogue that is open already.
    ///
    /// # Errors
    ///
    /// As [`Store::resolve`].
    pub fn resolve_by(&self, catalogue: &Catalogue, prefix: &Prefix) -> Result<Named, Error> {
        let mut candidates: Vec<_> = catalogue.calls_with_prefix(prefix)?.into_iter().map(Named::Call).collect();
        candidates.extend(catalogue.values_with_prefix(prefix)?.into_iter().map(Named::Value));
        if candidates.is_empty() {
            // What no call names must not make ambiguous what a table showed a moment ago.
            candidates.extend(self.value_files_with_prefix(prefix)?.into_iter().map(Named::Value));
        }
        candidates.sort_by_key(Named::digest);
        candidates.dedup();
        match candidates[..] {
            [] => Err(Error::no(format!("nothing is called `{}`", prefix.as_str()))),
            [one] => Ok(one),
            _ => Err(ambiguous(prefix, &candidates)),
        }
    }

    /// The shortest prefix that [`Store::resolve`] understands as this digest.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn shortest(&self, catalogue: &Catalogue, named: &Named) -> Result<Prefix, Error> {
        let digest = named.digest();
        let mut others = catalogue.neighbours(&digest)?;
        let is_unnamed = matches!(named, Named::Value(_)) && !catalogue.names_value(&digest)?;
        if is_unnamed {
            let shard = digest
                .hex()
                .get(..Prefix::SHORTEST)
                .unwrap_or_default()
                .parse()
                .map_err(|why: String| Error::failure(why))?;
            others.extend(self.value_files_with_prefix(&shard)?);
        }
        let shared = others.iter().filter(|other| **other != digest).map(|other| digest.shared_characters(other)).max();
        let length = shared.map_or(Prefix::SHORTEST, |most| (most + 1).max(Prefix::SHORTEST));
        digest.hex()[..length.min(64)].parse().map_err(|why: String| Error::failure(why))
    }

    /// The reference to a value of which only the digest is known; `None` where the store has no such value.
    ///
    /// # Errors
    ///
    /// Where the catalogue, which knows the inline ones, cannot be read.
    pub fn content(&self, digest: &Digest) -> Result<Option<Content>, Error> {
        if let Some(length) = self.value_file_length(digest) {
            return Ok(Some(Content { digest: *digest, length, inline: None }));
        }
        if *digest == Digest::of(b"") {
            return Ok(Some(Content::inline(Vec::new())));
        }
        for key in self.catalogue()?.calls_with_value(digest)? {
            // A call that is gone or damaged does not help; another may.
            if let Ok(Some(call)) = self.call(&key)
                && let Some(content) = call.values().find(|content| content.digest == *digest)
            {
                return Ok(Some(content.clone()));
            }
        }
        Ok(None)
    }

    fn file_named(&self, digest: &Digest) -> Option<Named> {
        let key = Key(*digest);
        if self.members().any(|member| member.has_call_file(&key)) {
            return Some(Named::Call(key));
        }
        self.value_file_length(digest).map(|_| Named::Value(*digest))
    }

    fn value_file_length(&self, digest: &Digest) -> Option<u64> {
        self.members().find_map(|member| member.own_length(digest))
    }

    /// How long the file of a value is in this very store; `None` where it has none.
    pub(super) fn own_length(&self, digest: &Digest) -> Option<u64> {
        let stat = self.folder.stat(&value_name(digest)).ok().flatten()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(stat.st_size as u64)
    }

    /// Values that no call names, or whose call is not yet in the catalogue.
    fn value_files_with_prefix(&self, prefix: &Prefix) -> Result<Vec<Digest>, Error> {
        let (shard, rest) = prefix.as_str().split_at(2);
        let mut found = Vec::new();
        for member in self.members() {
            let names = member.folder.names(&format!("values/{shard}"));
            let names = names.map_err(|error| Error::failure("cannot list the values").because(error))?;
            let beginning = names.into_iter().filter(|name| name.starts_with(rest.as_bytes()));
            let whole = |name| format!("{shard}{}", String::from_utf8(name).ok()?).parse::<Digest>().ok();
            found.extend(beginning.filter_map(whole));
        }
        Ok(found)
    }
}

fn ambiguous(prefix: &Prefix, candidates: &[Named]) -> Error {
    let name = |named: &Named| format!("{} {}", named.kind(), named.digest().short());
    let mut shown: Vec<_> = candidates.iter().take(SHOWN).map(name).collect();
    if candidates.len() > SHOWN {
        shown.push(format!("{} more", candidates.len() - SHOWN));
    }
    Error::usage(format!(
        "`{}` could be {}: {} characters tell them apart",
        prefix.as_str(),
        shown.join(", "),
        characters_needed(candidates)
    ))
}

/// How long a prefix must be to name one of `candidates`, which are sorted.
fn characters_needed(candidates: &[Named]) -> usize {
    let shared = |pair: &[Named]| pair[0].digest().shared_characters(&pair[1].digest());
    candidates.windows(2).map(shared).max().map_or(Prefix::SHORTEST, |most| (most + 1).max(Prefix::SHORTEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::store::testing::{World, call};

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_names_a_call_an_inline_value_or_a_value_file() {
        let world = World::new();
        let mut stored = call("a");
        stored.outcome.stderr = Some(Content::inline(Vec::new()));
        let stored = world.record(stored);
        let inline = stored.outcome.stdout.as_ref().unwrap().digest;
        let large = world.keep(&[1; 100_000]).digest;
        for (digest, named) in [
            (stored.key.0, Named::Call(stored.key)),
            (inline, Named::Value(inline)),
            (large, Named::Value(large)),
            (Digest::of(b""), Named::Value(Digest::of(b""))),
        ] {
            for length in [4, 5, 12, 63, 64] {
                assert_eq!(world.store.resolve(&prefix(&digest.hex()[..length])).unwrap(), named);
                assert_eq!(world.store.resolve(&prefix(&digest.hex()[..length].to_uppercase())).unwrap(), named);
            }
        }
    }

    #[test]
    fn a_whole_digest_of_a_file_needs_no_catalogue() {
        let world = World::new();
        let stored = world.record(call("a"));
        world.store.resolve(&prefix(&stored.key.0.hex())).unwrap();
        assert!(!world.store.folder().join("index.sqlite").exists());
    }

    #[test]
    fn an_unknown_prefix_is_a_no() {
        let world = World::new();
        let error = world.store.resolve(&prefix("abcd")).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::No, "nothing is called `abcd`"));
    }

    #[test]
    fn an_ambiguous_prefix_names_the_candidates_and_the_characters_needed() {
        let world = World::new();
        let mut keys = [[0xab; 32], [0xab; 32]];
        keys[1][2] = 0xac;
        for key in keys {
            world.record(crate::model::Call { key: Key(Digest(key)), ..call("a") });
        }
        let error = world.store.resolve(&prefix("abab")).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert_eq!(
            error.to_string(),
            "`abab` could be call abababababab, call ababacababab: 6 characters tell them apart"
        );
        assert_eq!(world.store.resolve(&prefix("ababac")).unwrap(), Named::Call(Key(Digest(keys[1]))));
    }

    #[test]
    fn the_content_of_a_digest_is_found_inline_or_not() {
        let world = World::new();
        let stored = world.record(call("a"));
        let inline = stored.outcome.stdout.unwrap();
        assert_eq!(world.store.content(&inline.digest).unwrap(), Some(inline));
        let large = world.keep(&[1; 100_000]);
        assert_eq!(world.store.content(&large.digest).unwrap(), Some(large));
        assert_eq!(world.store.content(&Digest::of(b"nothing")).unwrap(), None);
    }
}
