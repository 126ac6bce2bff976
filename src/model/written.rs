//! Sizes and tags, as people write them.

use crate::error::{Error, Result};

/// Bytes in a text such as `10MiB`, `2GB`, `500k` or `1024`.
pub fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("a size is a number and a unit, such as 10MiB or 2GB".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "a size is a number and a unit, such as 10MiB or 2GB".to_owned())
}

/// Whether a glob is none that its compilation gives up at, which would be a defect and not an error: longer ones, and
/// deeper ones, than anybody writes by hand.
pub fn is_compilable_glob(text: &str) -> bool {
    const LONGEST: usize = 4096;
    const DEEPEST: usize = 64;
    text.len() <= LONGEST && text.bytes().filter(|byte| *byte == b'{').count() <= DEEPEST
}

/// The two sides of `NAME=VALUE`.
pub fn parse_tag(word: &str) -> Result<(String, String)> {
    match word.split_once('=') {
        Some((name, value)) if is_tag_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::usage(format!("`{word}` is not a tag")).hint("a tag is NAME=VALUE, such as project=alpha")),
    }
}

fn is_tag_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_systems() {
        assert_eq!(parse_size("10MiB"), Ok(10 << 20));
        assert_eq!(parse_size("2GB"), Ok(2_000_000_000));
        assert_eq!(parse_size("500k"), Ok(500 << 10));
        assert_eq!(parse_size("7"), Ok(7));
        assert!(parse_size("x").is_err() && parse_size("1.5G").is_err() && parse_size("99999999999T").is_err());
    }

    #[test]
    fn a_tag_has_a_name_and_a_value() {
        assert_eq!(parse_tag("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(parse_tag("alpha").unwrap_err().to_string(), "`alpha` is not a tag");
        assert!(parse_tag("=b").is_err() && parse_tag("1=b").is_err() && parse_tag("a b=c").is_err());
    }
}
