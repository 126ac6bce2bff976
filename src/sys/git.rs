//! Which commit and branch a folder is at, read from `.git` without starting git.
//!
//! The files are those of gitrepository-layout(5). A repository with reftables has no refs that can be
//! read so; nothing is said about it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// No file of one line that is read here is longer, in bytes.
const LONGEST: u64 = 64 << 10;
/// References to references beyond this are a loop.
const DEEPEST: usize = 5;

/// The commit that is checked out in the folder `cwd` or one above, and the branch, if it is on one.
///
/// `None` outside of a repository, in one without a commit, and wherever its files say something unknown.
pub fn head(cwd: &Path) -> Option<(String, Option<String>)> {
    let folder = cwd.ancestors().find_map(repository)?;
    let text = line(&folder.join("HEAD")).ok()?;
    let Some(name) = reference(&text) else { return Some((commit(&text)?, None)) };
    let common = match line(&folder.join("commondir")) {
        Ok(text) => folder.join(path(&text)),
        Err(_) => folder.clone(),
    };
    let branch = name.strip_prefix(b"refs/heads/").map(|branch| String::from_utf8_lossy(branch).into_owned());
    Some((resolve(&folder, &common, name.to_vec())?, branch))
}

/// The folder that `.git` is or names.
fn repository(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    let kind = fs::metadata(&git).ok()?;
    if kind.is_dir() {
        return git.join("HEAD").exists().then_some(git);
    }
    let text = line(&git).ok()?;
    Some(folder.join(path(text.strip_prefix(b"gitdir: ")?)))
}

/// The commit of a reference: its file in the work tree's or the common folder, else its packed line.
fn resolve(folder: &Path, common: &Path, mut name: Vec<u8>) -> Option<String> {
    for _ in 0..DEEPEST {
        let file = path(&name).to_owned();
        let Ok(text) = line(&folder.join(&file)).or_else(|_| line(&common.join(&file))) else {
            return packed(common, &name);
        };
        match reference(&text) {
            Some(next) => name = next.to_vec(),
            None => return commit(&text),
        }
    }
    None
}

fn packed(common: &Path, name: &[u8]) -> Option<String> {
    let lines = BufReader::new(File::open(common.join("packed-refs")).ok()?).split(b'\n');
    lines.map_while(io::Result::ok).find_map(|line| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        (&line[space + 1..] == name).then(|| commit(&line[..space]))?
    })
}

/// What `ref: NAME` names, unless the name leads elsewhere than below the folder of references.
fn reference(text: &[u8]) -> Option<&[u8]> {
    let name = text.strip_prefix(b"ref: ")?;
    let is_plain = path(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    is_plain.then_some(name)
}

fn commit(text: &[u8]) -> Option<String> {
    let is_digest = matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit);
    is_digest.then(|| String::from_utf8_lossy(text).into_owned())
}

fn path(text: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(text))
}

/// The first line of a regular file.
fn line(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(LONGEST)).read_until(b'\n', &mut line)?;
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";
    const OTHER: &str = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";

    struct World(tempfile::TempDir);

    impl World {
        fn new(files: &[(&str, &str)]) -> World {
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in files {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            World(folder)
        }

        fn head(&self, below: &str) -> Option<(String, Option<String>)> {
            let folder = self.0.path().join(below);
            fs::create_dir_all(&folder).unwrap();
            head(&folder)
        }
    }

    fn on(commit: &str, branch: &str) -> Option<(String, Option<String>)> {
        Some((commit.to_owned(), Some(branch.to_owned())))
    }

    #[test]
    fn a_branch_is_a_file() {
        let world =
            World::new(&[(".git/HEAD", "ref: refs/heads/a/b\n"), (".git/refs/heads/a/b", &format!("{COMMIT}\n"))]);
        assert_eq!(world.head("deep/er"), on(COMMIT, "a/b"));
    }

    #[test]
    fn a_branch_is_a_packed_line() {
        let packed =
            format!("# pack-refs with: peeled\n{OTHER} refs/heads/main2\n{COMMIT} refs/heads/main\n^{OTHER}\n");
        let world = World::new(&[(".git/HEAD", "ref: refs/heads/main\n"), (".git/packed-refs", &packed)]);
        assert_eq!(world.head(""), on(COMMIT, "main"));
    }

    #[test]
    fn a_detached_head_has_no_branch() {
        let world = World::new(&[(".git/HEAD", &format!("{COMMIT}\n"))]);
        assert_eq!(world.head(""), Some((COMMIT.to_owned(), None)));
    }

    #[test]
    fn a_work_tree_shares_the_branches() {
        let world = World::new(&[
            ("main/.git/HEAD", "ref: refs/heads/main\n"),
            ("main/.git/refs/heads/side", COMMIT),
            ("main/.git/worktrees/side/HEAD", "ref: refs/heads/side\n"),
            ("main/.git/worktrees/side/commondir", "../..\n"),
            ("side/.git", "gitdir: ../main/.git/worktrees/side\n"),
        ]);
        assert_eq!(world.head("side/src"), on(COMMIT, "side"));
    }

    #[test]
    fn a_repository_without_a_commit_says_nothing() {
        let world = World::new(&[(".git/HEAD", "ref: refs/heads/main\n")]);
        assert_eq!(world.head(""), None);
    }

    #[test]
    fn references_lead_nowhere_else_and_end() {
        let world = World::new(&[(".git/HEAD", "ref: ../secret\n"), ("secret", COMMIT)]);
        assert_eq!(world.head(""), None);
        let world = World::new(&[(".git/HEAD", "ref: refs/heads/a\n"), (".git/refs/heads/a", "ref: refs/heads/a\n")]);
        assert_eq!(world.head(""), None);
    }
}
