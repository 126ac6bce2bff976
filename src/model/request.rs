//! What a user asked for on the command line: how a command is to be recognised.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::codec::text;
use super::{Fields, Isolation, Malformed, Reference, Writer};

/// A command and the options that say what identifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The command and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// Those of `argv` that name a stored value. Empty as long as nobody looked.
    pub stored: Vec<StoredArgument>,
    /// `-i`: paths and globs that are inputs.
    pub inputs: Vec<OsString>,
    /// `-x`: globs that leave things out of folders and globs.
    pub excludes: Vec<String>,
    /// `--gitignore`: what git ignores is left out of folders and globs.
    pub gitignore: bool,
    /// `--pure`: the command reads nothing but its arguments and the files that they name.
    pub pure: bool,
    /// `-o`: paths, globs and `DIR/` that are outputs.
    pub outputs: Vec<OsString>,
    /// What is done to find out by itself what the command reads and writes.
    pub watching: WatchRules,
    /// `--isolate`: where the command works, and what it can reach.
    pub isolation: Isolation,
    /// Which variables count and which the command sees.
    pub environment: EnvironmentRules,
    /// Which arguments count.
    pub arguments: ArgumentRules,
    /// What of the program counts.
    pub program: ProgramRule,
    /// `--probe`: shell commands whose output counts.
    pub probes: Vec<OsString>,
    /// `--no-cwd`: the working directory does not count.
    pub ignore_cwd: bool,
    /// What standard input is.
    pub stdin: StdinRule,
    /// `--revision`.
    pub revision: Option<String>,
    /// `--no-expand`: what looks like the name of a stored value in an argument is none.
    pub literal: bool,
}

/// An argument that names a stored value: in `argv` it stands by the value's whole digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredArgument {
    /// Its place in `argv`.
    pub position: usize,
    /// As it was typed. Never recorded.
    pub typed: OsString,
}

/// The options that concern watching the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchRules {
    /// `--trace`.
    pub mode: WatchMode,
    /// `--allow-network`: a command that uses the network is stored all the same.
    pub network: bool,
    /// `--allow-write`: folders outside the root in which outputs may be.
    pub writable: Vec<OsString>,
    /// `--scratch`: globs of what is neither input nor output.
    pub scratch: Vec<String>,
}

/// Whether the command is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchMode {
    /// If nothing is declared.
    #[default]
    Auto,
    /// What it looks at counts beside what is declared.
    On,
    /// Never.
    Off,
}

/// Which environment variables count in the command digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvironmentMode {
    /// All but the volatile list.
    #[default]
    All,
    /// Only those that `--env` names; the command sees everything.
    Listed,
    /// Only those that `--env` names, PATH, LANG, LC_* and TZ, and the command sees only these and,
    /// uncounted, HOME USER LOGNAME SHELL TMPDIR TERM.
    Strict,
}

/// The options that concern the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentRules {
    /// `--env-mode`.
    pub mode: EnvironmentMode,
    /// `--env GLOB`: counted, seen, and recorded in clear.
    pub counted: Vec<String>,
    /// `--ignore-env GLOB`: recorded, not counted.
    pub ignored: Vec<String>,
    /// `--require-env NAME`: without it the call is not stored.
    pub required: Vec<String>,
}

/// The options that concern arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgumentRules {
    /// `--ignore-arg GLOB`: recorded, not counted.
    pub ignored: Vec<String>,
    /// `--require-arg GLOB`: without it the call is not stored.
    pub required: Vec<String>,
    /// `--redact-arg GLOB`: counted, never recorded in clear.
    pub redacted: Vec<String>,
}

/// What of the program counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgramRule {
    /// Its path and content, and those of its `#!` interpreter.
    #[default]
    Content,
    /// Its path.
    Path,
    /// Only the name by which it was called.
    Name,
}

/// What standard input is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StdinRule {
    /// Decided by what descriptor 0 is.
    #[default]
    Automatic,
    /// `--stdin`: input, to be read to its end.
    Input,
    /// `--no-stdin`: not input; the command gets `/dev/null`.
    None,
    /// `--stdin-from`: this takes its place.
    From(StdinSource),
}

/// Where `--stdin-from` takes standard input from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StdinSource {
    /// A file.
    File(PathBuf),
    /// `fleche:PREFIX...`: a value, or something of a call.
    Stored(Reference),
}

impl Request {
    /// Whether what the command looks at counts, so that it has to be watched.
    pub fn is_watched(&self) -> bool {
        match self.watching.mode {
            // What is run where nothing else is has declared by that that there is nothing else.
            WatchMode::Auto => self.inputs.is_empty() && !self.pure && !self.is_isolated(),
            WatchMode::On => true,
            WatchMode::Off => false,
        }
    }

    /// Whether the command works in a private folder.
    pub fn is_isolated(&self) -> bool {
        self.isolation != Isolation::None
    }

    /// What may be stored of a request beside the arguments, which a call holds apart: the globs that hide some could
    /// spell them.
    pub fn recorded(&self) -> Request {
        let arguments = ArgumentRules { redacted: Vec::new(), ..self.arguments.clone() };
        Request { argv: Vec::new(), stored: Vec::new(), arguments, ..self.clone() }
    }

    /// An argument in all words by which a glob may name it: as it stands, and as it was typed.
    pub fn spellings(&self, position: usize) -> impl Iterator<Item = &OsStr> {
        let typed = self.stored.iter().filter(move |argument| argument.position == position);
        self.argv.get(position).into_iter().chain(typed.map(|argument| &argument.typed)).map(OsString::as_os_str)
    }

    /// Whether an argument names a stored value.
    pub fn is_stored(&self, position: usize) -> bool {
        self.stored.iter().any(|argument| argument.position == position)
    }

    /// Every word of it beside the arguments.
    pub fn words(&self) -> impl Iterator<Item = &OsStr> {
        let texts = [
            &self.excludes,
            &self.watching.scratch,
            &self.environment.counted,
            &self.environment.ignored,
            &self.environment.required,
            &self.arguments.ignored,
            &self.arguments.required,
        ];
        let words = [&self.inputs, &self.outputs, &self.probes, &self.watching.writable]
            .into_iter()
            .flatten()
            .map(OsString::as_os_str);
        let source = match &self.stdin {
            StdinRule::From(StdinSource::File(path)) => Some(path.as_os_str()),
            _ => None,
        };
        let revision = self.revision.iter().map(|text| OsStr::new(text.as_str()));
        words.chain(texts.into_iter().flatten().map(|text| OsStr::new(text.as_str()))).chain(revision).chain(source)
    }

    /// The bytes of what [`recorded`](Request::recorded) keeps.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let words = [
            ("input", &self.inputs),
            ("output", &self.outputs),
            ("probe", &self.probes),
            ("allow-write", &self.watching.writable),
        ];
        for (name, words) in words {
            for word in words {
                writer.field(name, word.as_bytes());
            }
        }
        let texts = [
            ("exclude", &self.excludes),
            ("scratch", &self.watching.scratch),
            ("env", &self.environment.counted),
            ("ignore-env", &self.environment.ignored),
            ("require-env", &self.environment.required),
            ("ignore-arg", &self.arguments.ignored),
            ("require-arg", &self.arguments.required),
        ];
        for (name, texts) in texts {
            for text in texts {
                writer.field(name, text.as_bytes());
            }
        }
        let flags = [
            ("gitignore", self.gitignore),
            ("pure", self.pure),
            ("no-cwd", self.ignore_cwd),
            ("no-expand", self.literal),
            ("allow-network", self.watching.network),
        ];
        for (name, is_set) in flags {
            if is_set {
                writer.field(name, b"");
            }
        }
        if self.watching.mode != WatchMode::Auto {
            writer.field("trace", self.watching.mode.name().as_bytes());
        }
        if self.is_isolated() {
            writer.field("isolate", self.isolation.name().as_bytes());
        }
        writer.field("env-mode", self.environment.mode.name().as_bytes());
        writer.field("program", self.program.name().as_bytes());
        if let Some(revision) = &self.revision {
            writer.field("revision", revision.as_bytes());
        }
        match &self.stdin {
            StdinRule::Automatic => &mut writer,
            StdinRule::Input => writer.field("stdin", b""),
            StdinRule::None => writer.field("no-stdin", b""),
            StdinRule::From(StdinSource::File(path)) => writer.field("stdin-file", path.as_os_str().as_bytes()),
            StdinRule::From(StdinSource::Stored(reference)) => {
                writer.field("stdin-stored", reference.text().as_bytes())
            }
        };
        writer.into_bytes()
    }

    /// Reads what [`encode`](Request::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        let mut request = Request::default();
        for field in Fields::of(bytes) {
            let (name, value) = field?;
            let word = || OsString::from_vec(value.to_vec());
            match name {
                b"input" => request.inputs.push(word()),
                b"output" => request.outputs.push(word()),
                b"probe" => request.probes.push(word()),
                b"allow-write" => request.watching.writable.push(word()),
                b"allow-network" => request.watching.network = true,
                b"scratch" => request.watching.scratch.push(text(value)?),
                b"trace" => request.watching.mode = WatchMode::from_name(value)?,
                b"isolate" => request.isolation = Isolation::from_name(value)?,
                b"exclude" => request.excludes.push(text(value)?),
                b"env" => request.environment.counted.push(text(value)?),
                b"ignore-env" => request.environment.ignored.push(text(value)?),
                b"require-env" => request.environment.required.push(text(value)?),
                b"ignore-arg" => request.arguments.ignored.push(text(value)?),
                b"require-arg" => request.arguments.required.push(text(value)?),
                b"gitignore" => request.gitignore = true,
                b"pure" => request.pure = true,
                b"no-cwd" => request.ignore_cwd = true,
                b"no-expand" => request.literal = true,
                b"env-mode" => request.environment.mode = EnvironmentMode::from_name(value)?,
                b"program" => request.program = ProgramRule::from_name(value)?,
                b"revision" => request.revision = Some(text(value)?),
                b"stdin" => request.stdin = StdinRule::Input,
                b"no-stdin" => request.stdin = StdinRule::None,
                b"stdin-file" => request.stdin = StdinRule::From(StdinSource::File(word().into())),
                b"stdin-stored" => {
                    let reference = Reference::parse(value).map_err(|_| Malformed("digest"))?;
                    request.stdin = StdinRule::From(StdinSource::Stored(reference));
                }
                _ => {}
            }
        }
        Ok(request)
    }
}

impl WatchMode {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            WatchMode::Auto => "auto",
            WatchMode::On => "on",
            WatchMode::Off => "off",
        }
    }

    fn from_name(name: &[u8]) -> Result<WatchMode, Malformed> {
        [WatchMode::Auto, WatchMode::On, WatchMode::Off]
            .into_iter()
            .find(|mode| mode.name().as_bytes() == name)
            .ok_or(Malformed("trace mode"))
    }
}

impl EnvironmentMode {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            EnvironmentMode::All => "all",
            EnvironmentMode::Listed => "listed",
            EnvironmentMode::Strict => "strict",
        }
    }

    fn from_name(name: &[u8]) -> Result<EnvironmentMode, Malformed> {
        [EnvironmentMode::All, EnvironmentMode::Listed, EnvironmentMode::Strict]
            .into_iter()
            .find(|mode| mode.name().as_bytes() == name)
            .ok_or(Malformed("environment mode"))
    }
}

impl ProgramRule {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            ProgramRule::Content => "content",
            ProgramRule::Path => "path",
            ProgramRule::Name => "name",
        }
    }

    fn from_name(name: &[u8]) -> Result<ProgramRule, Malformed> {
        [ProgramRule::Content, ProgramRule::Path, ProgramRule::Name]
            .into_iter()
            .find(|rule| rule.name().as_bytes() == name)
            .ok_or(Malformed("program rule"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_of_a_request_is_read_back() {
        let texts = |text: &str| vec![text.to_owned(), String::new()];
        let words = |bytes: &[u8]| vec![OsString::from_vec(bytes.to_vec()), OsString::new()];
        let sources = [
            StdinRule::Automatic,
            StdinRule::Input,
            StdinRule::None,
            StdinRule::From(StdinSource::File("a b".into())),
            StdinRule::From(StdinSource::Stored(Reference::parse(b"abcd").unwrap())),
            StdinRule::From(StdinSource::Stored(Reference::parse(b"abcd/a/\xff").unwrap())),
        ];
        for stdin in sources {
            let request = Request {
                argv: words(b"secret"),
                stored: vec![StoredArgument { position: 1, typed: "fleche:abcd".into() }],
                inputs: words(b"in\xff"),
                excludes: texts("*.o"),
                gitignore: true,
                pure: true,
                outputs: words(b"out"),
                watching: WatchRules {
                    mode: WatchMode::On,
                    network: true,
                    writable: words(b"/tmp/d"),
                    scratch: texts("*.log"),
                },
                isolation: Isolation::Strict,
                environment: EnvironmentRules {
                    mode: EnvironmentMode::Strict,
                    counted: texts("CC"),
                    ignored: texts("X"),
                    required: texts("Y"),
                },
                arguments: ArgumentRules { ignored: texts("-j*"), required: texts("-c"), redacted: texts("secret") },
                program: ProgramRule::Name,
                probes: words(b"cc --version"),
                ignore_cwd: true,
                stdin,
                revision: Some("2".into()),
                literal: true,
            };
            let recorded = request.recorded();
            assert!(recorded.argv.is_empty() && recorded.arguments.redacted.is_empty());
            assert_eq!(Request::decode(&request.encode()), Ok(recorded));
        }
        assert_eq!(Request::decode(&Request::default().encode()), Ok(Request::default()));
    }
}
