//! Traces as bytes: what a watcher hands over to a run that is nested in the one that it belongs to.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Digest, Glimpse, Listing, Made, Malformed, Reader, Reason, Seen, Stamp, Touch, Trace, Writer};

impl Trace {
    /// The trace as bytes, but for what only the outermost run needs to know.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .number(u64::from(self.stdin_used))
            .number(u64::from(self.leaves_root))
            .number(self.refusals.len() as u64);
        for refusal in &self.refusals {
            encode_refusal(refusal, &mut writer);
        }
        for (path, touch) in &self.touched {
            writer.bytes(path.as_os_str().as_bytes());
            touch.encode(&mut writer);
        }
        writer.into_bytes()
    }

    /// Reads what [`encode`](Trace::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Trace, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut trace = Trace { stdin_used: flag(&mut reader)?, leaves_root: flag(&mut reader)?, ..Trace::default() };
        for _ in 0..reader.number()? {
            trace.refusals.push(decode_refusal(&mut reader)?);
        }
        while !reader.is_empty() {
            let path = name(&mut reader)?;
            trace.touched.insert(path.into(), Touch::decode(&mut reader)?);
        }
        Ok(trace)
    }
}

impl Touch {
    fn encode(&self, writer: &mut Writer) {
        match &self.before {
            Glimpse::Nothing => writer.number(0),
            Glimpse::Denied => writer.number(1),
            Glimpse::Something { stamp, user, group, links, target } => {
                stamp.encode(writer.number(if target.is_none() { 2 } else { 3 }));
                writer.number(u64::from(*user)).number(u64::from(*group)).number(*links);
                match target {
                    None => &mut *writer,
                    Some(text) => writer.bytes(text),
                }
            }
        };
        let Seen { kind, kind_blindly, metadata, exactly, content, attributes, machine } = self.seen;
        let Made { changed, own, exclusive, dated, renewed, moved_here, carried } = self.made;
        let flags = [
            kind,
            kind_blindly,
            metadata,
            content,
            changed,
            own,
            exclusive,
            dated,
            moved_here,
            self.image.is_some(),
            self.listing.is_some(),
            carried,
            exactly,
            attributes,
            machine,
            self.attributes.is_some(),
            renewed,
        ];
        writer.number(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u64::from(*flag)));
        for digest in self.image.iter().chain(&self.attributes) {
            writer.raw(&digest.0);
        }
        if let Some(listing) = &self.listing {
            writer.number(listing.entries.len() as u64);
            for (name, kind) in &listing.entries {
                writer.bytes(name.as_bytes()).number(u64::from(*kind));
            }
            writer.number(listing.without.len() as u64);
            for name in &listing.without {
                writer.bytes(name.as_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Touch, Malformed> {
        let before = match reader.number()? {
            0 => Glimpse::Nothing,
            1 => Glimpse::Denied,
            form @ 2..=3 => Glimpse::Something {
                stamp: Stamp::decode(reader)?,
                user: small(reader)?,
                group: small(reader)?,
                links: reader.number()?,
                target: if form == 3 { Some(reader.bytes()?.to_vec()) } else { None },
            },
            _ => return Err(Malformed("glimpse")),
        };
        let bits = reader.number()?;
        let is_set = |place: u32| bits >> place & 1 == 1;
        let seen = Seen {
            kind: is_set(0),
            kind_blindly: is_set(1),
            metadata: is_set(2),
            content: is_set(3),
            exactly: is_set(12),
            attributes: is_set(13),
            machine: is_set(14),
        };
        let made = Made {
            changed: is_set(4),
            own: is_set(5),
            exclusive: is_set(6),
            dated: is_set(7),
            renewed: is_set(16),
            moved_here: is_set(8),
            carried: is_set(11),
        };
        let image = if is_set(9) { Some(Digest(reader.digest()?)) } else { None };
        let attributes = if is_set(15) { Some(Digest(reader.digest()?)) } else { None };
        let mut listing = is_set(10).then(Listing::default);
        if let Some(listing) = &mut listing {
            for _ in 0..reader.number()? {
                listing.entries.push((name(reader)?, small(reader)?));
            }
            for _ in 0..reader.number()? {
                listing.without.push(name(reader)?);
            }
        }
        Ok(Touch { before, image, seen, listing, attributes, made })
    }
}

fn flag(reader: &mut Reader) -> Result<bool, Malformed> {
    Ok(reader.number()? == 1)
}

fn small(reader: &mut Reader) -> Result<u32, Malformed> {
    u32::try_from(reader.number()?).map_err(|_| Malformed("number"))
}

fn name(reader: &mut Reader) -> Result<OsString, Malformed> {
    Ok(OsString::from_vec(reader.bytes()?.to_vec()))
}

/// What a watcher refuses; any other reason is told in words.
fn encode_refusal(refusal: &Reason, writer: &mut Writer) {
    let path = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
    let (number, text) = match refusal {
        Reason::Network(how) => (1, how.clone().into_bytes()),
        Reason::Socket(at) => (2, path(at)),
        Reason::Device(at) => (3, path(at)),
        Reason::HardLink(at) => (4, path(at)),
        Reason::Privileged(at) => (5, path(at)),
        Reason::NoImage(at) => (6, path(at)),
        Reason::LeftBehind => (7, Vec::new()),
        Reason::Internal => (8, Vec::new()),
        Reason::StdinUnknown => (9, Vec::new()),
        Reason::Disturbed(why) => (10, why.clone().into_bytes()),
        Reason::InputUnreadable(at, why) => (11, [&path(at), b"\0".as_slice(), why.as_bytes()].concat()),
        Reason::Unwatched(why) => (0, why.clone().into_bytes()),
        Reason::Identity(at) => (12, path(at)),
        Reason::Attributes(at) => (13, path(at)),
        Reason::Machine(at) => (14, path(at)),
        Reason::OwnAge(at) => (15, path(at)),
        other => (0, other.to_string().into_bytes()),
    };
    writer.number(number).bytes(&text);
}

fn decode_refusal(reader: &mut Reader) -> Result<Reason, Malformed> {
    let (number, text) = (reader.number()?, reader.bytes()?.to_vec());
    let words = || String::from_utf8(text.clone()).map_err(|_| Malformed("reason"));
    let path = || PathBuf::from(OsString::from_vec(text.clone()));
    Ok(match number {
        0 => Reason::Unwatched(words()?),
        1 => Reason::Network(words()?),
        2 => Reason::Socket(path()),
        3 => Reason::Device(path()),
        4 => Reason::HardLink(path()),
        5 => Reason::Privileged(path()),
        6 => Reason::NoImage(path()),
        7 => Reason::LeftBehind,
        8 => Reason::Internal,
        9 => Reason::StdinUnknown,
        10 => Reason::Disturbed(words()?),
        11 => {
            let end = text.iter().position(|byte| *byte == 0).ok_or(Malformed("reason"))?;
            let why = String::from_utf8(text[end + 1..].to_vec()).map_err(|_| Malformed("reason"))?;
            Reason::InputUnreadable(PathBuf::from(OsString::from_vec(text[..end].to_vec())), why)
        }
        12 => Reason::Identity(path()),
        13 => Reason::Attributes(path()),
        14 => Reason::Machine(path()),
        15 => Reason::OwnAge(path()),
        _ => return Err(Malformed("reason")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(place: usize) -> Touch {
        let stamp = Stamp { device: 1, inode: 2, size: 3, modified: -4, changed: 5, mode: 0o100_644 };
        let glimpses = [
            Glimpse::Nothing,
            Glimpse::Denied,
            Glimpse::Something { stamp, user: 6, group: 7, links: 8, target: None },
            Glimpse::Something { stamp, user: 6, group: 7, links: 8, target: Some(b"to".to_vec()) },
        ];
        let is = |number: usize| place % 17 == number;
        let listing = Listing { entries: vec![("a".into(), 1), ("b".into(), 0)], without: vec!["c".into()] };
        Touch {
            before: glimpses[place % 4].clone(),
            image: is(9).then_some(Digest([7; 32])),
            seen: Seen {
                kind: is(0),
                kind_blindly: is(1),
                metadata: is(2),
                content: is(3),
                exactly: is(12),
                attributes: is(13),
                machine: is(14),
            },
            listing: is(10).then_some(listing),
            attributes: is(15).then_some(Digest([8; 32])),
            made: Made {
                changed: is(4),
                own: is(5),
                exclusive: is(6),
                dated: is(7),
                renewed: is(16),
                moved_here: is(8),
                carried: is(11),
            },
        }
    }

    #[test]
    fn traces_come_through_whole() {
        let trace = Trace {
            touched: (0..64).map(|place| (format!("/path/{place}").into(), touch(place))).collect(),
            refusals: vec![
                Reason::Network("inet".into()),
                Reason::Socket("/s".into()),
                Reason::Device("/d".into()),
                Reason::HardLink("/h".into()),
                Reason::Privileged("/p".into()),
                Reason::NoImage("/i".into()),
                Reason::LeftBehind,
                Reason::Internal,
                Reason::StdinUnknown,
                Reason::Disturbed("io".into()),
                Reason::InputUnreadable("/u".into(), "denied".into()),
                Reason::Unwatched("odd".into()),
                Reason::Identity("/n".into()),
                Reason::Attributes("/a".into()),
                Reason::Machine("/m".into()),
                Reason::OwnAge("/o".into()),
            ],
            stdin_used: true,
            leaves_root: true,
            ..Trace::default()
        };
        let bytes = trace.encode();
        assert_eq!(Trace::decode(&bytes), Ok(trace));
        assert!(Trace::decode(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(Trace::decode(&Trace::default().encode()), Ok(Trace::default()));
    }
}
