//! A private folder that mirrors what a recorded command may see of its root, for a run that touches nothing else.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use memchr::memmem;
use tempfile::TempDir;

use crate::error::cause;
use crate::model::{Call, Command, Digest, OutputKind, Program, State};

/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;

/// Paths that lead nowhere that could be touched.
const HARMLESS: [&[u8]; 4] = [b"/dev/null", b"/dev/stdin", b"/dev/stdout", b"/dev/stderr"];

/// Whether folders that belong to the command as a whole (`-o DIR/`) are there when it begins. No record tells, and
/// `mkdir` wants another answer than `>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnedFolders {
    /// The command makes them.
    Missing,
    /// They are there, and empty.
    Made,
}

/// The folder. It vanishes with this.
pub struct Mirror {
    folder: TempDir,
    /// What stands for the root: of the same name, which a result may hold.
    pub root: PathBuf,
    /// What stands for the working directory.
    pub cwd: PathBuf,
}

impl Mirror {
    /// Copies what `call` observed below its root, as far as it still is what was recorded, and the program of
    /// `command` if it lies there.
    ///
    /// # Errors
    ///
    /// In words: why the command cannot be run there.
    pub fn of(call: &Call, command: &Command, owned: OwnedFolders) -> Result<Mirror, String> {
        let failed = |why: io::Error| format!("a private folder cannot be made: {}", cause(&why));
        let folder = super::arguments::private_folder().map_err(failed)?;
        let outside = folder.path().canonicalize().map_err(failed)?;
        let root = outside.join(call.root.file_name().unwrap_or(OsStr::new("root")));
        let cwd = root.join(call.cwd.strip_prefix(&call.root).map_err(|_| "it ran outside of its root")?);
        fs::create_dir_all(&cwd).map_err(failed)?;
        let mirror = Mirror { folder, root, cwd };
        mirror.take_inputs(call)?;
        mirror.take_program(call, command)?;
        mirror.make_way(call, owned)?;
        Ok(mirror)
    }

    /// A folder of this name beside the root, made empty.
    ///
    /// # Errors
    ///
    /// In words, where it cannot be made.
    pub fn own(&self, name: &str) -> Result<PathBuf, String> {
        // Not the root's own name, whatever that is.
        let folder = self.folder.path().join(format!(".{name}"));
        match fs::create_dir(&folder) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                Err(format!("a private folder cannot be made: {}", cause(&why)))
            }
            _ => Ok(folder),
        }
    }

    /// A name that is nowhere but here: a result that holds it tells where it was made.
    pub fn mark(&self) -> &[u8] {
        self.folder.path().file_name().unwrap_or_default().as_bytes()
    }

    fn take_inputs(&self, call: &Call) -> Result<(), String> {
        let failed =
            |path: &Path, why: io::Error| format!("input `{}` cannot be copied: {}", path.display(), cause(&why));
        let mut folders = Vec::new();
        for seen in call.observations.iter().filter(|seen| seen.path.is_relative()) {
            let target = self.root.join(&seen.path);
            let above = target.parent().unwrap_or(&self.root);
            match &seen.state {
                State::Absent => {}
                State::Folder { mode } => {
                    fs::create_dir_all(&target).map_err(|why| failed(&seen.path, why))?;
                    folders.push((target, *mode));
                }
                State::File { mode, digest } => {
                    fs::create_dir_all(above).map_err(|why| failed(&seen.path, why))?;
                    let copied = copy(&call.root.join(&seen.path), &target, *mode);
                    if copied.map_err(|why| failed(&seen.path, why))? != *digest {
                        return Err(format!("input `{}` is not what it was", seen.path.display()));
                    }
                }
                State::Link { target: text, .. } if text.starts_with(b"/") || climbs(text) => {
                    return Err(format!("input `{}` is a link that may lead anywhere", seen.path.display()));
                }
                State::Link { target: text, .. } => {
                    fs::create_dir_all(above).map_err(|why| failed(&seen.path, why))?;
                    symlink(OsStr::from_bytes(text), &target).map_err(|why| failed(&seen.path, why))?;
                }
                // What was seen of others is less than a copy needs.
                _ => return Err(format!("input `{}` cannot be copied", seen.path.display())),
            }
        }
        // The innermost first, and none that could not be emptied again.
        for (folder, mode) in folders.into_iter().rev() {
            if mode & 0o700 != 0o700 {
                return Err("a folder among its inputs may not be written".to_owned());
            }
            fs::set_permissions(&folder, Permissions::from_mode(mode)).map_err(|why| failed(&folder, why))?;
        }
        Ok(())
    }

    /// The program and its interpreters, where they are found by a relative path.
    fn take_program(&self, call: &Call, command: &Command) -> Result<(), String> {
        let Program::Found(program) = &command.program else { return Err("its program is gone".to_owned()) };
        if program.is_absolute() && program.starts_with(&call.root) {
            return Err("its program is found by a whole path below its root".to_owned());
        }
        let relative = program.is_relative().then(|| call.cwd.join(program));
        let paths = relative.into_iter().chain(command.watched.iter().map(|watched| watched.path.clone()));
        for path in paths {
            let path = lexical(&path);
            let Ok(below) = path.strip_prefix(&call.root) else { continue };
            let target = self.root.join(below);
            if target.symlink_metadata().is_ok() {
                continue;
            }
            let failed = |why: io::Error| format!("its program cannot be copied: {}", cause(&why));
            fs::create_dir_all(target.parent().unwrap_or(&self.root)).map_err(failed)?;
            let mode = path.metadata().map_err(failed)?.permissions().mode() & 0o777;
            copy(&path.canonicalize().map_err(failed)?, &target, mode).map_err(failed)?;
        }
        Ok(())
    }

    /// The folders in which the outputs lie, as far as the command did not make them.
    fn make_way(&self, call: &Call, owned: OwnedFolders) -> Result<(), String> {
        let outputs = &call.outcome.outputs;
        let failed = |why: io::Error| format!("a private folder cannot be made: {}", cause(&why));
        for output in outputs {
            if output.path.is_absolute() {
                return Err(format!("output `{}` lies outside of its root", output.path.display()));
            }
            let above = output.path.parent().unwrap_or(Path::new(""));
            let is_made = |folder: &Path| {
                outputs.iter().any(|made| made.path == folder && matches!(made.kind, OutputKind::Folder { .. }))
            };
            if !above.ancestors().any(is_made) {
                fs::create_dir_all(self.root.join(above)).map_err(failed)?;
            }
            if owned == OwnedFolders::Made && matches!(output.kind, OutputKind::Folder { owned: true, .. }) {
                fs::create_dir_all(self.root.join(&output.path)).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        open_up(self.folder.path());
    }
}

/// Lets a folder and all in it be emptied, whatever modes a command gave them.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(is_folder).for_each(|entry| open_up(&entry.path()));
}

/// Copies a regular file, and gives the digest of what was copied.
fn copy(from: &Path, to: &Path, mode: u32) -> io::Result<Digest> {
    if !from.symlink_metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (mut source, mut target) = (File::open(from)?, File::create_new(to)?);
    let (mut hasher, mut chunk) = (blake3::Hasher::new(), vec![0; CHUNK]);
    loop {
        match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&chunk[..read]);
                target.write_all(&chunk[..read])?;
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    target.set_permissions(Permissions::from_mode(mode))?;
    Ok(hasher.finalize().into())
}

/// The path without `.`, which may stand in the program's: `./tool`.
fn lexical(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Why a command with these words could touch something outside of a private folder; `None` where nothing of that kind is
/// seen. Too much rather than too little is suspected.
pub fn way_out(call: &Call, command: &Command) -> Option<String> {
    let words = command.argv.iter().skip(1).chain(&call.request.outputs);
    for word in words {
        if leads_out(word.as_bytes(), &command.environment) {
            return Some(format!("`{}` may name something outside of a private folder", word.display()));
        }
    }
    let root = call.root.as_os_str().as_bytes();
    for entry in &command.environment {
        let (name, value) = match entry.as_bytes().iter().position(|byte| *byte == b'=') {
            Some(at) => (&entry.as_bytes()[..at], &entry.as_bytes()[at + 1..]),
            None => (entry.as_bytes(), &[][..]),
        };
        if !matches!(name, b"PWD" | b"OLDPWD") && memmem::find(value, root).is_some() {
            return Some(format!("variable `{}` names its root", OsStr::from_bytes(name).display()));
        }
    }
    None
}

/// Whether a word, be it a shell's whole line, may hold a path that is not below the working directory. A slash is believed to
/// lie in a relative path only where the name before it begins as a name of its own: at the beginning of a word, and with no
/// dash, behind which an option's letters could end anywhere (`-MF/x` is no folder). What a shell puts in the place of
/// something else may be anything; a variable that it may put there is asked for its value.
fn leads_out(word: &[u8], environment: &[OsString]) -> bool {
    let mut at = 0;
    while at < word.len() {
        if let Some(harmless) = harmless(word, at) {
            at += harmless;
            continue;
        }
        match word[at] {
            b'/' if !is_inside_relative(word, at) => return true,
            b'~' if !at.checked_sub(1).is_some_and(|before| is_of_name(word[before])) => return true,
            b'$' if may_expand_to_path(&word[at + 1..], environment) => return true,
            _ => at += 1,
        }
    }
    climbs(word) || goes_home(word)
}

/// The length of the path that begins there, if it leads nowhere.
fn harmless(word: &[u8], at: usize) -> Option<usize> {
    let path = HARMLESS.iter().find(|path| word[at..].starts_with(path))?;
    let goes_on = word.get(at + path.len()).is_some_and(|byte| *byte == b'/' || is_of_name(*byte));
    (!goes_on && begins_word(word, at)).then_some(path.len())
}

/// Whether the slash there stands behind the first name of a relative path.
fn is_inside_relative(word: &[u8], slash: usize) -> bool {
    let behind = word[..slash].iter().rposition(|byte| *byte != b'/' && !is_of_name(*byte));
    let begin = behind.map_or(0, |at| at + 1);
    begin < slash && !b"/-+".contains(&word[begin]) && begins_word(word, begin)
}

/// Whether what stands there is the beginning of a word, and not what goes on behind an expansion or a quote that ends.
fn begins_word(word: &[u8], at: usize) -> bool {
    match at.checked_sub(1).map(|before| word[before]) {
        None | Some(b' ' | b'\t' | b'\n' | b'=' | b':' | b',' | b'@' | b'<' | b'>' | b'(' | b';' | b'|' | b'&') => true,
        Some(b'"' | b'\'') => match at.checked_sub(2).map(|before| word[before]) {
            None => true,
            Some(before) => b" \t\n=:,<>(;|&".contains(&before),
        },
        Some(_) => false,
    }
}

/// Whether a file's name may have this byte without meaning anything to a shell; globs stand for names that are there.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-+*?".contains(&byte) || !byte.is_ascii()
}

/// Whether what stands behind a `$` may become a path that leads out: a variable that holds more than a name.
fn may_expand_to_path(behind: &[u8], environment: &[OsString]) -> bool {
    let behind = behind.strip_prefix(b"{").unwrap_or(behind);
    let behind = behind.strip_prefix(b"!").unwrap_or(behind);
    let length = behind.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let name = &behind[..length];
    let value = |entry: &OsString| Some(entry.as_bytes().strip_prefix(name)?.strip_prefix(b"=")?.to_vec());
    let leads = |value: Vec<u8>| value.iter().any(|byte| b"/~".contains(byte)) || climbs(&value);
    // The private folder takes the place of these two.
    let is_safe = name.is_empty() || name == b"PWD";
    name == b"HOME" || name == b"OLDPWD" || !is_safe && environment.iter().filter_map(value).any(leads)
}

/// Whether a shell may be told to go home, or where it was before: `cd` without a folder.
fn goes_home(line: &[u8]) -> bool {
    memmem::find_iter(line, b"cd").any(|at| {
        let rest = &line[at + 2..];
        let argument = rest.trim_ascii_start();
        let is_word = !at.checked_sub(1).is_some_and(|before| is_of_name(line[before]) || line[before] == b'/');
        let ends = argument.first().is_none_or(|byte| b";&|)}-`\"'#<>".contains(byte)) || rest.starts_with(b"\n");
        let is_command = rest.first().is_none_or(|byte| !is_of_name(*byte) && !b"/=:".contains(byte));
        // One word alone is a name: `sh -c cd` makes nothing.
        is_word && is_command && ends && line.len() > 2
    })
}

/// Whether `..` stands in it where it may be a folder: by itself, behind an option's letters, or behind a variable, which may be
/// empty.
fn climbs(word: &[u8]) -> bool {
    memmem::find_iter(word, b"..").any(|at| {
        let is_end = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
        let behind = word[..at].iter().rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        let is_glued = behind.is_some_and(|at| b"-$".contains(&word[at]));
        let before = at.checked_sub(1).and_then(|before| word.get(before));
        (is_glued || is_end(before)) && is_end(word.get(at + 2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(word: &str) -> bool {
        let environment = ["HOME=/home/x", "DEST=/x", "UP=..", "COLOUR=red", "PWD=/work"].map(OsString::from);
        leads_out(word.as_bytes(), &environment)
    }

    #[test]
    fn a_word_that_may_lead_out_is_seen() {
        for word in [
            "/etc/passwd",
            "--out=/x",
            "a >/tmp/x",
            "a 2>&1 >/tmp/x",
            "cat</x",
            "cd ..",
            "../x",
            "a/../x",
            "~/x",
            "x=~/y",
            "$HOME/x",
            "-I/usr",
            "'/x'",
            "\"/x\"",
            "s|/x|y|",
            "..",
            "cp a ../b",
            "${HOME}",
            "cd $OLDPWD",
            "(/x)",
            "a:/x",
            "-Wl,-Map,/tmp/x.map",
            "-MF/abs/x.d",
            "-MFout/../x",
            "-C..",
            "-aC../x",
            "cd $NAME..",
            "[/x]",
            "@/abs/rsp",
            "-specs=/x",
            "cp out $DEST/out",
            "cp out \"$DEST\"/out",
            "cp out ${DEST}/out",
            "cp out ${DEST}x/out",
            "cp out \"${DEST}\"x/out",
            "cp out $DEST",
            "cp out \"$DEST\"",
            "cp out ${DEST:-x}",
            "cp out ${!NAME}/x",
            "cp out $UP",
            "$(pwd)/x",
            "`pwd`/x",
            "$PWD/x",
            "{a,/b}",
            "{a,b}/c",
            "a\\/b",
            "s#/x#y#",
            "printf %s/x",
            "user@/x",
            "+/x",
            "--/x",
            "a=/x",
            "/dev/null/x",
            "/dev/nullable",
            "x/dev/null ${DEST}/dev/null",
            "file:///x",
            "cd && rm x",
            "cd; rm x",
            "cd -",
            "(cd) ",
            "a\ncd\nrm x",
        ] {
            assert!(leads(word), "{word}");
        }
    }

    #[test]
    fn a_word_that_stays_is_none() {
        for word in [
            "a/b",
            "a > /dev/null",
            "a 2>/dev/null >&/dev/null",
            "s/a/b/",
            "1..9",
            "a...b",
            "-o",
            "x~",
            "src/*.c",
            "a b/c",
            "2>/dev/stderr",
            "",
            "--out=a/b",
            "-Wl,-Map,a/b",
            "@a/b",
            "cat \"a/b\" 'c/d'",
            "echo $COLOUR > a/b",
            "echo $1 $? $$",
            "cd a && rm b",
            "cd a/b; ls",
            "cd",
            "\u{e9}/x",
        ] {
            assert!(!leads(word), "{word}");
        }
    }
}
