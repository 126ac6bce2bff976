//! What a command sees whose isolation is strict.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, cause};
use crate::exec::{Shown, Sight, View, holds_system, is_system};
use crate::key;
use crate::model::{Command, Observation, Program, Request, State};

use super::layout::Layout;

/// Folders that every command expects to be there for it to write to.
const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// What programs keep beside the folder that they lie in, where that is called so.
const BIN: [&str; 2] = ["bin", "sbin"];
const BESIDE_BIN: [&str; 4] = ["lib", "lib64", "libexec", "pyvenv.cfg"];

/// What is shown: the mirror under the name of what it mirrors, inputs that lie elsewhere, the program's own folder, and
/// folders of its own for temporary files and as its home.
///
/// # Errors
///
/// Where the folder that is mirrored holds the system's.
pub fn view(
    request: &Request,
    command: &Command,
    observations: &[Observation],
    layout: &Layout,
    folder: &Path,
) -> Result<View> {
    let top = layout.top();
    if holds_system(top) || top == Path::new("/dev") {
        let message = format!("cannot isolate `{}`: `{}` holds folders of the system", command.name(), top.display());
        return Err(Error::failure(message));
    }
    let failed = |why: io::Error| Error::failure(format!("a private folder cannot be made: {}", cause(&why)));
    let own = |name: &str| -> Result<PathBuf> {
        let path = folder.join("own").join(name);
        fs::create_dir_all(&path).map_err(failed)?;
        Ok(path)
    };
    let mut shown = vec![Shown { at: top.to_owned(), what: Sight::Own(layout.inside().to_owned()) }];
    let temporary = own("tmp")?;
    fs::set_permissions(&temporary, Permissions::from_mode(0o1777)).map_err(failed)?;
    let folders = TEMPORARY.map(PathBuf::from).into_iter().chain(folder_in(command, b"TMPDIR="));
    let folders = folders.map(|at| (at, temporary.clone())).chain(
        folder_in(command, b"HOME=")
            .map(|at| (at, own("home")))
            .map(|(at, home)| home.map(|home| (at, home)))
            .transpose()?,
    );
    for (at, from) in folders {
        let is_hidden =
            at.starts_with(top) || is_system(&at) || holds_system(&at) || shown.iter().any(|one| one.at == at);
        if !is_hidden {
            shown.push(Shown { at, what: Sight::Own(from) });
        }
    }
    let mut seen: BTreeSet<PathBuf> = shown.iter().map(|one| one.at.clone()).collect();
    let beside = programs(command).into_iter().chain(inputs(request, observations, layout));
    for one in beside.filter(|one| !one.at.starts_with(top) && !is_system(&one.at)) {
        if seen.insert(one.at.clone()) {
            shown.push(one);
        }
    }
    Ok(View { base: own("view")?, folder: layout.outer_cwd().to_owned(), shown })
}

/// The folder that a variable names, without links.
fn folder_in(command: &Command, name: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let entry = command.environment.iter().find_map(|entry| entry.as_bytes().strip_prefix(name))?;
    let path = Path::new(std::ffi::OsStr::from_bytes(entry));
    let path =
        path.is_absolute().then(|| path.canonicalize().unwrap_or_else(|_| key::lexical(Path::new("/"), path)))?;
    (path != Path::new("/")).then_some(path)
}

/// The program and its interpreters with what lies beside them: their folders, by the names that they go by and without
/// links; only the file where the folder is one that people keep other things in.
fn programs(command: &Command) -> Vec<Shown> {
    let home = folder_in(command, b"HOME=");
    let found = match &command.program {
        Program::Found(program) => Some(key::lexical(&command.cwd, program)),
        Program::NotFound | Program::NotExecutable => None,
    };
    let mut shown = Vec::new();
    for path in found.into_iter().chain(command.watched.iter().map(|watched| watched.path.clone())) {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        for path in [path, real] {
            let (Some(folder), Some(name)) =
                (path.parent().and_then(|folder| folder.canonicalize().ok()), path.file_name())
            else {
                continue;
            };
            let is_shared = folder == Path::new("/") || home.as_ref().is_some_and(|home| home.starts_with(&folder));
            if is_shared || !is_bin(&folder) {
                if let Some(one) = sight(folder.join(name)) {
                    shown.push(one);
                }
                continue;
            }
            let prefix = folder.parent().unwrap_or(&folder).to_owned();
            let beside = BESIDE_BIN.into_iter().map(|name| prefix.join(name));
            shown.extend(std::iter::once(folder).chain(beside).filter_map(sight));
        }
    }
    shown
}

fn is_bin(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| BIN.iter().any(|bin| name == *bin))
}

/// What is at `path`, to be shown there.
fn sight(path: PathBuf) -> Option<Shown> {
    let found = path.symlink_metadata().ok()?;
    let what = match () {
        () if found.is_symlink() => Sight::Link(fs::read_link(&path).ok()?),
        () if found.is_dir() => Sight::Folder(path.clone()),
        () => Sight::File(path.clone()),
    };
    Some(Shown { at: path, what })
}

/// Inputs that are not mirrored: the originals, to be read. A folder as a whole unless something in it was left out.
fn inputs(request: &Request, observations: &[Observation], layout: &Layout) -> Vec<Shown> {
    let leaves_out = !request.excludes.is_empty() || request.gitignore;
    let outside = observations.iter().filter(|seen| seen.path.is_absolute());
    let is_folder = |seen: &Observation| match &seen.state {
        State::Folder { .. } => true,
        State::Link { behind, .. } => matches!(**behind, State::Folder { .. }),
        _ => false,
    };
    let folders: BTreeSet<&Path> =
        outside.clone().filter(|seen| is_folder(seen) && !leaves_out).map(|seen| seen.path.as_path()).collect();
    let mut shown = Vec::new();
    for seen in outside {
        let is_within = seen.path.ancestors().skip(1).any(|above| folders.contains(above));
        if is_within || is_folder(seen) && leaves_out || layout.inner(&seen.path).is_some() {
            continue;
        }
        shown.extend(sight_without_links(&seen.path));
        if let State::Link { .. } = seen.state {
            shown.extend(sight(seen.path.clone()));
            shown.extend(seen.path.canonicalize().ok().and_then(sight));
        }
    }
    shown
}

/// The same where no link is on the way to it.
fn sight_without_links(path: &Path) -> Option<Shown> {
    let folder = path.parent()?;
    let real = folder.canonicalize().ok()?;
    if real == folder {
        return sight(path.to_owned());
    }
    let found = path.canonicalize().ok()?;
    let what = if found.is_dir() { Sight::Folder(found) } else { Sight::File(found) };
    Some(Shown { at: path.to_owned(), what })
}
