//! What a run left behind: its status, its streams, its files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Content, Malformed, Reader, Writer};

/// What a run left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code.
    pub exit: u8,
    /// Standard output, or both streams where they were one open file; `None` where it was closed.
    pub stdout: Option<Content>,
    /// Standard error, where it was open and another file.
    pub stderr: Option<Content>,
    /// The order and the times of what the streams got.
    pub transcript: Transcript,
    /// Declared or found outputs; folders come before what is in them.
    pub outputs: Vec<Output>,
    /// How far the run moved the offset of a regular file on standard input, in bytes.
    pub stdin_consumed: Option<u64>,
}

/// One of the captured streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or both.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The order in which the streams got their bytes, and when.
///
/// Kept encoded, about four bytes a chunk, because a command may write for hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript(Vec<u8>);

impl Transcript {
    /// A transcript of these chunks: nanoseconds since the chunk before, stream, length in bytes.
    pub fn from_chunks(chunks: impl IntoIterator<Item = (u64, Stream, u64)>) -> Transcript {
        let mut transcript = Transcript::default();
        for (delay, stream, length) in chunks {
            transcript.push(delay, stream, length);
        }
        transcript
    }

    /// Appends a chunk that came `delay` nanoseconds after the chunk before.
    pub fn push(&mut self, delay: u64, stream: Stream, length: u64) {
        let mut writer = Writer::new();
        let which = match stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        writer.number(delay).number(length << 1 | which);
        self.0.extend_from_slice(&writer.into_bytes());
    }

    /// The chunks: nanoseconds since the chunk before, stream, length in bytes.
    pub fn chunks(&self) -> impl Iterator<Item = Result<(u64, Stream, u64), Malformed>> + '_ {
        let mut reader = Reader::new(&self.0);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let chunk = reader.number().and_then(|delay| {
                let coded = reader.number()?;
                let stream = if coded & 1 == 0 { Stream::Stdout } else { Stream::Stderr };
                Ok((delay, stream, coded >> 1))
            });
            if chunk.is_err() {
                reader = Reader::new(&[]);
            }
            Some(chunk)
        })
    }
}

/// Something that the command left in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Relative to the root where it lies below it, else absolute.
    pub path: PathBuf,
    /// What it is.
    pub kind: OutputKind,
}

/// The kinds of output that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Not there after success: declared and not made, or taken away by a watched command.
    Absent,
    /// A regular file.
    File {
        /// Its permission bits, without setuid, setgid and sticky.
        mode: u32,
        /// Its bytes.
        content: Content,
        /// Its modification time, in nanoseconds since 1970.
        modified: i64,
        /// Whether that is not the time of its making: the command gave it, or moved an older file here.
        dated: bool,
        /// Whether it was written into a file that lay here, whose mode it has: with none it may get another.
        kept: bool,
    },
    /// A folder.
    Folder {
        /// Its permission bits.
        mode: u32,
        /// Whether it was declared as `DIR/`: everything in it belongs to the command.
        owned: bool,
        /// The modification time that the command gave it, in nanoseconds since 1970, if it gave it one.
        dated: Option<i64>,
    },
    /// A symbolic link.
    Link {
        /// The text of the link.
        target: Vec<u8>,
        /// The modification time that the command gave it, in nanoseconds since 1970, if it gave it one.
        dated: Option<i64>,
    },
}

/// The code of a file that is dated or kept, which an older fleche does not know and so does not replay.
const MARKED: u64 = 4;
/// The same of a folder and of a link that is dated.
const DATED: [u64; 2] = [5, 6];

impl Outcome {
    /// Appends the fields to `writer`.
    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.number_field("exit", u64::from(self.exit));
        for (name, content) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if let Some(content) = content {
                let mut inner = Writer::new();
                content.encode(&mut inner);
                writer.field(name, &inner.into_bytes());
            }
        }
        writer.field("transcript", &self.transcript.0);
        if let Some(consumed) = self.stdin_consumed {
            writer.number_field("stdin-consumed", consumed);
        }
        for output in &self.outputs {
            let mut inner = Writer::new();
            inner.bytes(output.path.as_os_str().as_bytes());
            match &output.kind {
                OutputKind::Absent => {
                    inner.number(0);
                }
                OutputKind::File { mode, content, modified, dated: false, kept: false } => {
                    inner.number(1).number(u64::from(*mode)).signed(*modified);
                    content.encode(&mut inner);
                }
                OutputKind::File { mode, content, modified, dated, kept } => {
                    inner.number(MARKED).number(u64::from(*mode)).signed(*modified);
                    inner.number(u64::from(*dated) | u64::from(*kept) << 1);
                    content.encode(&mut inner);
                }
                OutputKind::Folder { mode, owned, dated } => {
                    inner.number(if dated.is_none() { 2 } else { DATED[0] });
                    inner.number(u64::from(*mode)).number(u64::from(*owned));
                    if let Some(time) = dated {
                        inner.signed(*time);
                    }
                }
                OutputKind::Link { target, dated } => {
                    inner.number(if dated.is_none() { 3 } else { DATED[1] }).bytes(target);
                    if let Some(time) = dated {
                        inner.signed(*time);
                    }
                }
            }
            writer.field("output", &inner.into_bytes());
        }
    }

    /// Takes a field if it is one of the outcome's.
    pub(super) fn decode_field(&mut self, name: &[u8], value: &[u8]) -> Result<bool, Malformed> {
        let mut reader = Reader::new(value);
        match name {
            b"exit" => self.exit = u8::try_from(reader.number()?).map_err(|_| Malformed("exit"))?,
            b"stdout" => self.stdout = Some(Content::decode(&mut reader)?),
            b"stderr" => self.stderr = Some(Content::decode(&mut reader)?),
            b"transcript" => {
                let transcript = Transcript(value.to_vec());
                // What a replay stumbles over, it has to know before it puts the first file in place.
                transcript.chunks().try_for_each(|chunk| chunk.map(drop))?;
                self.transcript = transcript;
            }
            b"stdin-consumed" => self.stdin_consumed = Some(reader.number()?),
            b"output" => {
                let path = PathBuf::from(OsStr::from_bytes(reader.bytes()?));
                let kind = match reader.number()? {
                    0 => OutputKind::Absent,
                    1 => OutputKind::File {
                        mode: permissions(&mut reader)?,
                        modified: reader.signed()?,
                        content: Content::decode(&mut reader)?,
                        dated: false,
                        kept: false,
                    },
                    MARKED => {
                        let (mode, modified, marks) = (permissions(&mut reader)?, reader.signed()?, reader.number()?);
                        let content = Content::decode(&mut reader)?;
                        OutputKind::File { mode, content, modified, dated: marks & 1 != 0, kept: marks & 2 != 0 }
                    }
                    form if form == 2 || form == DATED[0] => OutputKind::Folder {
                        mode: permissions(&mut reader)?,
                        owned: reader.number()? == 1,
                        dated: if form == 2 { None } else { Some(reader.signed()?) },
                    },
                    form if form == 3 || form == DATED[1] => OutputKind::Link {
                        target: reader.bytes()?.to_vec(),
                        dated: if form == 3 { None } else { Some(reader.signed()?) },
                    },
                    _ => return Err(Malformed("output")),
                };
                self.outputs.push(Output { path, kind });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Permission bits; setuid, setgid and sticky are never restored, so a file that has them is refused.
fn permissions(reader: &mut Reader) -> Result<u32, Malformed> {
    match reader.number()? {
        mode if mode <= 0o777 => Ok(mode as u32),
        _ => Err(Malformed("mode")),
    }
}
