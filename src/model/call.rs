//! One recorded run of a command.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::codec::text;
use super::{
    CommandDigest, Content, Digest, Facet, Fields, Isolation, Key, Malformed, Metadata, Observation, Outcome, Output,
    OutputKind, Reader, Request, Room, Writer, manifest,
};

/// The version of a call file's fields; a reader refuses a newer one.
///
/// 2: the observations of a watched command are in the field `manifest`; 3: they are apart, and `apart` is their digest. A
/// reader of a lower format would take the call for one that observed nothing, so it must refuse it. Declared calls are written
/// in format 1 as before.
const FORMAT: u64 = 3;

/// From so many bytes on observations are written apart from what a replay needs.
const MANY: usize = 64 << 10;

/// How a call's inputs are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// fleche watched the command.
    Traced,
    /// The user declared them.
    Declared,
    /// The user said that there are none but the arguments and what they name.
    Pure,
}

impl Grade {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Grade::Traced => "traced",
            Grade::Declared => "declared",
            Grade::Pure => "pure",
        }
    }

    fn from_name(name: &[u8]) -> Result<Grade, Malformed> {
        [Grade::Traced, Grade::Declared, Grade::Pure]
            .into_iter()
            .find(|grade| grade.name().as_bytes() == name)
            .ok_or(Malformed("grade"))
    }
}

/// A recorded run: the command, what it observed, its outcome, its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub key: Key,
    /// The digest of the command alone.
    pub command: CommandDigest,
    /// How its inputs are known.
    pub grade: Grade,
    /// Whether only this project root may replay it, because its result holds the root's path.
    pub bound: bool,
    /// The arguments, as far as they may be known.
    pub argv: Vec<Argument>,
    /// The file that was executed.
    pub program: PathBuf,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// What relative paths are relative to, absolute.
    pub root: PathBuf,
    /// The command's parts in key order: their names and digests under the store's secret.
    pub parts: Vec<(String, Digest)>,
    /// The name of the secret that digests of parts and variables are under, if it is not the store's: the call was taken
    /// over from another cache, and what counted of its environment can be told there alone.
    pub sealed_by: Option<Digest>,
    /// Whether it came here from another cache, whoever made it first: then this one does not answer for it, see
    /// [`is_from_elsewhere`](Call::is_from_elsewhere).
    pub taken_over: bool,
    /// What is known of the environment.
    pub variables: Vec<Variable>,
    /// How it was asked for, see [`Request::recorded`].
    pub request: Request,
    /// What was observed, with stamps: the input manifest.
    pub observations: Vec<Observation>,
    /// What came out.
    pub outcome: Outcome,
    /// When, where, at what cost.
    pub metadata: Metadata,
    /// `name=value` pairs given by users.
    pub tags: BTreeMap<String, String>,
}

/// What a replay needs of a call: a fifth of its file, and the rest is not even looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The call's name.
    pub key: Key,
    /// What came out.
    pub outcome: Outcome,
    /// When the run ended, in nanoseconds since 1970.
    pub stopped: i64,
    /// How long it took, in nanoseconds.
    pub wall: u64,
}

/// An argument as it may be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// As it was.
    Clear(OsString),
    /// Covered by `--redact-arg`.
    Redacted,
}

/// What is recorded of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: OsString,
    /// Its value under the store's secret: tells a change, not the value.
    pub digest: Digest,
    /// Its value, if `--env` named it.
    pub clear: Option<OsString>,
    /// Whether it counted.
    pub counted: bool,
}

impl Call {
    /// How its inputs are known, in words that spaces separate: `declared`, `pure isolated`.
    pub fn grades(&self) -> String {
        match self.request.isolation {
            Isolation::None => self.grade.name().to_owned(),
            Isolation::Folder | Isolation::Strict => format!("{} isolated", self.grade.name()),
        }
    }

    /// Whether another cache made it. Then no key of ours may sign it: that would say that we saw the command do this, when all we
    /// know is who said so, and whether he is believed may change.
    pub fn is_from_elsewhere(&self) -> bool {
        // In another cache of a stack it need not have been taken over.
        self.taken_over || self.sealed_by.is_some()
    }

    /// The bytes of the call, without the frame that its file puts around them.
    pub fn encode(&self) -> Vec<u8> {
        let (format, observed) = self.encode_observed();
        self.encode_around(format, &observed)
    }

    /// The same in two parts, of which a replay needs the first alone: the second, empty unless there is much of it, holds what
    /// was observed.
    pub fn encode_apart(&self) -> (Vec<u8>, Vec<u8>) {
        let (format, observed) = self.encode_observed();
        if observed.len() < MANY {
            return (self.encode_around(format, &observed), Vec::new());
        }
        let mut writer = Writer::new();
        writer.field("apart", &Digest::of(&observed).0);
        (self.encode_around(FORMAT, &writer.into_bytes()), observed)
    }

    /// The field that holds what was observed, and the lowest format that has it.
    fn encode_observed(&self) -> (u64, Vec<u8>) {
        let mut writer = Writer::new();
        let is_declared = self.observations.iter().all(|seen| seen.facet == Facet::Whole);
        match is_declared {
            true => writer.field("observations", &Observation::encode_all(&self.observations)),
            false => writer.field("manifest", &manifest::encode(&self.observations)),
        };
        (if is_declared { 1 } else { 2 }, writer.into_bytes())
    }

    /// All but what was `observed`, and that.
    fn encode_around(&self, format: u64, observed: &[u8]) -> Vec<u8> {
        let mut writer = Writer::with_capacity(observed.len() + 4096);
        writer.number_field("format", format);
        writer.field("key", &self.key.0.0);
        writer.field("command", &self.command.0.0);
        writer.field("grade", self.grade.name().as_bytes());
        writer.number_field("bound", u64::from(self.bound));
        self.outcome.encode(&mut writer);
        for argument in &self.argv {
            match argument {
                Argument::Clear(text) => writer.field("arg", text.as_bytes()),
                Argument::Redacted => writer.field("redacted-arg", b""),
            };
        }
        writer.field("program", self.program.as_os_str().as_bytes());
        writer.field("cwd", self.cwd.as_os_str().as_bytes());
        writer.field("root", self.root.as_os_str().as_bytes());
        for (name, digest) in &self.parts {
            let mut inner = Writer::new();
            inner.raw(&digest.0).raw(name.as_bytes());
            writer.field("part", &inner.into_bytes());
        }
        if let Some(secret) = &self.sealed_by {
            writer.field("sealed-by", &secret.0);
        }
        if self.taken_over {
            writer.field("taken-over", b"");
        }
        for variable in &self.variables {
            let mut inner = Writer::new();
            inner.bytes(variable.name.as_bytes()).raw(&variable.digest.0).number(u64::from(variable.counted));
            if let Some(value) = &variable.clear {
                inner.bytes(value.as_bytes());
            }
            writer.field("variable", &inner.into_bytes());
        }
        writer.field("request", &self.request.encode());
        writer.raw(observed);
        self.metadata.encode(&mut writer);
        for (name, value) in &self.tags {
            let mut inner = Writer::new();
            inner.bytes(name.as_bytes()).bytes(value.as_bytes());
            writer.field("tag", &inner.into_bytes());
        }
        writer.into_bytes()
    }

    /// Reads what [`encode`](Call::encode) wrote, and takes no more memory than there is room for.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is something else, of a newer format, or holds too much.
    pub fn decode(bytes: &[u8], room: &mut Room) -> Result<Call, Malformed> {
        Call::decode_parts(bytes, &[], room)
    }

    /// Reads what [`encode_apart`](Call::encode_apart) wrote; the first part proves the second.
    ///
    /// # Errors
    ///
    /// As [`decode`](Call::decode).
    pub fn decode_parts(bytes: &[u8], apart: &[u8], room: &mut Room) -> Result<Call, Malformed> {
        let (mut key, mut command, mut grade, mut bound) = (None, None, None, false);
        let (mut argv, mut parts, mut variables, mut observations) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut program, mut cwd, mut root) = (PathBuf::new(), PathBuf::new(), PathBuf::new());
        let (mut request, mut sealed_by, mut taken_over) = (Request::default(), None, false);
        let (mut outcome, mut metadata, mut tags) = (Outcome::default(), Metadata::default(), BTreeMap::new());
        for field in Fields::of(bytes) {
            let (name, value) = field?;
            take_room(name, value, room)?;
            let mut reader = Reader::new(value);
            match name {
                b"format" if reader.number()? > FORMAT => return Err(Malformed::NEWER),
                b"key" => key = Some(Key(Digest(reader.digest()?))),
                b"command" => command = Some(CommandDigest(Digest(reader.digest()?))),
                b"grade" => grade = Some(Grade::from_name(value)?),
                b"bound" => bound = reader.number()? == 1,
                b"arg" => argv.push(Argument::Clear(OsString::from_vec(value.to_vec()))),
                b"redacted-arg" => argv.push(Argument::Redacted),
                b"program" => program = path(value),
                b"cwd" => cwd = path(value),
                b"root" => root = path(value),
                b"part" => {
                    let digest = Digest(reader.digest()?);
                    parts.push((text(reader.rest())?, digest));
                }
                b"variable" => variables.push(Variable {
                    name: OsString::from_vec(reader.bytes()?.to_vec()),
                    digest: Digest(reader.digest()?),
                    counted: reader.number()? == 1,
                    clear: if reader.is_empty() { None } else { Some(OsString::from_vec(reader.bytes()?.to_vec())) },
                }),
                b"sealed-by" => sealed_by = Some(Digest(reader.digest()?)),
                b"taken-over" => taken_over = true,
                b"request" => request = Request::decode(value)?,
                b"observations" => observations = Observation::decode_all(value, room)?,
                b"manifest" => observations = manifest::decode(value, room)?,
                b"apart" => {
                    if Digest(reader.digest()?) != Digest::of(apart) {
                        return Err(Malformed("observations: they are not those of the call"));
                    }
                    observations = decode_observed(apart, room)?;
                }
                b"tag" => {
                    tags.insert(text(reader.bytes()?)?, text(reader.bytes()?)?);
                }
                _ => {
                    if !outcome.decode_field(name, value)? {
                        metadata.decode_field(name, value)?;
                    }
                }
            }
        }
        Ok(Call {
            key: key.ok_or(Malformed("call"))?,
            command: command.ok_or(Malformed("call"))?,
            grade: grade.ok_or(Malformed("call"))?,
            bound,
            argv,
            program,
            cwd,
            root,
            parts,
            sealed_by,
            taken_over,
            variables,
            request,
            observations,
            outcome,
            metadata,
            tags,
        })
    }

    /// The name that it goes by: the last component of its first argument.
    pub fn name(&self) -> &OsStr {
        let path = match self.argv.first() {
            Some(Argument::Clear(text)) => Path::new(text),
            Some(Argument::Redacted) | None => &self.program,
        };
        path.file_name().unwrap_or(path.as_os_str())
    }

    /// Every value that the call names, inline or not.
    pub fn values(&self) -> impl Iterator<Item = &Content> {
        let outputs = self.outcome.outputs.iter().filter_map(|output| match &output.kind {
            OutputKind::File { content, .. } => Some(content),
            _ => None,
        });
        self.outcome.stdout.iter().chain(self.outcome.stderr.iter()).chain(outputs)
    }
}

impl Answer {
    /// Reads what a replay needs of what [`Call::encode`] wrote, and takes no more memory than there is room for.
    ///
    /// # Errors
    ///
    /// As [`Call::decode`].
    pub fn decode(bytes: &[u8], room: &mut Room) -> Result<Answer, Malformed> {
        let (mut key, mut outcome, mut times) = (None, Outcome::default(), Metadata::default());
        for field in Fields::of(bytes) {
            let (name, value) = field?;
            if name == b"output" {
                take_room(name, value, room)?;
            }
            match name {
                b"format" if Reader::new(value).number()? > FORMAT => return Err(Malformed::NEWER),
                b"key" => key = Some(Key(Digest(Reader::new(value).digest()?))),
                b"times" => times.decode_field(name, value)?,
                _ => drop(outcome.decode_field(name, value)?),
            }
        }
        let key = key.ok_or(Malformed("call"))?;
        Ok(Answer { key, outcome, stopped: times.usage.stopped, wall: times.usage.wall })
    }
}

/// Reads the field that holds what was observed.
fn decode_observed(bytes: &[u8], room: &mut Room) -> Result<Vec<Observation>, Malformed> {
    match Fields::of(bytes).next() {
        Some(Ok((b"observations", value))) => Observation::decode_all(value, room),
        Some(Ok((b"manifest", value))) => manifest::decode(value, room),
        _ => Err(Malformed("observations")),
    }
}

/// Takes the room of a field: of the largest thing that one makes, and of its bytes.
fn take_room(name: &[u8], value: &[u8], room: &mut Room) -> Result<(), Malformed> {
    /// A request is made of short words, each of which takes up to so many times its bytes.
    const WORDS: usize = 8;
    match name {
        // What these hold is counted one by one.
        b"observations" | b"manifest" => Ok(()),
        b"request" => room.take::<Request>(value.len().saturating_mul(WORDS)),
        _ => room.take::<Output>(value.len()),
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With as much room as the user's own calls have.
    fn decode(bytes: &[u8]) -> Result<Call, Malformed> {
        Call::decode(bytes, &mut Room::of(Room::OWN))
    }

    /// The same of what a replay needs.
    fn answer(bytes: &[u8]) -> Result<Answer, Malformed> {
        Answer::decode(bytes, &mut Room::of(Room::OWN))
    }
    use crate::model::{Output, Stamp, State, Stream, Transcript, Usage};

    fn call() -> Call {
        let content = Content::inline(b"hello\n".to_vec());
        let elsewhere = Content { digest: Digest::of(b"big"), length: 1 << 40, inline: None };
        Call {
            key: Key(Digest::of(b"key")),
            command: CommandDigest(Digest::of(b"command")),
            grade: Grade::Declared,
            bound: true,
            argv: vec![
                Argument::Clear(OsString::from_vec(vec![b'a', 0xff])),
                Argument::Redacted,
                Argument::Clear("".into()),
            ],
            program: "/bin/a".into(),
            cwd: "/work/sub".into(),
            root: "/work".into(),
            parts: vec![("arg.0".into(), Digest::of(b"a"))],
            sealed_by: Some(Digest::of(b"secret")),
            taken_over: true,
            variables: vec![
                Variable { name: "CC".into(), digest: Digest::of(b"cc"), clear: Some("cc".into()), counted: true },
                Variable { name: "TERM".into(), digest: Digest::of(b"x"), clear: None, counted: false },
            ],
            request: Request { inputs: vec!["src".into()], pure: false, ..Request::default() },
            observations: vec![
                Observation { path: "gone".into(), facet: Facet::Whole, state: State::Absent, stamp: None },
                Observation {
                    path: "src/a.c".into(),
                    facet: Facet::Whole,
                    state: State::File { mode: 0o644, digest: Digest::of(b"int") },
                    stamp: Some(Stamp { device: 1, inode: 2, size: 3, modified: -4, changed: 5, mode: 0o100644 }),
                },
                Observation {
                    path: "l".into(),
                    facet: Facet::Whole,
                    state: State::Link { target: b"src".to_vec(), behind: Box::new(State::Folder { mode: 0o755 }) },
                    stamp: None,
                },
            ],
            outcome: Outcome {
                exit: 3,
                stdout: Some(content.clone()),
                stderr: None,
                transcript: Transcript::from_chunks([(5, Stream::Stdout, 6), (7, Stream::Stderr, 0)]),
                outputs: vec![
                    Output { path: "gone.o".into(), kind: OutputKind::Absent },
                    Output {
                        path: "out".into(),
                        kind: OutputKind::Folder { mode: 0o755, owned: true, dated: Some(-7) },
                    },
                    Output {
                        path: "out/f".into(),
                        kind: OutputKind::File {
                            mode: 0o644,
                            content: elsewhere,
                            modified: 9,
                            dated: true,
                            kept: false,
                        },
                    },
                    Output {
                        path: "out/g".into(),
                        kind: OutputKind::File {
                            mode: 0o600,
                            content: Content::inline(b"g".to_vec()),
                            modified: -9,
                            dated: false,
                            kept: true,
                        },
                    },
                    Output { path: "out/l".into(), kind: OutputKind::Link { target: b"f".to_vec(), dated: Some(8) } },
                ],
                stdin_consumed: Some(17),
            },
            metadata: Metadata {
                usage: Usage { started: 1, stopped: 2, wall: 3, ..Usage::default() },
                host: "h".into(),
                git_branch: Some("main".into()),
                ..Metadata::default()
            },
            tags: BTreeMap::from([("project".into(), "alpha".into())]),
        }
    }

    #[test]
    fn a_call_is_read_back() {
        let call = call();
        assert_eq!(decode(&call.encode()), Ok(call.clone()));
        let Call { key, outcome, metadata: Metadata { usage: Usage { stopped, wall, .. }, .. }, .. } = call.clone();
        assert_eq!(answer(&call.encode()), Ok(Answer { key, outcome, stopped, wall }));
    }

    #[test]
    fn a_watched_call_is_read_back_and_refused_by_those_that_would_see_no_inputs() {
        let format = |call: &Call| {
            let bytes = call.encode();
            let field = Fields::of(&bytes).find_map(|field| field.ok().filter(|(name, _)| *name == b"format"));
            Reader::new(field.unwrap().1).number().unwrap()
        };
        let declared = call();
        let mut watched = Call { grade: Grade::Traced, ..call() };
        watched.observations.iter_mut().for_each(|seen| seen.facet = Facet::Kind);
        assert_eq!((format(&declared), format(&watched)), (1, 2));
        assert_eq!(decode(&watched.encode()), Ok(watched.clone()));
        assert_eq!(answer(&watched.encode()).unwrap().outcome, watched.outcome);
    }

    #[test]
    fn what_many_paths_observed_is_apart_from_what_a_replay_needs() {
        let seen = |number: usize| Observation { path: number.to_string().into(), ..call().observations[0].clone() };
        for facet in [Facet::Whole, Facet::Kind] {
            let of = |count| {
                let observations =
                    (0..count).map(|number| Observation { facet: facet.clone(), ..seen(number) }).collect();
                Call { observations, ..call() }
            };
            let few = of(10);
            assert_eq!(few.encode_apart(), (few.encode(), Vec::new()));
            let many = of(MANY / 4);
            let (body, apart) = many.encode_apart();
            let read = |apart: &[u8], room| Call::decode_parts(&body, apart, &mut Room::of(room));
            assert!(apart.len() >= MANY && body.len() < 1000);
            assert_eq!(read(&apart, Room::OWN), Ok(many.clone()));
            assert_eq!(decode(&many.encode()), Ok(many.clone()));
            assert_eq!(answer(&body), answer(&many.encode()));
            assert_eq!(read(&apart, apart.len()), Err(Malformed::TOO_MUCH));
            // A reader that does not know of the other part must not take it for a call without inputs.
            assert_eq!(Reader::new(Fields::of(&body).next().unwrap().unwrap().1).number(), Ok(3));
            let mut flipped = apart.clone();
            flipped[MANY / 2] ^= 1;
            for other in [&b""[..], &apart[1..], &apart[..apart.len() - 1], &flipped] {
                assert_eq!(read(other, Room::OWN), Err(Malformed("observations: they are not those of the call")));
            }
        }
        let mut writer = Writer::new();
        writer.field("apart", &Digest::of(b"other").0);
        let body = writer.into_bytes();
        assert_eq!(Call::decode_parts(&body, b"other", &mut Room::of(Room::OWN)), Err(Malformed("observations")));
    }

    #[test]
    fn a_cut_call_is_refused_or_lacks_its_tail() {
        let whole = call().encode();
        for length in 0..whole.len() {
            assert_ne!(decode(&whole[..length]), Ok(call()));
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let mut writer = Writer::new();
        writer.number_field("format", FORMAT + 1);
        let mut bytes = writer.into_bytes();
        bytes.extend(call().encode());
        assert_eq!(decode(&bytes), Err(Malformed::NEWER));
        assert_eq!(answer(&bytes), Err(Malformed::NEWER));
    }

    #[test]
    fn a_transcript_that_is_none_is_refused_at_once() {
        let mut bytes = Writer::new();
        bytes.raw(&call().encode()).field("transcript", &[0xff; 30]);
        let bytes = bytes.into_bytes();
        assert_eq!(decode(&bytes), Err(Malformed("number")));
        assert_eq!(answer(&bytes), Err(Malformed("number")));
    }

    #[test]
    fn setuid_modes_are_refused() {
        let mut call = call();
        call.outcome.outputs =
            vec![Output { path: "d".into(), kind: OutputKind::Folder { mode: 0o4755, owned: false, dated: None } }];
        assert_eq!(decode(&call.encode()), Err(Malformed("mode")));
    }

    #[test]
    fn few_bytes_that_say_much_are_refused_before_they_take_the_memory() {
        for (name, value) in [("arg", &b""[..]), ("input", b""), ("output", &[0, 0]), ("redacted-arg", b"")] {
            let mut writer = Writer::new();
            for _ in 0..500_000 {
                writer.field(name, value);
            }
            let bytes = writer.into_bytes();
            let room = || Room::of(16 << 20);
            assert_eq!(Call::decode(&bytes, &mut room()), Err(Malformed::TOO_MUCH), "{name}");
            if name == "output" {
                assert_eq!(Answer::decode(&bytes, &mut room()), Err(Malformed::TOO_MUCH));
            }
            let mut request = Writer::new();
            request.field("request", &bytes);
            assert_eq!(Call::decode(&request.into_bytes(), &mut room()), Err(Malformed::TOO_MUCH), "{name}");
        }
    }
}
