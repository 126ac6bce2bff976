//! What is asked for, resolved against what is stored.

use crate::error::{Error, Kind, Result};
use crate::model::{Digest, Key, Prefix};
use crate::store::{Catalogue, Condition, Named, PathQuestion, Selection, Store};

/// Which calls are wanted, as somebody asks for it: with prefixes of digests, and with states of inputs, which only the
/// calls themselves hold.
#[derive(Debug, Default)]
pub struct Filter {
    /// What the catalogue answers by itself.
    pub selection: Selection,
    /// Values that must be named.
    pub values: Vec<Prefix>,
    /// Paths at which this value must have been seen.
    pub inputs: Vec<(PathQuestion, Prefix)>,
    /// Whether it has to be exactly one call.
    pub only: bool,
}

impl Filter {
    /// Whether it chooses no calls: an order alone leaves none out, nor does what is passed over or shown once.
    pub fn is_empty(&self) -> bool {
        let Selection { conditions, limit, .. } = &self.selection;
        conditions.is_empty() && limit.is_none() && self.values.is_empty() && self.inputs.is_empty() && !self.only
    }

    /// The selection that it means.
    ///
    /// # Errors
    ///
    /// Where a prefix is ambiguous, where the catalogue cannot be read, and, of kind `No`, where exactly one call is wanted
    /// and there are others or none.
    pub fn resolve(&self, store: &Store, catalogue: &Catalogue) -> Result<Selection> {
        let mut selection = self.selection.clone();
        for prefix in &self.values {
            match value(store, catalogue, prefix)? {
                Some(digest) => selection.conditions.push(Condition::Value(digest)),
                None => selection.conditions.push(Condition::Keys(Vec::new())),
            }
        }
        for (path, prefix) in &self.inputs {
            selection.conditions.push(Condition::Input(path.clone()));
            let keys = calls_that_saw(store, catalogue, &selection, path, prefix)?;
            selection.conditions.pop();
            selection.conditions.push(Condition::Keys(keys));
        }
        if self.only {
            match catalogue.count(&selection)? {
                1 => {}
                0 => return Err(none()),
                many => return Err(Error::no(format!("{many} calls match, not one"))),
            }
        }
        Ok(selection)
    }
}

/// The answer where no call matches.
pub fn none() -> Error {
    Error::no("no call matches")
}

fn value(store: &Store, catalogue: &Catalogue, prefix: &Prefix) -> Result<Option<Digest>> {
    match store.resolve_by(catalogue, prefix) {
        Ok(Named::Value(digest)) => Ok(Some(digest)),
        Ok(Named::Call(_)) => Ok(None),
        Err(error) if error.kind() == Kind::No => Ok(None),
        Err(error) => Err(error),
    }
}

/// The calls of a selection that saw a value at a path. What was seen stands in their files alone: a million calls of
/// hundreds of headers each would make the catalogue larger than all of them.
fn calls_that_saw(
    store: &Store,
    catalogue: &Catalogue,
    selection: &Selection,
    path: &PathQuestion,
    prefix: &Prefix,
) -> Result<Vec<Key>> {
    let everywhere = Selection { conditions: selection.conditions.clone(), ..Selection::default() };
    let saw = |key: &Key| {
        let Ok(Some(call)) = store.call(key) else { return false };
        let at = |seen: &std::path::Path| path.means(seen, &call.root);
        call.observations.iter().any(|seen| at(&seen.path) && seen.state.content().is_some_and(|d| prefix.begins(d)))
    };
    Ok(catalogue.keys(&everywhere)?.into_iter().filter(saw).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Argument, Call, Content, Facet, Grade, Isolation, Observation, Output, OutputKind, State};
    use crate::store::Column;
    use crate::store::testing::{World, call};

    /// Few of each, so that filters find something and leave something out.
    const WORDS: [&str; 4] = ["a", "ab", "b.c", ""];
    const FOLDERS: [&str; 3] = ["/work", "/work/b", "/other"];

    fn word() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&WORDS[..])
    }

    fn digest(number: u8) -> Digest {
        Digest::of(&[number])
    }

    fn observation() -> impl Strategy<Value = Observation> {
        (prop::sample::select(vec!["b.c", "b/b.c", "/other/b.c", "a"]), 0..3u8).prop_map(|(path, number)| Observation {
            path: path.into(),
            facet: Facet::Whole,
            state: if number == 0 { State::Absent } else { State::File { mode: 0o644, digest: digest(number) } },
            stamp: None,
        })
    }

    fn output() -> impl Strategy<Value = Output> {
        (prop::sample::select(vec!["o", "b/o", "/other/o"]), 1..4u8).prop_map(|(path, number)| Output {
            path: path.into(),
            kind: OutputKind::File {
                mode: 0o644,
                content: Content::inline(vec![number]),
                modified: 0,
                dated: false,
                kept: false,
            },
        })
    }

    fn any_call() -> impl Strategy<Value = Call> {
        let words = prop::collection::vec(prop_oneof![4 => word().prop_map(Some), 1 => Just(None)], 1..4);
        let tags = prop::collection::btree_map(word().prop_map(String::from), word().prop_map(String::from), 0..3);
        let folders = (prop::sample::select(&FOLDERS[..]), prop::sample::select(&FOLDERS[..]));
        let seen = prop::collection::vec(observation(), 0..3);
        let made = prop::collection::vec(output(), 0..3);
        (words, tags, folders, (0..3u8, 0..5i64, 0..5u64, any::<bool>()), seen, made).prop_map(
            |(words, tags, (cwd, root), (exit, started, wall, is_pure), observations, outputs)| {
                let mut made = call("x");
                let argument =
                    |word: Option<&str>| word.map_or(Argument::Redacted, |word| Argument::Clear(word.into()));
                made.argv = words.into_iter().map(argument).collect();
                made.tags = tags;
                (made.cwd, made.root) = (cwd.into(), root.into());
                made.outcome.exit = exit;
                made.outcome.outputs = outputs;
                (made.metadata.usage.started, made.metadata.usage.wall) = (started, wall);
                made.grade = if is_pure { Grade::Pure } else { Grade::Declared };
                made.request.isolation = if wall % 2 == 0 { Isolation::Strict } else { Isolation::None };
                made.observations = observations;
                made
            },
        )
    }

    fn path_question() -> impl Strategy<Value = PathQuestion> {
        let typed = prop::sample::select(vec!["b.c", "b/b.c", "/work/b/b.c", "/other/b.c", "o", "/work/o", "/other/o"]);
        (typed, prop::sample::select(&FOLDERS[..])).prop_map(|(typed, here)| PathQuestion {
            given: typed.as_bytes().to_vec(),
            absolute: std::path::Path::new(here).join(typed).as_os_str().as_bytes().to_vec(),
        })
    }

    #[derive(Clone, Debug)]
    enum Asked {
        Plain(Condition),
        Value(u8),
        Input(PathQuestion, u8),
    }

    fn condition() -> impl Strategy<Value = Asked> {
        let glob = || prop::sample::select(vec!["a", "a*", "?", "*", "[ab]*", "x"]).prop_map(String::from);
        let plain = prop_oneof![
            glob().prop_map(Condition::Name),
            (prop::option::of(0..3u32), glob()).prop_map(|(position, glob)| Condition::Argument { position, glob }),
            (word().prop_map(String::from), prop::option::of(word().prop_map(String::from)))
                .prop_map(|(name, value)| Condition::Tag { name, value }),
            prop::sample::select(&FOLDERS[..]).prop_map(|folder| Condition::Cwd(folder.as_bytes().to_vec())),
            (0..3u8).prop_map(Condition::Exit),
            (0..5i64).prop_map(Condition::Since),
            (0..5i64).prop_map(Condition::Until),
            (0..5i64).prop_map(Condition::Longer),
            path_question().prop_map(Condition::Input),
            path_question().prop_map(Condition::Output),
            prop::sample::select(vec!["pure", "declared", "traced", "isolated"])
                .prop_map(|g| Condition::Grade(g.into())),
            (0..3u8).prop_map(|code| Condition::Where(format!("exit >= {code} or walltime * 1e9 >= 4 -- {code}"))),
        ];
        prop_oneof![
            12 => plain.prop_map(Asked::Plain),
            1 => (1..4u8).prop_map(Asked::Value),
            1 => (path_question(), 1..3u8).prop_map(|(path, number)| Asked::Input(path, number)),
        ]
    }

    /// A glob of `*`, `?` and one `[ab]`, matched as one would by hand.
    fn matches(glob: &str, text: &str) -> bool {
        match glob {
            "*" => true,
            "?" => text.chars().count() == 1,
            "a*" => text.starts_with('a'),
            "[ab]*" => text.starts_with(['a', 'b']),
            literal => text == literal,
        }
    }

    fn clear(argument: &Argument) -> Option<&str> {
        match argument {
            Argument::Clear(word) => word.to_str(),
            Argument::Redacted => None,
        }
    }

    fn holds(asked: &Asked, call: &Call) -> bool {
        let path = |text: &[u8]| std::path::Path::new(OsStr::from_bytes(text)).to_owned();
        match asked {
            Asked::Value(number) => call.values().any(|content| content.digest == Digest::of(&[*number])),
            Asked::Input(question, number) => call.observations.iter().any(|seen| {
                (seen.path == path(&question.given) || call.root.join(&seen.path) == path(&question.absolute))
                    && matches!(&seen.state, State::File { digest: found, .. } if *found == digest(*number))
            }),
            Asked::Plain(condition) => match condition {
                Condition::Name(glob) => matches(glob, call.name().to_str().unwrap()),
                Condition::Argument { position, glob } => call.argv.iter().enumerate().any(|(n, argument)| {
                    position.is_none_or(|position| position as usize == n)
                        && clear(argument).is_some_and(|text| matches(glob, text))
                }),
                Condition::Tag { name, value } => {
                    call.tags.get(name).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
                }
                Condition::Cwd(folder) => call.cwd == path(folder),
                Condition::Exit(code) => call.outcome.exit == *code,
                Condition::Since(time) => call.metadata.usage.started >= *time,
                Condition::Until(time) => call.metadata.usage.started < *time,
                Condition::Longer(wall) => call.metadata.usage.wall as i64 >= *wall,
                Condition::Input(question) => call.observations.iter().any(|seen| {
                    seen.path == path(&question.given) || call.root.join(&seen.path) == path(&question.absolute)
                }),
                Condition::Output(question) => call.outcome.outputs.iter().any(|output| {
                    output.path == path(&question.given) || call.root.join(&output.path) == path(&question.absolute)
                }),
                Condition::Grade(grade) => call.grades().split(' ').any(|one| one == grade),
                Condition::Where(text) => {
                    let least: u8 = text["exit >= ".len()..][..1].parse().unwrap();
                    call.outcome.exit >= least || call.metadata.usage.wall >= 4
                }
                Condition::Value(_) | Condition::Keys(_) => unreachable!("not asked here"),
            },
        }
    }

    /// What decides the order by a column, the smallest first.
    fn rank(column: &str, call: &Call) -> (bool, i64, Vec<u8>) {
        let usage = &call.metadata.usage;
        match column {
            "walltime" => (false, -(usage.wall as i64), Vec::new()),
            "exit" => (false, -i64::from(call.outcome.exit), Vec::new()),
            "name" => (false, 0, call.name().as_bytes().to_vec()),
            "tag.a" => (!call.tags.contains_key("a"), 0, call.tags.get("a").cloned().unwrap_or_default().into_bytes()),
            _ => (false, -usage.started, Vec::new()),
        }
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(200))]
        #[test]
        fn a_query_finds_what_a_look_at_every_call_finds(
            calls in prop::collection::vec(any_call(), 0..12),
            asked in prop::collection::vec(condition(), 0..4),
            sort in prop::option::of(prop::sample::select(vec!["walltime", "exit", "name", "tag.a"])),
            (reverse, skip, limit) in (any::<bool>(), 0..3u64, prop::option::of(0..6u64)),
            unique in prop::option::of(prop::sample::select(vec!["exit", "name"])),
        ) {
            let world = World::new();
            let mut stored: Vec<Call> = Vec::new();
            for (number, made) in calls.into_iter().enumerate() {
                let named = call(&number.to_string());
                stored.push(world.record(Call { key: named.key, command: named.command, ..made }));
            }
            let mut filter = Filter::default();
            for asked in &asked {
                match asked {
                    Asked::Plain(condition) => filter.selection.conditions.push(condition.clone()),
                    Asked::Value(number) => filter.values.push(Digest::of(&[*number]).hex()[..16].parse().unwrap()),
                    Asked::Input(path, number) => {
                        filter.inputs.push((path.clone(), digest(*number).hex()[..16].parse().unwrap()));
                    }
                }
            }
            filter.selection = Selection {
                sort: sort.and_then(Column::named), reverse, skip, limit, unique: unique.and_then(Column::named),
                ..filter.selection
            };
            let catalogue = world.store.catalogue().unwrap();
            let selection = filter.resolve(&world.store, &catalogue).unwrap();
            let found = catalogue.keys(&selection).unwrap();

            let mut expected: Vec<&Call> =
                stored.iter().filter(|call| asked.iter().all(|asked| holds(asked, call))).collect();
            // Calls of one rank come in the order in which the catalogue met them, which is not ours to say.
            expected.sort_by_key(|call| rank(sort.unwrap_or("started"), call));
            let all = expected.len();
            if unique.is_none() && !reverse {
                let ranks = |keys: &[Key]| -> Vec<_> {
                    let of = |key: &Key| stored.iter().find(|call| call.key == *key).unwrap();
                    keys.iter().map(|key| rank(sort.unwrap_or("started"), of(key))).collect()
                };
                let expected: Vec<Key> =
                    expected.iter().skip(skip as usize).take(limit.unwrap_or(99) as usize).map(|call| call.key).collect();
                prop_assert_eq!(ranks(&found), ranks(&expected));
            }
            let matching: BTreeSet<Key> = expected.iter().map(|call| call.key).collect();
            prop_assert!(found.iter().all(|key| matching.contains(key)));
            prop_assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
            let kinds = unique.map_or(all, |column| {
                expected.iter().map(|call| rank(column, call)).collect::<BTreeSet<_>>().len()
            });
            let left = kinds.saturating_sub(skip as usize).min(limit.unwrap_or(99) as usize);
            prop_assert_eq!(found.len(), left);
            prop_assert_eq!(catalogue.count(&selection).unwrap(), left as u64);
            let keys = Column::named("key").unwrap();
            let rows = catalogue.rows(&selection, std::slice::from_ref(&keys)).unwrap();
            let of_row = |row: &Vec<crate::model::Fact>| row[0].clone();
            let as_facts: Vec<_> = found.iter().map(|key| crate::model::Fact::Digest(key.0)).collect();
            prop_assert_eq!(rows.iter().map(of_row).collect::<Vec<_>>(), as_facts);
        }

        #[test]
        fn what_shrink_gives_expand_takes_over_calls_and_values_together(
            heads in prop::collection::vec((0..3u8, 0..3u8, 0..3u8, any::<u8>()), 1..12)
        ) {
            let world = World::new();
            let mut named = Vec::new();
            for (number, (a, b, c, tail)) in heads.iter().enumerate() {
                // Keys that share as much as can be; values lie where their bytes put them.
                let mut bytes = [0; 32];
                bytes[..4].copy_from_slice(&[*a, *b, *c, *tail]);
                let mut made = call(&number.to_string());
                made.key = Key(Digest(bytes));
                made.outcome.stdout = Some(Content::inline(vec![*tail, *a]));
                let made = world.record(made);
                named.extend([Named::Call(made.key), Named::Value(made.outcome.stdout.unwrap().digest)]);
            }
            named.push(Named::Value(world.keep(&[7; 100_000]).digest));
            let catalogue = world.store.catalogue().unwrap();
            for one in named {
                let short = world.store.shortest(&catalogue, &one).unwrap();
                prop_assert_eq!(world.store.resolve(&short).unwrap().digest(), one.digest());
                prop_assert!(short.as_str().len() < 64 && one.digest().hex().starts_with(short.as_str()));
                if short.as_str().len() > Prefix::SHORTEST {
                    let shorter = short.as_str()[..short.as_str().len() - 1].parse().unwrap();
                    prop_assert!(world.store.resolve(&shorter).is_err(), "{:?} is longer than needed", short);
                }
            }
        }
    }

    #[test]
    fn what_people_are_shown_is_long_enough() {
        let world = World::new();
        let mut keys = [[0xab; 32]; 2];
        keys[1][7] = 0xac;
        for key in keys {
            world.record(Call { key: Key(Digest(key)), ..call("a") });
        }
        let catalogue = world.store.catalogue().unwrap();
        let column = Column::named("key").unwrap().shortened();
        for row in catalogue.rows(&Selection::default(), &[column]).unwrap() {
            let crate::model::Fact::Short(digest, length) = row[0] else { panic!("{row:?}") };
            assert_eq!(length, 16);
            let shown = digest.shortened(length).parse().unwrap();
            assert_eq!(world.store.resolve(&shown).unwrap(), Named::Call(Key(digest)));
        }
    }
}
