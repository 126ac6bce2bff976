//! Secrets that can be found again in whatever form they leak.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use memchr::memmem;

/// How every secret begins, so that a glob can name it.
pub const BEGINNING: &str = "hush";

/// A random text that nobody but the command must see.
pub struct Canary {
    /// Where it stands: `env`, `argument`, ...
    pub place: &'static str,
    /// The text.
    pub text: String,
    needles: Vec<(String, Vec<u8>)>,
}

/// Which forms of a secret are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Forms {
    /// Of the text, and what tells whether a guess is right: plain digests of it.
    TextAndDigests,
    /// Of the text alone: of an input's content the digest is what names it.
    Text,
}

impl Canary {
    /// A new one. `words` makes what the command is given of it; a digest of that would tell a guess as well.
    pub fn new(place: &'static str, forms: Forms, words: impl Fn(&str) -> Vec<String>) -> Canary {
        let mut random = [0; 28];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let letter = |byte: &u8| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(*byte & 31)]);
        let text = format!("{BEGINNING}{}", random.iter().map(letter).collect::<String>());
        let mut needles = forms_of(&text);
        if forms == Forms::TextAndDigests {
            let mut words = words(&text);
            words.push(text.clone());
            words.extend(words.clone().iter().map(|word| format!("{word}\n")));
            words.extend(words.clone().iter().map(|word| format!("{word}\0")));
            needles.extend(words.iter().flat_map(|word| digests_of(word)));
        }
        Canary { place, text, needles }
    }

    /// In which forms `bytes` hold it.
    pub fn forms_in(&self, bytes: &[u8]) -> Vec<&str> {
        let is_held = |needle: &&(String, Vec<u8>)| memmem::find(bytes, &needle.1).is_some();
        self.needles.iter().filter(is_held).map(|(form, _)| form.as_str()).collect()
    }

    /// How many forms are looked for.
    pub fn forms(&self) -> usize {
        self.needles.len()
    }
}

/// The text in all encodings that something could choose, whole and in halves.
fn forms_of(text: &str) -> Vec<(String, Vec<u8>)> {
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let reversed: Vec<u8> = text.bytes().rev().collect();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut forms = vec![
        ("as it is".to_owned(), text.as_bytes().to_vec()),
        ("its first half".to_owned(), first.to_vec()),
        ("its second half".to_owned(), second.to_vec()),
        ("upper case".to_owned(), text.to_uppercase().into_bytes()),
        ("reversed".to_owned(), reversed),
        ("UTF-16".to_owned(), wide),
        ("hexadecimal".to_owned(), hex(text.as_bytes()).into_bytes()),
        ("HEXADECIMAL".to_owned(), hex(text.as_bytes()).to_uppercase().into_bytes()),
    ];
    // What stands before it decides which of three ways base64 writes it; what the neighbours reach into is left out.
    forms.extend((0..3).map(|before| {
        let shifted = [&vec![0; before][..], text.as_bytes()].concat();
        let encoded = base64(&shifted);
        let end = shifted.len() / 3 * 4;
        (format!("base64 behind {before}"), encoded.as_bytes()[if before == 0 { 0 } else { 4 }..end].to_vec())
    }));
    forms
}

/// The beginnings of plain digests, raw and as text: half of one would be as good as all of it.
fn digests_of(word: &str) -> Vec<(String, Vec<u8>)> {
    let blake = *blake3::hash(word.as_bytes()).as_bytes();
    let both = [("BLAKE3", hex(&blake)), ("SHA-256", sha256(word))];
    let forms = both.into_iter().flat_map(|(name, text)| {
        let raw: Vec<u8> = (0..8).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
        [(format!("{name} of {word:?}"), text.as_bytes()[..16].to_vec()), (format!("raw {name} of {word:?}"), raw)]
    });
    forms.collect()
}

fn sha256(word: &str) -> String {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum of coreutils");
    child.stdin.take().unwrap().write_all(word.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).map(|at| char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63])).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// Everything below a folder, names and bytes, at one moment.
pub struct Remains(BTreeMap<String, Vec<u8>>);

impl Remains {
    /// What is there now; what vanishes meanwhile is not.
    pub fn of(folder: &Path) -> Remains {
        let mut all = BTreeMap::new();
        for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
            let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let content = match entry.file_type() {
                kind if kind.is_file() => fs::read(entry.path()).unwrap_or_default(),
                kind if kind.is_symlink() => {
                    fs::read_link(entry.path()).map(|target| target.as_os_str().as_bytes().to_vec()).unwrap_or_default()
                }
                _ => Vec::new(),
            };
            all.insert(name, content);
        }
        Remains(all)
    }

    /// One text that was printed.
    pub fn text(name: &str, bytes: Vec<u8>) -> Remains {
        Remains(BTreeMap::from([(name.to_owned(), bytes)]))
    }

    /// Files, and bytes in them.
    pub fn size(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().map(Vec::len).sum())
    }

    /// Whether some name or file holds this.
    pub fn hold(&self, needle: &[u8]) -> bool {
        self.0.iter().any(|(name, bytes)| {
            memmem::find(name.as_bytes(), needle).is_some() || memmem::find(bytes, needle).is_some()
        })
    }

    /// Where this is.
    pub fn places_of(&self, needle: &[u8]) -> String {
        let holds = |(_, bytes): &(&String, &Vec<u8>)| memmem::find(bytes, needle).is_some();
        self.0.iter().filter(holds).map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Where secrets are, and in which form: a line each.
    pub fn leaks(&self, canaries: &[Canary]) -> Vec<String> {
        let mut leaks = Vec::new();
        for canary in canaries {
            for (name, bytes) in &self.0 {
                let forms = canary.forms_in(name.as_bytes()).into_iter().chain(canary.forms_in(bytes));
                leaks.extend(forms.map(|form| format!("the secret of {} in `{name}`, {form}", canary.place)));
            }
        }
        leaks
    }
}

#[test]
fn a_secret_is_found_in_every_form() {
    let canary = Canary::new("a test", Forms::TextAndDigests, |text| vec![format!("NAME={text}")]);
    let world = tempfile::tempdir().unwrap();
    let found = |bytes: &[u8]| {
        fs::write(world.path().join("file"), [b"before ", bytes, b" after"].concat()).unwrap();
        Remains::of(world.path()).leaks(std::slice::from_ref(&canary)).len()
    };
    let text = &canary.text;
    let command = |program: &str, input: String| {
        let line = format!("printf %s '{input}' | {program}");
        Command::new("sh").args(["-c", &line]).output().unwrap().stdout
    };
    assert_eq!(found(b""), 0);
    // Whole, and both of its halves.
    assert_eq!(found(text.as_bytes()), 3);
    for before in ["", "x", "xy"] {
        assert_eq!(found(&command("base64 -w0", format!("{before}{text}x"))), 1, "{before:?}");
    }
    assert_eq!(found(&command("rev", text.clone())), 1);
    assert_eq!(found(&command("od -An -v -tx1 | tr -d ' \\n'", text.clone())), 1);
    assert_eq!(found(&command("sha256sum", format!("NAME={text}"))), 1);
    assert_eq!(found(blake3::hash(format!("{text}\n").as_bytes()).as_bytes()), 1);
    assert_eq!(found(&command("tr a-z A-Z", text.clone())), 1);
    assert_eq!(found(&blake3::keyed_hash(&[7; 32], text.as_bytes()).as_bytes()[..]), 0);
    fs::write(world.path().join("file"), "").unwrap();
    fs::write(world.path().join(format!("named-{text}")), "").unwrap();
    assert_eq!(Remains::of(world.path()).leaks(std::slice::from_ref(&canary)).len(), 3);
}
