//! The rules of the house: layers, and what only one of them may do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// More lines than this in one file, its tests apart, are a second thing in it.
const LONGEST: usize = 500;

/// A source file, read apart.
struct Source {
    /// Below `src/`.
    path: PathBuf,
    text: String,
    /// As long as `text`, with blanks for comments, the content of literals, and test modules.
    code: String,
    /// What string literals outside tests hold, and where they begin.
    strings: Vec<(usize, String)>,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(source_folder().join(path)).unwrap();
        let (mut code, mut strings) = separated(&text);
        for (begin, end) in test_items(&code) {
            code.replace_range(begin..end, &blank(&text[begin..end]));
            strings.retain(|(at, _)| !(begin..end).contains(at));
        }
        Source { path: path.to_owned(), text, code, strings }
    }

    /// The layer that the file belongs to.
    fn layer(&self) -> String {
        layer_of(&self.path)
    }

    /// `src/file.rs:line`, where `at` is.
    fn place(&self, at: usize) -> String {
        format!("src/{}:{}", self.path.display(), self.text[..at].matches('\n').count() + 1)
    }
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All sources but those that are compiled for tests only.
fn sources() -> Vec<Source> {
    let folder = source_folder();
    let mut paths: Vec<PathBuf> = walkdir::WalkDir::new(&folder)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.strip_prefix(&folder).unwrap().to_owned())
        .collect();
    paths.sort();
    let tests: BTreeSet<PathBuf> = paths.iter().flat_map(|path| test_files(path)).collect();
    paths.retain(|path| !tests.iter().any(|test| path == test || path.starts_with(test.with_extension(""))));
    assert!(paths.len() > 30, "{paths:?}");
    paths.iter().map(|path| Source::read(path)).collect()
}

/// Files that `path` declares as `#[cfg(test)] mod name;`.
fn test_files(path: &Path) -> Vec<PathBuf> {
    let (code, _) = separated(&fs::read_to_string(source_folder().join(path)).unwrap());
    let items = test_items(&code).into_iter().filter_map(|(begin, end)| {
        let item = &code[begin..end];
        let name = item.strip_suffix(';')?.rsplit_once("mod ")?.1.trim().to_owned();
        Some(folder_of_children(path).join(name).with_extension("rs"))
    });
    items.flat_map(|file| [file.with_extension("").join("mod.rs"), file]).collect()
}

/// Where the modules lie that a file declares.
fn folder_of_children(path: &Path) -> PathBuf {
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => path.parent().unwrap().to_owned(),
        _ => path.with_extension(""),
    }
}

fn layer_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// As many bytes as `text`, line feeds kept.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Rust text without comments and the content of literals, which become blanks; and the strings.
fn separated(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + block_comment(rest)
        } else if let Some(length) = string(rest, at.checked_sub(1).map(|before| bytes[before])) {
            strings.push((at, rest[..length].to_owned()));
            at + length
        } else if let Some(length) = character(rest) {
            at + length
        } else {
            let length = rest.chars().next().unwrap().len_utf8();
            code.push_str(if length == 1 { &rest[..1] } else { &"    "[..length] });
            at += length;
            continue;
        };
        code.push_str(&blank(&text[at..end]));
        at = end;
    }
    assert_eq!(code.len(), text.len());
    (code, strings)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let pair = rest.as_bytes().get(at..at + 2).unwrap_or(b"");
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string literal that `rest` begins with, of whatever kind.
fn string(rest: &str, before: Option<u8>) -> Option<usize> {
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
            && (prefix.is_empty() || !before.is_some_and(is_of_word))
    })?;
    let body = &rest[prefix.len()..];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if prefix.ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        let begin = prefix.len() + hashes + 1;
        return Some(begin + rest[begin..].find(&close)? + close.len());
    }
    if hashes > 0 {
        return None;
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    None
}

/// The length of the character literal that `rest` begins with; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    if body.starts_with('\\') {
        return Some(body[2..].find('\'')? + 4);
    }
    let first = body.chars().next()?.len_utf8();
    body[first..].starts_with('\'').then_some(first + 2)
}

/// Where the items begin and end that `#[cfg(test)]` stands before.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    for (begin, _) in code.match_indices("#[cfg(test)]") {
        let rest = &code[begin..];
        let end = rest.find(';').unwrap_or(rest.len()).min(rest.find('{').unwrap_or(rest.len()));
        let end = if rest[end..].starts_with('{') { end + block(&rest[end..]) } else { end + 1 };
        items.push((begin, begin + end));
    }
    items
}

/// The length of the block that `rest` begins with.
fn block(rest: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    rest.len()
}

/// Where `word` stands by itself.
fn words(code: &str, word: &str) -> Vec<usize> {
    let is_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| !is_of_word(code[..*at].chars().next_back()) || !is_of_word(word.chars().next()))
        .filter(|at| !is_of_word(code[at + word.len()..].chars().next()) || !is_of_word(word.chars().next_back()))
        .collect()
}

/// The layers that a file names by a path from the root of the crate, and where.
fn references(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate::", "fleche::"] {
        for at in words(&source.code, root) {
            let rest = &source.code[at + root.len()..];
            found.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    // `super::` that climbs up to the root of the crate.
    let depth = depth_of(&source.path);
    for at in words(&source.code, "super::") {
        if source.code[..at].ends_with("super::") {
            continue;
        }
        let mut rest = &source.code[at..];
        let mut climbed = 0;
        while let Some(higher) = rest.strip_prefix("super::") {
            (climbed, rest) = (climbed + 1, higher);
        }
        if climbed >= depth {
            found.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    found
}

/// How many `super`s lead from a file's module to the root of the crate.
fn depth_of(path: &Path) -> usize {
    match folder_of_children(path).components().count() {
        0 => 1,
        depth => depth,
    }
}

/// The first names of a path or of a group of paths in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    if !rest.starts_with('{') {
        return vec![name(rest)];
    }
    let group = &rest[1..block(rest) - 1];
    let mut depth = 0;
    let mut names = vec![name(group)];
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What each layer may use, by the table of ARCHITECTURE.md.
fn layers() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let table = page.lines().skip_while(|line| !line.starts_with("| module | may use |")).skip(2);
    let mut layers = BTreeMap::new();
    for line in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let used: BTreeSet<String> = cells[1].split_whitespace().map(str::to_owned).collect();
        for module in cells[0].split('`').skip(1).step_by(2) {
            layers.insert(module.trim_end_matches('/').to_owned(), used.clone());
        }
    }
    assert!(layers.len() >= 12, "the table of layers is not found: {layers:?}");
    layers
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Where one of `patterns` stands in a file of which `is_allowed` does not hold.
#[track_caller]
fn nowhere_but(is_allowed: fn(&Source) -> bool, patterns: &[&str]) {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !is_allowed(source)) {
        for pattern in patterns {
            faults.extend(words(&source.code, pattern).iter().map(|at| format!("{}: {pattern}", source.place(*at))));
        }
    }
    none(faults);
}

#[test]
fn layers_use_only_what_the_table_says() {
    let layers = layers();
    let mut faults = Vec::new();
    for source in sources() {
        let layer = source.layer();
        // `error` is the ground that all stand on; the library's root only declares.
        let nothing = BTreeSet::new();
        let allowed = match layer.as_str() {
            "error" => &nothing,
            name => layers.get(name).unwrap_or_else(|| panic!("src/{} is in no layer", source.path.display())),
        };
        for (at, used) in references(&source) {
            let is_layer = layers.contains_key(&used) || used == "error";
            if is_layer && used != layer && !allowed.contains(&used) {
                faults.push(format!("{}: {layer} uses {used}", source.place(at)));
            }
        }
    }
    none(faults);
}

#[test]
fn every_module_is_in_the_table() {
    let layers = layers();
    let modules: BTreeSet<String> = sources().iter().map(Source::layer).filter(|layer| layer != "error").collect();
    let known: BTreeSet<String> = layers.into_keys().collect();
    assert_eq!(modules, known);
}

#[test]
fn only_sys_is_unsafe() {
    nowhere_but(|source| source.layer() == "sys", &["unsafe"]);
}

#[test]
fn every_unsafe_block_says_why_it_is_safe() {
    let mut faults = Vec::new();
    for source in sources() {
        for at in words(&source.code, "unsafe {") {
            let line = source.text[..at].rfind('\n').map_or(0, |end| end + 1);
            let above: Vec<&str> = source.text[..line].lines().rev().take(6).collect();
            if !above.iter().any(|line| line.trim_start().starts_with("// SAFETY:")) {
                faults.push(source.place(at));
            }
        }
    }
    none(faults);
}

#[test]
fn only_sys_calls_the_system_by_libc() {
    nowhere_but(|source| source.layer() == "sys", &["libc::"]);
}

#[test]
fn only_cmd_and_cli_know_clap() {
    nowhere_but(|source| ["cmd", "cli"].contains(&source.layer().as_str()), &["clap"]);
}

#[test]
fn nothing_below_cmd_prints() {
    let macros = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    nowhere_but(|source| ["main", "cli", "cmd"].contains(&source.layer().as_str()), &macros);
    let streams = ["stdout()", "stderr()"];
    let talks = |source: &Source| ["main", "cli", "cmd", "ui", "exec", "sys"].contains(&source.layer().as_str());
    nowhere_but(talks, &streams);
}

#[test]
fn only_sys_knows_the_clock() {
    nowhere_but(|source| source.layer() == "sys", &["SystemTime", "Instant", "clock_gettime"]);
}

#[test]
fn only_exec_and_sys_start_processes() {
    nowhere_but(|source| ["exec", "sys"].contains(&source.layer().as_str()), &["process::Command", "fork()", "execve"]);
}

#[test]
fn only_config_reads_the_environment() {
    let reads = |source: &Source| ["config", "sys"].contains(&source.layer().as_str());
    nowhere_but(reads, &["env::var", "env::var_os", "env::vars", "env::vars_os"]);
}

#[test]
fn only_the_store_writes_sql() {
    let statements = [
        "SELECT ",
        "INSERT INTO ",
        "INSERT OR ",
        "UPDATE ",
        "DELETE FROM ",
        "CREATE TABLE ",
        "CREATE INDEX ",
        "CREATE VIEW ",
        "DROP ",
        "ALTER TABLE ",
        "PRAGMA ",
        "BEGIN IMMEDIATE",
        "ATTACH ",
    ];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.layer() != "store") {
        for (at, string) in &source.strings {
            if statements.iter().any(|statement| string.contains(statement)) {
                faults.push(format!("{}: {string}", source.place(*at)));
            }
        }
        faults.extend(words(&source.code, "rusqlite").iter().map(|at| format!("{}: rusqlite", source.place(*at))));
    }
    none(faults);
}

#[test]
fn nothing_panics_on_purpose() {
    let words = [".unwrap()", ".expect(", ".unwrap_err()", "panic!", "todo!", "unimplemented!", "unreachable!"];
    nowhere_but(|_| false, &words);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    none(sources().iter().filter(|source| !source.text.starts_with("//! ")).map(|source| source.place(0)).collect());
}

#[test]
fn no_file_is_long() {
    let long = |source: &Source| {
        let tests: usize = test_items(&separated(&source.text).0)
            .iter()
            .map(|(begin, end)| source.text[*begin..*end].lines().count())
            .sum();
        let lines = source.text.lines().count() - tests;
        (lines > LONGEST).then(|| format!("src/{}: {lines} lines", source.path.display()))
    };
    none(sources().iter().filter_map(long).collect());
}

#[test]
fn one_file_in_cmd_is_one_subcommand() {
    let command = fleche::cli::command();
    let subcommands: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let paths: Vec<PathBuf> = sources().into_iter().map(|source| source.path).collect();
    for name in subcommands {
        assert!(paths.contains(&Path::new("cmd").join(name).with_extension("rs")), "src/cmd/{name}.rs is missing");
    }
}

#[test]
fn rust_text_is_taken_apart_rightly() {
    let text = "let a = \"x // y\"; // c \"d\"\nlet r = r#\"q\"uo\"#; let c = '\"'; fn f<'a>(x: &'a str) {} /* /* */ z */ b\"\\\"\" '\\''";
    let (code, strings) = separated(text);
    let expected =
        "let a =         ;         \nlet r =          ; let c =    ; fn f<'a>(x: &'a str) {}                         ";
    assert_eq!(code.trim_end(), expected.trim_end());
    let found: Vec<&str> = strings.iter().map(|(_, string)| string.as_str()).collect();
    assert_eq!(found, ["\"x // y\"", "r#\"q\"uo\"#", "b\"\\\"\""]);
}

#[test]
fn paths_and_groups_are_read() {
    assert_eq!(first_names("model::{A, b::C};"), ["model"]);
    assert_eq!(first_names("{cli, model::{A, B}, error::Result,};"), ["cli", "model", "error"]);
    assert_eq!(words("a.unwrap() unwrap", ".unwrap()"), [1]);
    assert_eq!(words("clap::x eclap clap", "clap"), [0, 14]);
    assert_eq!(
        (depth_of(Path::new("cli.rs")), depth_of(Path::new("cmd/mod.rs")), depth_of(Path::new("cmd/run.rs"))),
        (1, 1, 2)
    );
}
