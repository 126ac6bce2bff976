//! Placing copies of what was observed in a private folder.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::cause;
use crate::key;
use crate::model::{Command, Digest, Observation, Program, State};
use crate::sys::hash;

use super::layout::Layout;
use crate::engine::outputs::{Stored, fill};

/// Links that lead to links are followed so far, as the kernel does.
const MOST_LINKS: usize = 40;

/// What proves that a copy is what was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A look at the original after the run.
    Stamps,
    /// The copy's own bytes.
    Bytes,
}

/// Places what was observed below the folder that is mirrored; what lies elsewhere stays there.
///
/// Modes and modification times are kept, owners, hard links and extended attributes are not. What was there when it was
/// observed and is gone is passed over: the look after the run tells.
///
/// # Errors
///
/// In words: what cannot be placed.
pub fn place(observations: &[Observation], layout: &Layout, trust: Trust) -> Result<(), String> {
    let links = Links::among(observations, layout);
    let mut folders = Vec::new();
    for seen in observations {
        let outer = key::lexical(layout.root(), &seen.path);
        let Some(inner) = layout.inner(&links.straight(&outer)) else { continue };
        let failed = |why: io::Error| match why.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(format!("input `{}` cannot be copied: {}", seen.path.display(), cause(&why))),
        };
        match &seen.state {
            State::Link { .. } if links.has(&outer) => {}
            State::File { digest, .. } => place_file(&outer, &inner, Some(digest), trust).or_else(failed)?,
            State::Folder { .. } => place_folder(&outer, &inner, &mut folders).or_else(failed)?,
            State::Link { behind, .. } => match &**behind {
                State::File { digest, .. } => place_file(&outer, &inner, Some(digest), trust).or_else(failed)?,
                State::Folder { .. } => place_folder(&outer, &inner, &mut folders).or_else(failed)?,
                // It leads out and to nothing.
                State::Absent => {}
                _ => return Err(format!("input `{}` is no file or folder", seen.path.display())),
            },
            State::Absent => {}
            State::Denied => return Err(format!("input `{}` may not be read", seen.path.display())),
            _ => return Err(format!("input `{}` is no file or folder", seen.path.display())),
        }
    }
    links.place(layout, trust, &mut folders)?;
    // The innermost first: a folder's own mode may forbid what is to be done in it.
    folders.sort_by(|one, other| one.0.cmp(&other.0));
    for (inner, found) in folders.into_iter().rev() {
        let keep = || -> io::Result<()> {
            let folder = File::open(&inner)?;
            folder.set_modified(found.modified()?)?;
            folder.set_permissions(Permissions::from_mode(found.permissions().mode() & 0o777))
        };
        keep().map_err(|why| format!("a folder cannot be made: {}", cause(&why)))?;
    }
    Ok(())
}

/// Places the program and its interpreters where they lie below the folder that is mirrored: a relative path would lead to
/// nothing, and in a view an absolute one as well.
///
/// # Errors
///
/// In words.
pub fn place_programs(command: &Command, layout: &Layout) -> Result<(), String> {
    let found = match &command.program {
        Program::Found(program) => Some(program.clone()),
        Program::NotFound | Program::NotExecutable => None,
    };
    let watched = command.watched.iter().map(|watched| watched.path.clone());
    for path in found.into_iter().chain(watched) {
        let outer = key::lexical(&command.cwd, &path);
        if let Some(inner) = layout.inner(&outer)
            && inner.symlink_metadata().is_err()
        {
            place_file(&outer, &inner, None, Trust::Stamps)
                .map_err(|why| format!("its program cannot be copied: {}", cause(&why)))?;
        }
    }
    Ok(())
}

fn place_folder(outer: &Path, inner: &Path, folders: &mut Vec<(PathBuf, Metadata)>) -> io::Result<()> {
    fs::create_dir_all(inner)?;
    folders.push((inner.to_owned(), outer.metadata()?));
    Ok(())
}

/// Places a copy of the file at `outer`, or of that to which a link there leads.
fn place_file(outer: &Path, inner: &Path, digest: Option<&Digest>, trust: Trust) -> io::Result<()> {
    fs::create_dir_all(inner.parent().unwrap_or(inner))?;
    let source = File::open(outer)?;
    let found = source.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let target = match File::options().read(true).write(true).create_new(true).open(inner) {
        // Two names for one thing: a link to it and its own.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    };
    fill(&target, &Stored::File { file: source, length: found.len() })?;
    if let (Trust::Bytes, Some(digest)) = (trust, digest) {
        let (copied, _) = hash::whole(File::open(inner)?, found.len(), &mut Vec::new())?;
        if copied != *digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what it was"));
        }
    }
    target.set_modified(found.modified()?)?;
    target.set_permissions(Permissions::from_mode(found.permissions().mode() & 0o777))
}

/// Links that are placed as links: what they lead to is in the private folder as well. By their paths outside.
struct Links(BTreeMap<PathBuf, Link>);

struct Link {
    text: PathBuf,
    /// Where it leads.
    end: PathBuf,
    behind: State,
}

impl Links {
    /// Those that lead by a relative text, with no other link on their way, to something that is mirrored. An absolute text
    /// would lead the command to the original.
    fn among(observations: &[Observation], layout: &Layout) -> Links {
        let mut links = BTreeMap::new();
        for seen in observations {
            let State::Link { target, behind } = &seen.state else { continue };
            let outer = key::lexical(layout.root(), &seen.path);
            let text = PathBuf::from(std::ffi::OsStr::from_bytes(target));
            let folder = outer.parent().unwrap_or(&outer);
            let end = key::lexical(&folder.canonicalize().unwrap_or_else(|_| folder.to_owned()), &text);
            let is_straight = match outer.canonicalize() {
                Ok(real) => real == end,
                Err(_) => **behind == State::Absent,
            };
            if text.is_relative() && is_straight && layout.inner(&outer).is_some() && layout.inner(&end).is_some() {
                links.insert(outer, Link { text, end, behind: (**behind).clone() });
            }
        }
        Links(links)
    }

    fn has(&self, outer: &Path) -> bool {
        self.0.contains_key(outer)
    }

    /// The path without the links that are placed as such, except for its last name.
    fn straight(&self, outer: &Path) -> PathBuf {
        let mut path = outer.to_owned();
        for _ in 0..MOST_LINKS {
            let above = path.ancestors().skip(1).find_map(|above| Some((above.to_owned(), self.0.get(above)?)));
            let Some((above, link)) = above else { break };
            let Ok(below) = path.strip_prefix(&above) else { break };
            path = link.end.join(below);
        }
        path
    }

    /// Places them, and what they lead to where nobody else does.
    fn place(&self, layout: &Layout, trust: Trust, folders: &mut Vec<(PathBuf, Metadata)>) -> Result<(), String> {
        for (outer, link) in &self.0 {
            let (Some(inner), Some(end)) =
                (layout.inner(&self.straight(outer)), layout.inner(&self.straight(&link.end)))
            else {
                continue;
            };
            let mut placed = || -> io::Result<()> {
                match &link.behind {
                    State::File { digest, .. } => place_file(&link.end, &end, Some(digest), trust)?,
                    State::Folder { .. } if !end.exists() => place_folder(&link.end, &end, folders)?,
                    _ => {}
                }
                fs::create_dir_all(inner.parent().unwrap_or(&inner))?;
                match symlink(&link.text, &inner) {
                    Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    made => made,
                }
            };
            placed().map_err(|why| format!("link `{}` cannot be placed: {}", outer.display(), cause(&why)))?;
        }
        Ok(())
    }
}
