//! The journal: a line an event, appended by whoever makes it happen, folded into the catalogue by the first question.
//!
//! A line is the time in nanoseconds since 1970 (always as wide), what happened, a digest and a detail, separated by
//! tabs. It is written by one `write(2)`; a line that a full disk cut, and the one that then follows on it, are
//! passed over.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;

use super::folder::{Folder, Opened};
use crate::model::{CommandDigest, Event, Key};

/// The journal that is written.
pub(super) const CURRENT: &str = "journal";
/// The journal before it.
pub(super) const OLD: &str = "journal.old";

/// Characters of the time. Were its width not fixed, a line cut within its time would lend the next one its digits.
const TIME: usize = 20;

/// A place in the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    inode: u64,
    offset: u64,
}

/// Appends a line.
pub(super) fn append(folder: &Folder, time: i64, event: &Event) -> io::Result<()> {
    folder.open_to_append(CURRENT)?.write_all(line(time, event).as_bytes())
}

/// Where the journal ends now.
pub(super) fn end(folder: &Folder) -> Mark {
    match folder.stat(CURRENT) {
        Ok(Some(stat)) => Mark { inode: stat.st_ino, offset: stat.st_size as u64 },
        _ => Mark { inode: 0, offset: 0 },
    }
}

/// What was appended since `mark`, as far as it can be read; the journal may have been renamed meanwhile.
pub(super) fn since(folder: &Folder, mark: Mark) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in [OLD, CURRENT] {
        if let Ok(Opened::File(mut file, stat)) = folder.open(name) {
            let marked = stat.st_ino == mark.inode;
            if !marked && name == OLD {
                continue;
            }
            let from = SeekFrom::Start(if marked { mark.offset } else { 0 });
            if file.seek(from).is_ok() {
                // What cannot be read was not seen.
                let _ = file.read_to_end(&mut bytes);
            }
        }
    }
    bytes
}

/// A journal to be read line by line, and its inode number.
pub(super) fn open(folder: &Folder, name: &str) -> io::Result<Option<(std::fs::File, u64)>> {
    match folder.open(name)? {
        Opened::File(file, _) => {
            let inode = file.metadata()?.ino();
            Ok(Some((file, inode)))
        }
        Opened::Absent | Opened::Wrong(_) => Ok(None),
    }
}

/// The line of an event, newline included.
pub(super) fn line(time: i64, event: &Event) -> String {
    match event {
        Event::Stored { key, bytes } => format!("{time:020}\tstored\t{key}\t{bytes}\n"),
        Event::Hit { key, saved } => format!("{time:020}\thit\t{key}\t{saved}\n"),
        Event::NotStored { command, reason } => {
            let reason = reason.replace(|c: char| c.is_control(), " ");
            format!("{time:020}\tmissed\t{command}\t{reason}\n")
        }
        Event::Evicted { key } => format!("{time:020}\tevicted\t{key}\t\n"),
    }
}

/// The event in a line without its newline; `None` where it is not one.
pub(super) fn event(line: &[u8]) -> Option<(i64, Event)> {
    let mut fields = std::str::from_utf8(line).ok()?.split('\t');
    let time = fields.next().filter(|time| time.len() == TIME)?.parse().ok()?;
    let kind = fields.next()?;
    let digest = fields.next()?.parse().ok()?;
    let detail = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    let event = match kind {
        "stored" => Event::Stored { key: Key(digest), bytes: detail.parse().ok()? },
        "hit" => Event::Hit { key: Key(digest), saved: detail.parse().ok()? },
        "missed" => Event::NotStored { command: CommandDigest(digest), reason: detail.to_owned() },
        "evicted" => Event::Evicted { key: Key(digest) },
        _ => return None,
    };
    Some((time, event))
}

/// The events in `bytes`, whatever else is in them.
pub(super) fn events(bytes: &[u8]) -> impl Iterator<Item = (i64, Event)> {
    bytes.split(|byte| *byte == b'\n').filter_map(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::store::testing::World;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = Event> {
        let digest = any::<[u8; 32]>().prop_map(Digest);
        (digest, any::<u64>(), "[a-z-]{0,20}", 0..4).prop_map(|(digest, number, reason, kind)| match kind {
            0 => Event::Stored { key: Key(digest), bytes: number },
            1 => Event::Hit { key: Key(digest), saved: number },
            2 => Event::NotStored { command: CommandDigest(digest), reason },
            _ => Event::Evicted { key: Key(digest) },
        })
    }

    proptest! {
        #[test]
        fn events_are_read_back(written in prop::collection::vec((any::<i64>(), any_event()), 0..9)) {
            let bytes: String = written.iter().map(|(time, event)| line(*time, event)).collect();
            prop_assert_eq!(events(bytes.as_bytes()).collect::<Vec<_>>(), written);
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(events(&bytes).count() <= bytes.len());
        }

        #[test]
        fn a_cut_line_costs_at_most_itself_and_the_next(time: i64, event in any_event()) {
            let whole = line(time, &event);
            for cut in 1..whole.len() {
                let bytes = format!("{}{whole}{whole}", &whole[..cut]);
                prop_assert_eq!(events(bytes.as_bytes()).collect::<Vec<_>>(), vec![(time, event.clone())], "cut {}", cut);
            }
        }
    }

    #[test]
    fn a_reason_cannot_break_the_line() {
        let command = CommandDigest(Digest::of(b"x"));
        let written = line(1, &Event::NotStored { command, reason: "a\tb\nc".into() });
        assert_eq!(
            event(written.trim_end().as_bytes()),
            Some((1, Event::NotStored { command, reason: "a b c".into() }))
        );
    }

    #[test]
    fn what_was_appended_since_a_mark_is_found_even_after_a_rotation() {
        let world = World::new();
        let folder = &world.store.folder;
        let note = |byte: u8| world.store.note(&Event::Evicted { key: Key(Digest([byte; 32])) });
        let seen = |mark| events(&since(folder, mark)).map(|(_, event)| event).collect::<Vec<_>>();
        let expected = |bytes: &[u8]| -> Vec<_> {
            bytes.iter().map(|byte| Event::Evicted { key: Key(Digest([*byte; 32])) }).collect()
        };
        let start = end(folder);
        note(1);
        let mark = end(folder);
        note(2);
        assert_eq!((seen(start), seen(mark)), (expected(&[1, 2]), expected(&[2])));
        std::fs::rename(world.store.folder().join(CURRENT), world.store.folder().join(OLD)).unwrap();
        note(3);
        assert_eq!(seen(mark), expected(&[2, 3]));
    }
}
