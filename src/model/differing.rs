//! What tells two commands apart, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::Digest;

/// The names of the parts in which two lists differ, each once.
pub fn differing_parts(one: &[(String, Digest)], other: &[(String, Digest)]) -> Vec<String> {
    // A name can come more than once, as a variable can: its values count in their order.
    let by_name = |parts: &[(String, Digest)]| {
        let mut values: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
        parts.iter().for_each(|(name, digest)| values.entry(name.clone()).or_default().push(*digest));
        values
    };
    let (one, other) = (by_name(one), by_name(other));
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}
