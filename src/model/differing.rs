//! What tells two calls apart, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Digest};

/// The names of the parts and inputs in which two calls of one store differ: what only one of them has, and what
/// has another value. Without the values, which are not recorded.
pub fn differing(one: &Call, other: &Call) -> Vec<String> {
    let mut names = differing_parts(&one.parts, &other.parts);
    let seen = |call: &Call| -> BTreeMap<_, _> {
        call.observations.iter().map(|seen| (seen.path.clone(), seen.state.clone())).collect()
    };
    let (one, other) = (seen(one), seen(other));
    let paths: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let changed = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    names.extend(changed.map(|path| format!("input {}", path.display())));
    names
}

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
