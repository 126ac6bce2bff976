//! Words for what differs from run to run: keys, digests, durations.

/// Units in which fleche tells durations.
const UNITS: [&str; 5] = ["µs", "ms", "min", "s", "h"];

/// `text` with `<key>` for whole digests, `<short>` for short ones and `<time>` for durations.
pub fn masked(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(unit) = duration(word, after) {
            shown.push_str("<time>");
            rest = &after[1 + unit.len()..];
            continue;
        }
        shown.push_str(match word.len() {
            64 if is_hex(word) => "<key>",
            12 if is_hex(word) => "<short>",
            _ => word,
        });
        let next = after.chars().next().map_or(0, char::len_utf8);
        shown.push_str(&after[..next]);
        rest = &after[next..];
    }
    shown
}

/// Whether `text` is `pattern`, in which `…` stands for any characters but line feeds.
pub fn is_like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('…') {
        None => text == pattern,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let line = rest.find('\n').unwrap_or(rest.len());
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .take_while(|at| *at <= line)
                .any(|at| is_like(&rest[at..], after))
        }),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '.' || c == '_'
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The unit behind `word`, where `word` is a number and `after` a space and a unit.
fn duration(word: &str, after: &str) -> Option<&'static str> {
    let is_number = word.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok();
    let rest = after.strip_prefix(' ').filter(|_| is_number)?;
    let unit = &rest[..rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len())];
    UNITS.into_iter().find(|known| *known == unit)
}

#[test]
fn keys_and_durations_are_masked() {
    let key = "0123456789abcdef".repeat(4);
    assert_eq!(masked(&format!("{key}\n")), "<key>\n");
    assert_eq!(masked("fleche: hit 0123456789ab (saved 12 ms)\n"), "fleche: hit <short> (saved <time>)\n");
    assert_eq!(masked("took 1.5 s, not 3 sheep; é"), "took <time>, not 3 sheep; é");
}

#[test]
fn an_ellipsis_stands_for_a_part_of_a_line() {
    assert!(is_like("hit abc (saved 1 ms)\nx", "hit … (saved …)\nx"));
    assert!(is_like("ab", "ab…"));
    assert!(!is_like("hit abc\ndef)", "hit …)"));
    assert!(!is_like("hit a", "miss …"));
}
