//! `fleche expand`: whole digests for short ones.

use crate::world::World;

/// A world with the calls `echo one` and `echo two`, and their keys.
fn world() -> (World, [String; 2]) {
    let world = World::new();
    let keys = ["one", "two"].map(|word| {
        world.fleche(["run", "--pure", "--", "echo", word]).prints(&format!("{word}\n"));
        world.fleche(["query", "--latest"]).run().stdout().trim().to_owned()
    });
    (world, keys)
}

#[test]
fn keys_and_values_are_expanded_in_either_case() {
    let (world, [one, two]) = world();
    let value = blake3::hash(b"one\n").to_hex().to_string();
    let words = [&one[..12], &two.to_uppercase()[..9], &value[..12], &one];
    world.fleche(["expand"].iter().copied().chain(words)).prints(&format!("{one}\n{two}\n{value}\n{one}\n"));
}

#[test]
fn without_words_they_are_read_from_standard_input() {
    let (world, [one, two]) = world();
    let lines = format!("key\n{}\n\n  {}  \n", &one[..12], &two[..12]);
    world.fleche(["expand"]).input(lines.clone()).prints(&format!("{one}\n{two}\n"));
    world.fleche(["expand", "-"]).input(lines).prints(&format!("{one}\n{two}\n"));
    world.fleche(["expand"]).prints("");
}

#[test]
fn what_a_table_shows_can_be_expanded() {
    let (world, keys) = world();
    for format in ["table", "markdown"] {
        let text = world.fleche(["table", "--format", format, "--results"]).run().stdout();
        let is_digest = |word: &&str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let shown: Vec<&str> = text.split_whitespace().filter(is_digest).collect();
        assert_eq!(shown.len(), 4, "{text}");
        let expanded = world.fleche(["expand"].iter().chain(&shown)).run();
        assert_eq!((expanded.code(), expanded.stderr()), (0, String::new()));
        assert!(keys.iter().all(|key| expanded.stdout().contains(key.as_str())));
    }
}

#[test]
fn an_ambiguous_prefix_is_answered_with_the_candidates() {
    let world = World::new();
    // Values whose digests begin alike: found by trying.
    let mut seen = std::collections::HashMap::new();
    let (first, second) = (0..)
        .find_map(|number: u32| {
            let text = format!("{number}\n");
            let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
            seen.insert(digest[..4].to_owned(), number).map(|before| (before, number))
        })
        .unwrap();
    for number in [first, second] {
        world.fleche(["run", "--pure", "--", "echo", &number.to_string()]).prints(&format!("{number}\n"));
    }
    let mut digests = [first, second].map(|number| blake3::hash(format!("{number}\n").as_bytes()).to_hex().to_string());
    digests.sort();
    let [a, b] = &digests;
    let needed = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count() + 1;
    let complaint = format!(
        "fleche: `{}` could be value {}, value {}: {needed} characters tell them apart\n",
        &a[..4],
        &a[..12],
        &b[..12]
    );
    world.fleche(["expand", &a[..4]]).ends(2, "", &complaint);
    world.fleche(["expand", &a[..needed], &b[..needed]]).prints(&format!("{a}\n{b}\n"));
}

#[test]
fn what_is_unknown_is_complained_about_and_the_rest_expanded() {
    let (world, [one, _]) = world();
    world.fleche(["expand", "abc", "abcdef012345", &one[..12]]).ends(
        1,
        &format!("{one}\n"),
        "fleche: `abc` is not a digest: 4 to 64 hex characters are\nfleche: nothing is called `abcdef012345`\n",
    );
}
