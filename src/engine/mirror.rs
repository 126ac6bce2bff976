//! A private folder that mirrors what a recorded command may see of its root, for a run that touches nothing else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::error::cause;
use crate::exec::Place;
use crate::model::{Call, Command, Isolation, Output, OutputKind, Program, Request, State};
use crate::store::{PrivateFolder, Store};

use super::isolation::{Layout, Trust, place, place_programs, view};
use super::outputs::Places;

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
    folder: PrivateFolder,
    layout: Layout,
    /// Where the command is to be started.
    pub place: Place,
}

impl Mirror {
    /// Copies what `call`, which asked for `request`, observed below its root, as far as it still is what was recorded, and the
    /// program of `command` if it lies there.
    ///
    /// # Errors
    ///
    /// In words: why the command cannot be run there.
    pub fn of(
        store: &Store,
        call: &Call,
        request: &Request,
        command: &Command,
        owned: OwnedFolders,
    ) -> Result<Mirror, String> {
        let failed = |why: io::Error| format!("a private folder cannot be made: {}", cause(&why));
        let folder = store.private_folder().or_else(|_| PrivateFolder::among_temporary_files()).map_err(failed)?;
        if !call.cwd.starts_with(&call.root) {
            return Err("it ran outside of its root".to_owned());
        }
        check_program(call, command)?;
        let layout = Layout::of(request, command, &call.observations, folder.path());
        layout.make_folders(&[]).map_err(failed)?;
        let closed = |state: &State| matches!(state, State::Folder { mode } if mode & 0o700 != 0o700);
        if call.observations.iter().any(|seen| closed(&seen.state)) {
            return Err("a folder among its inputs may not be written".to_owned());
        }
        place(&call.observations, &layout, Trust::Bytes)?;
        place_programs(command, &layout)?;
        let place = match request.isolation {
            Isolation::Strict => {
                let view = view(request, command, &call.observations, &layout, folder.path());
                Place::View(view.map_err(|error| error.to_string())?)
            }
            Isolation::None | Isolation::Folder => Place::Folder(layout.cwd()),
        };
        let mirror = Mirror { folder, layout, place };
        mirror.make_way(call, owned)?;
        Ok(mirror)
    }

    /// What stands for the working directory, as it is called outside.
    pub fn cwd(&self) -> PathBuf {
        self.layout.cwd()
    }

    /// Where the outputs that are asked for lie.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn places(&self, request: &Request) -> Result<Places, String> {
        let words: Vec<OsString> = request.outputs.iter().map(|word| self.layout.output_word(word)).collect();
        Places::of(&words, &self.cwd(), self.layout.inside()).map_err(|error| error.to_string())
    }

    /// What was found there, with the paths that it has where the call was recorded.
    pub fn recorded(&self, outputs: Vec<Output>) -> Vec<Output> {
        outputs.into_iter().map(|output| Output { path: self.layout.record(&output.path), ..output }).collect()
    }

    /// A folder of this name for the command's own, made empty.
    ///
    /// # Errors
    ///
    /// In words, where it cannot be made.
    pub fn own(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.path().join("own").join(name);
        fs::create_dir_all(&folder).map_err(|why| format!("a private folder cannot be made: {}", cause(&why)))?;
        Ok(folder)
    }

    /// A name that is nowhere but here: a result that holds it tells where it was made.
    pub fn mark(&self) -> &[u8] {
        self.folder.mark()
    }

    /// The folders in which the outputs lie, as far as the command did not make them.
    fn make_way(&self, call: &Call, owned: OwnedFolders) -> Result<(), String> {
        let outputs = &call.outcome.outputs;
        let make = |path: &Path| -> Result<(), String> {
            let outside = || format!("output `{}` lies outside of its root", path.display());
            let inner = self.layout.inner(&call.root.join(path)).ok_or_else(outside)?;
            fs::create_dir_all(inner).map_err(|why| format!("a private folder cannot be made: {}", cause(&why)))
        };
        for output in outputs {
            let above = output.path.parent().unwrap_or(Path::new(""));
            let is_made = |folder: &Path| {
                outputs.iter().any(|made| made.path == folder && matches!(made.kind, OutputKind::Folder { .. }))
            };
            if !above.ancestors().any(is_made) {
                make(above)?;
            }
            if owned == OwnedFolders::Made && matches!(output.kind, OutputKind::Folder { owned: true, .. }) {
                make(&output.path)?;
            }
        }
        Ok(())
    }
}

/// Refuses a program that would be the original.
fn check_program(call: &Call, command: &Command) -> Result<(), String> {
    let Program::Found(program) = &command.program else { return Err("its program is gone".to_owned()) };
    let is_copied = call.request.isolation == Isolation::Strict;
    if program.is_absolute() && program.starts_with(&call.root) && !is_copied {
        return Err("its program is found by a whole path below its root".to_owned());
    }
    Ok(())
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
        let entry = entry.as_bytes();
        let border = memchr::memchr(b'=', entry).unwrap_or(entry.len());
        let (name, value) = entry.split_at(border);
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
    !b"/-+".contains(&word[begin]) && begins_word(word, begin)
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
        let is_command = rest.first().is_none_or(|byte| !is_of_name(*byte));
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
            "a > /dev/null /x",
            "a >/dev/nullable",
            "~",
            "cp a ~",
            "cp a ~root",
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
            "abcd; ls",
            "a/cd; ls",
            "cd-rom; ls",
            "ls $PWD",
            "1..",
            "..9",
            "\u{e9}/x",
        ] {
            assert!(!leads(word), "{word}");
        }
    }
}
