//! Places: where the present command line allows outputs to be.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use globset::{Glob, GlobBuilder, GlobMatcher};

use crate::error::Error;
use crate::model::is_compilable_glob;

/// The root and the places that `-o` names, and whether the command is watched.
///
/// The outputs of a watched command are found, not named: they may be anywhere below the root, and below the folders that
/// `--allow-write` names. The key of such a call holds what was at their paths before, so that a replay need not doubt it.
///
/// A path *of record* is relative to the root where it lies below it, else absolute.
#[derive(Debug)]
pub struct Places {
    root: PathBuf,
    places: Vec<Place>,
    reach: Reach,
}

/// Where outputs may be beside the places.
#[derive(Debug)]
enum Reach {
    /// Nowhere.
    Named,
    /// Below the root.
    Root,
    /// Below the root and below these folders, which are absolute.
    Watched(Vec<PathBuf>),
}

/// One `-o`.
#[derive(Debug)]
pub(super) struct Place {
    /// The path of record: of the thing itself, or of the folder that a glob is matched below
    /// (empty for the root).
    pub path: PathBuf,
    /// How much of it is meant.
    pub extent: Extent,
}

/// How much a `-o` covers.
#[derive(Debug)]
pub(super) enum Extent {
    /// A file or link, or a folder and what is in it.
    Thing,
    /// `DIR/`: a folder; everything in it belongs to the command.
    Owned,
    /// What matches, and what is in folders that match.
    Matching(Box<Pattern>),
}

/// A glob below a folder.
#[derive(Debug)]
pub(super) struct Pattern {
    glob: Glob,
    /// Compiled when something is first matched: a replay rarely has to.
    matcher: OnceLock<GlobMatcher>,
    /// How many folders deep a match can be; `None` with `**`.
    pub depth: Option<usize>,
    /// The path of record that the word would be if it were none: files with such names exist.
    pub literal: PathBuf,
}

impl Places {
    /// The places that `words` (the values of `-o`) name, seen from `cwd`; `root` is `cwd` or a folder
    /// above it. Both are absolute and without links, as `getcwd(3)` gives them. Opens nothing.
    pub fn of(words: &[OsString], cwd: &Path, root: &Path) -> Result<Places, Error> {
        let mut places = Vec::with_capacity(words.len());
        for word in words {
            if let Some(place) = Place::of(word, cwd, root)? {
                places.push(place);
            }
        }
        Ok(Places { root: root.to_owned(), places, reach: Reach::Named })
    }

    /// All that is below `root`, which must be absolute and without links. Opens nothing.
    pub fn below(root: &Path) -> Places {
        Places { root: root.to_owned(), places: Vec::new(), reach: Reach::Root }
    }

    /// Those of a watched command: what [`of`](Places::of) has, all that is below `root`, and the `allowed` folders (absolute
    /// and without links, as the paths of a trace are) with what is below them. Opens nothing.
    pub fn watched(words: &[OsString], allowed: &[PathBuf], cwd: &Path, root: &Path) -> Result<Places, Error> {
        Ok(Places { reach: Reach::Watched(allowed.to_vec()), ..Places::of(words, cwd, root)? })
    }

    /// Whether the command is watched.
    pub fn are_watched(&self) -> bool {
        matches!(self.reach, Reach::Watched(_))
    }

    /// The path of record of what a watched command left at `path` (absolute); `None` where it may leave nothing.
    pub(super) fn of_record(&self, path: &Path) -> Option<PathBuf> {
        match path.strip_prefix(&self.root) {
            Ok(below) => (!below.as_os_str().is_empty()).then(|| below.to_owned()),
            Err(_) => self.holder_of(path).map(|_| path.to_owned()),
        }
    }

    /// The absolute path that `path` of record stands for.
    pub(super) fn real_path(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        !self.are_watched() && self.iter().next().is_none()
    }

    /// Whether one is a glob: there may be something at it of which no record tells.
    pub(super) fn hold_glob(&self) -> bool {
        self.iter().any(|place| matches!(place.extent, Extent::Matching(_)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    /// What stands for each place where others ask who writes there: its absolute path, a glob's as it was written.
    pub fn claimed(&self) -> Vec<PathBuf> {
        let path = |place: &Place| match &place.extent {
            Extent::Thing | Extent::Owned => self.real_path(&place.path),
            Extent::Matching(pattern) => self.real_path(&pattern.literal),
        };
        self.iter().map(path).collect()
    }

    /// Whether a place names `path` (of record) itself, and not only a folder that holds it or a glob that matches it.
    pub(super) fn name_literally(&self, path: &Path) -> bool {
        self.places.iter().any(|place| match &place.extent {
            Extent::Thing | Extent::Owned => place.path == path,
            Extent::Matching(pattern) => pattern.literal == path,
        })
    }

    /// Whether a place names `path` of record, a folder that holds it, or matches it.
    pub fn cover(&self, path: &Path) -> bool {
        self.places.iter().any(|place| place.cover(path))
    }

    /// Whether an output at `path` of record may be the command's: what nobody named was not recorded by an honest run, but
    /// of one that is watched.
    pub(super) fn hold(&self, path: &Path) -> bool {
        match &self.reach {
            Reach::Named => self.cover(path),
            Reach::Root => path.is_relative(),
            Reach::Watched(_) => path.is_relative() || self.holder_of(path).is_some(),
        }
    }

    /// The folder that may be opened as the user named it, to reach `path` (absolute) below it; `None`
    /// where neither a place covers `path` nor a folder in which a watched command may write.
    pub(super) fn holder_of(&self, path: &Path) -> Option<PathBuf> {
        let absolute = self.places.iter().filter(|place| place.path.is_absolute());
        let named = absolute.into_iter().find(|place| place.cover(path)).and_then(Place::holder);
        named.or_else(|| match &self.reach {
            Reach::Named | Reach::Root => None,
            Reach::Watched(allowed) => allowed
                .iter()
                .find(|folder| folder.is_absolute() && path.starts_with(folder))
                .map(|folder| folder.parent().unwrap_or(folder).to_owned()),
        })
    }

    /// What is wrong with a link at `path` (of record) that leads to `target`.
    ///
    /// The text is judged where the link lies, and `..` only at its beginning: behind a name it
    /// could be the parent of wherever another link leads.
    pub(super) fn link_fault(&self, path: &Path, target: &[u8]) -> Option<String> {
        let names = target.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".");
        let ups = names.clone().take_while(|name| *name == b"..").count();
        let text = || Path::new(OsStr::from_bytes(target)).display();
        if target.is_empty() || target.contains(&0) {
            return Some("is a link without a target".into());
        }
        if names.clone().skip(ups).any(|name| name == b"..") {
            return Some(format!("is a link that leads through `..`: `{}`", text()));
        }
        let out = || Some(format!("is a link that leads out of the project: `{}`", text()));
        let is_absolute = target.first() == Some(&b'/');
        if is_absolute && ups > 0 {
            return out();
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        // A link that leaves the root and comes back by its name would lead out of another checkout.
        if !is_absolute && path.is_relative() {
            return if ups > folder.components().count() { out() } else { None };
        }
        let mut leads_to = if is_absolute { PathBuf::from("/") } else { folder.to_owned() };
        (0..ups).for_each(|_| {
            leads_to.pop();
        });
        leads_to.extend(names.skip(ups).map(OsStr::from_bytes));
        if leads_to.starts_with(&self.root) || self.holder_of(&leads_to).is_some() { None } else { out() }
    }
}

impl Place {
    /// Whether it names `path` of record, a folder that holds it, or matches it.
    fn cover(&self, path: &Path) -> bool {
        match &self.extent {
            Extent::Thing | Extent::Owned => path.starts_with(&self.path),
            Extent::Matching(pattern) if path.starts_with(&pattern.literal) => true,
            Extent::Matching(pattern) => {
                path.strip_prefix(&self.path).is_ok_and(|below| below.ancestors().any(|part| pattern.matches(part)))
            }
        }
    }

    /// The folder that may be opened as the user named it; `None` below the root.
    pub(super) fn holder(&self) -> Option<PathBuf> {
        match &self.extent {
            _ if self.path.is_relative() => None,
            Extent::Matching(_) => Some(self.path.clone()),
            Extent::Thing | Extent::Owned => self.path.parent().map(Path::to_owned),
        }
    }
}

impl Pattern {
    /// Whether a path below the place's folder is meant.
    pub fn matches(&self, below: &Path) -> bool {
        !below.as_os_str().is_empty() && self.matcher.get_or_init(|| self.glob.compile_matcher()).is_match(below)
    }
}

impl Place {
    fn of(word: &OsStr, cwd: &Path, root: &Path) -> Result<Option<Place>, Error> {
        let bytes = word.as_bytes();
        if bytes.is_empty() {
            return Err(Error::usage("an output has no name: `-o ''`"));
        }
        if bytes.contains(&0) {
            return Err(Error::usage(format!("output `{}` has a NUL byte in it", word.display())));
        }
        if let Some(meta) = bytes.iter().position(|byte| b"*?[{".contains(byte)) {
            return glob(word, meta, cwd, root).map(Some);
        }
        let path = absolute(bytes, word, cwd)?;
        if path == Path::new("/dev/null") {
            return Ok(None);
        }
        if path == Path::new("/") {
            return Err(Error::usage(format!("output `{}` is the whole file system", word.display())));
        }
        if cwd.starts_with(&path) || root.starts_with(&path) {
            return Err(Error::usage(format!("output `{}` holds the working directory", word.display())));
        }
        let extent = if bytes.ends_with(b"/") { Extent::Owned } else { Extent::Thing };
        Ok(Some(Place { path: of_record(path, root), extent }))
    }
}

/// The place of a word whose byte at `meta` is the first that makes it a glob.
fn glob(word: &OsStr, meta: usize, cwd: &Path, root: &Path) -> Result<Place, Error> {
    let bytes = word.as_bytes();
    if bytes.ends_with(b"/") {
        let error = Error::usage(format!("output `{}` is a glob: only a plain folder can be owned", word.display()));
        return Err(error.hint(format!("-o '{}**'", word.display())));
    }
    let is_not = || format!("output `{}` is not a glob", word.display());
    let (base, rest) =
        bytes.split_at(bytes[..meta].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1));
    let rest = std::str::from_utf8(rest).map_err(|_| Error::usage(is_not()).because("it is not UTF-8"))?;
    let names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    if names.contains(&"..") {
        return Err(Error::usage(is_not()).because("`..` is in it"));
    }
    let glob = GlobBuilder::new(&names.join("/"))
        .literal_separator(true)
        .build()
        .map_err(|why| Error::usage(is_not()).because(why.kind().to_string()))?;
    if !is_compilable_glob(rest) {
        return Err(Error::usage(is_not()).because("it is too long"));
    }
    let is_deep = rest.contains("**") || rest.contains('{');
    let path = of_record(absolute(base, word, cwd)?, root);
    let literal = path.join(names.iter().collect::<PathBuf>());
    let pattern = Pattern { glob, matcher: OnceLock::new(), depth: (!is_deep).then_some(names.len()), literal };
    Ok(Place { path, extent: Extent::Matching(Box::new(pattern)) })
}

/// `bytes`, which begin `word`, as an absolute path of names only.
///
/// `..` is taken where it leaves `cwd` or a folder above it, which are known not to be links. Elsewhere it
/// leads to one place by its text and perhaps to another by the file system.
fn absolute(bytes: &[u8], word: &OsStr, cwd: &Path) -> Result<PathBuf, Error> {
    let mut path = if bytes.starts_with(b"/") { PathBuf::from("/") } else { cwd.to_owned() };
    for name in bytes.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if cwd.starts_with(&path) => {
                path.pop();
            }
            b".." => {
                let message = format!("output `{}` leads through `..`, which may be another folder", word.display());
                return Err(Error::usage(message));
            }
            name => path.push(OsStr::from_bytes(name)),
        }
    }
    Ok(path)
}

fn of_record(path: PathBuf, root: &Path) -> PathBuf {
    match path.strip_prefix(root) {
        Ok(below) => below.to_owned(),
        Err(_) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(words: &[&str]) -> Result<Places, Error> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Places::of(&words, Path::new("/w/project/sub"), Path::new("/w/project"))
    }

    fn path_of(word: &str) -> String {
        let places = places(&[word]).unwrap();
        let place = places.iter().next().unwrap();
        let kind = match &place.extent {
            Extent::Thing => "",
            Extent::Owned => "/",
            Extent::Matching(pattern) => &format!(" {} {:?}", pattern.glob.glob(), pattern.depth),
        };
        format!("{}{kind}", place.path.display())
    }

    #[test]
    fn words_become_paths_of_record() {
        let table = [
            ("a.o", "sub/a.o"),
            ("./a.o", "sub/a.o"),
            ("../out/", "out/"),
            ("x//y/./z", "sub/x/y/z"),
            ("/w/project/b", "b"),
            ("/w/project/sub/../b", "b"),
            ("../../c", "/w/c"),
            ("/tmp/c/", "/tmp/c/"),
            ("*.o", "sub *.o Some(1)"),
            ("./x/a?/./b", "sub/x a?/b Some(2)"),
            ("**/*.o", "sub **/*.o None"),
            ("../gen/{a,b/c}.h", "gen {a,b/c}.h None"),
            ("/*.o", "/ *.o Some(1)"),
            ("/tmp/x/*", "/tmp/x * Some(1)"),
        ];
        for (word, path) in table {
            assert_eq!(path_of(word), path, "{word}");
        }
        assert_eq!(places(&["/dev/null", "//dev/./null"]).unwrap().iter().count(), 0);
    }

    #[test]
    fn words_that_make_no_sense_are_errors_that_name_them() {
        let table = [
            ("", "an output has no name: `-o ''`"),
            ("/", "output `/` is the whole file system"),
            ("../../..", "output `../../..` is the whole file system"),
            (".", "output `.` holds the working directory"),
            ("./", "output `./` holds the working directory"),
            ("..", "output `..` holds the working directory"),
            ("/w/", "output `/w/` holds the working directory"),
            ("a/../b", "output `a/../b` leads through `..`, which may be another folder"),
            ("/tmp/../b", "output `/tmp/../b` leads through `..`, which may be another folder"),
            ("a/../*.o", "output `a/../*.o` leads through `..`, which may be another folder"),
            ("*/../b", "output `*/../b` is not a glob: `..` is in it"),
            ("a[", "output `a[` is not a glob: unclosed character class; missing ']'"),
            ("o*/", "output `o*/` is a glob: only a plain folder can be owned"),
        ];
        for (word, message) in table {
            assert_eq!(places(&[word]).unwrap_err().to_string(), message, "{word}");
        }
        assert_eq!(places(&["o*/"]).unwrap_err().hint_text(), Some("-o 'o*/**'"));
        let word = OsString::from(OsStr::from_bytes(b"\xff*"));
        let error = Places::of(&[word], Path::new("/w"), Path::new("/w")).unwrap_err();
        assert!(error.to_string().ends_with("is not a glob: it is not UTF-8"), "{error}");
    }

    #[test]
    fn absolute_paths_need_a_place_that_covers_them() {
        let places = places(&["/tmp/one", "/tmp/dir/", "/tmp/glob/*.o", "/tmp/odd[1]", "here"]).unwrap();
        let holder = |path: &str| places.holder_of(Path::new(path)).map(|holder| holder.display().to_string());
        assert_eq!(holder("/tmp/one").as_deref(), Some("/tmp"));
        assert_eq!(holder("/tmp/one/below").as_deref(), Some("/tmp"));
        assert_eq!(holder("/tmp/dir/a/b").as_deref(), Some("/tmp"));
        assert_eq!(holder("/tmp/glob/a.o").as_deref(), Some("/tmp/glob"));
        assert_eq!(holder("/tmp/glob/a.o/inside").as_deref(), Some("/tmp/glob"));
        assert_eq!(holder("/tmp/odd[1]").as_deref(), Some("/tmp"));
        for path in ["/tmp/onemore", "/tmp/glob/a.c", "/tmp/glob", "/tmp", "/etc/passwd", "/w/project/sub/here"] {
            assert_eq!(holder(path), None, "{path}");
        }
    }

    #[test]
    fn a_watched_command_may_write_below_the_root_and_where_it_is_allowed() {
        let allowed = ["/tmp/all", "relative", ""].map(PathBuf::from);
        let words = ["/tmp/one".into(), "here".into()];
        let places = Places::watched(&words, &allowed, Path::new("/w/project/sub"), Path::new("/w/project")).unwrap();
        let record = |path: &str| places.of_record(Path::new(path)).map(|record| record.display().to_string());
        for (path, expected) in [
            ("/w/project/a/b", Some("a/b")),
            ("/w/project/sub/here", Some("sub/here")),
            ("/tmp/one", Some("/tmp/one")),
            ("/tmp/all", Some("/tmp/all")),
            ("/tmp/all/a/b", Some("/tmp/all/a/b")),
            ("/w/project", None),
            ("/w/projects/a", None),
            ("/tmp/allow", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(record(path).as_deref(), expected, "{path}");
        }
        assert_eq!(places.holder_of(Path::new("/tmp/all/a/b")).as_deref(), Some(Path::new("/tmp")));
        assert_eq!(places.link_fault(Path::new("l"), b"/tmp/all/x"), None);
        assert!(places.link_fault(Path::new("l"), b"/tmp/x").is_some());
        assert!(places.are_watched() && !places.is_empty());
    }

    #[test]
    fn what_is_claimed_is_absolute_and_as_it_was_written() {
        let claimed = places(&["a.o", "../out/", "/tmp/c", "/tmp/x/*.o", "../*/y"]).unwrap().claimed();
        let expected = ["/w/project/sub/a.o", "/w/project/out", "/tmp/c", "/tmp/x/*.o", "/w/project/*/y"];
        assert_eq!(claimed, expected.map(PathBuf::from));
    }

    #[test]
    fn links_may_not_lead_out() {
        let places = places(&["/tmp/dir/", "/tmp/glob/*"]).unwrap();
        let fault = |path: &str, target: &str| places.link_fault(Path::new(path), target.as_bytes());
        for (path, target) in [
            ("l", "a"),
            ("l", "./a/b"),
            ("l", "."),
            ("a/b/l", "../../c"),
            ("a/b/l", "../.."),
            ("a/b/l", "./.././/../c"),
            ("l", "/w/project/x"),
            ("l", "/tmp/dir/x"),
            ("/tmp/dir/a/l", "../b"),
            ("/tmp/dir/l", "b"),
            ("/tmp/glob/l", "b"),
        ] {
            assert_eq!(fault(path, target), None, "{path} {target}");
        }
        for (path, target) in [
            ("l", ".."),
            ("l", "../project/a"),
            ("a/l", "../../a"),
            ("l", "/etc"),
            ("l", "/w/projects"),
            ("l", "/../w/project"),
            ("l", "a/../b"),
            ("l", ""),
            ("/tmp/dir/l", "../x"),
            ("/tmp/glob/l", "../x"),
            ("l", "/tmp/glob"),
            ("l", "/tmp"),
        ] {
            assert!(fault(path, target).is_some(), "{path} {target}");
        }
        assert_eq!(fault("l", "../x").as_deref(), Some("is a link that leads out of the project: `../x`"));
    }
}
