//! The journal: a line an event, appended by whoever makes it happen, folded into the catalogue by the first question.
//!
//! A line is the time in nanoseconds since 1970 (always as wide), what happened, a digest, a number or word and, where it
//! has one, the name of the command, separated by tabs. It is written by one `write(2)`; a line that a full disk cut, and the one that then follows on it, are
//! passed over.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;

use super::Store;
use super::folder::{Folder, Opened, read_at};
use crate::error::Error;
use crate::model::{CommandDigest, Event, Exchange, Key, Reply};

/// The journal that is written.
pub(super) const CURRENT: &str = "journal";
/// The journal before it.
pub(super) const OLD: &str = "journal.old";

/// Characters of the time. Were its width not fixed, a line cut within its time would lend the next one its digits.
const TIME: usize = 20;
/// What counts as the end of the journal, in bytes.
const TAIL: u64 = 64 << 10;
/// Most characters of a name or of a reason.
const LONGEST_TEXT: usize = 500;

/// First bytes of a journal by which it is known again: an inode number can come again.
pub(super) const HEAD: usize = 64;

/// One journal among those that were and will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    inode: u64,
    /// `None` while it has too few bytes, which is less than a line.
    head: Option<[u8; HEAD]>,
}

/// A place in the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The journal in which it is; `None` where there was none.
    journal: Option<Identity>,
    offset: u64,
    /// The journal before that: as long as it is the same, there was no rotation.
    before: Option<Identity>,
}

/// A journal that is open.
struct Journal {
    file: File,
    identity: Identity,
    length: u64,
}

impl Journal {
    /// The journal that is called `name` now; `None` where there is none.
    fn open(folder: &Folder, name: &str) -> io::Result<Option<Journal>> {
        let Some((file, _)) = open(folder, name)? else { return Ok(None) };
        let (metadata, head) = (file.metadata()?, head(&file)?);
        let identity = Identity { inode: metadata.ino(), head };
        Ok(Some(Journal { identity, length: metadata.len(), file }))
    }

    /// The whole lines from `start` on. A line without an end may still get one.
    fn lines(&mut self, start: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        bytes.truncate(whole);
        Ok(bytes)
    }
}

impl Mark {
    /// Whether it is in this journal.
    fn is_in(&self, journal: &Journal) -> bool {
        // One that had no head may have one now.
        self.journal.is_some_and(|marked| {
            marked.inode == journal.identity.inode && (marked.head.is_none() || marked.head == journal.identity.head)
        })
    }

    /// The lines that were appended since; goes on behind them. The journal may have been renamed once meanwhile: `None`
    /// where it was twice, so that nobody knows what is missing.
    ///
    /// # Errors
    ///
    /// Where a journal cannot be read.
    pub fn read_on(&mut self, folder: &Folder) -> io::Result<Option<Vec<u8>>> {
        // In this order: one that is renamed in between is found under the one name or the other.
        let current = Journal::open(folder, CURRENT)?;
        let before = Journal::open(folder, OLD)?;
        let has_head = self.journal.is_some_and(|marked| marked.head.is_some());
        let (mut bytes, start) = match (&current, before) {
            (Some(current), _) if has_head && self.is_in(current) => (Vec::new(), self.offset),
            (_, Some(mut before)) if has_head && self.is_in(&before) => {
                let bytes = before.lines(self.offset)?;
                self.offset += bytes.len() as u64;
                self.before = Some(before.identity);
                (bytes, 0)
            }
            // Nothing by which to know it: it is the same if the one before it is.
            (current, before) if !has_head && before.as_ref().map(|before| before.identity) == self.before => {
                let is_same = current.as_ref().is_some_and(|current| self.is_in(current));
                (Vec::new(), if is_same { self.offset } else { 0 })
            }
            _ => return Ok(None),
        };
        if let Some(mut current) = current {
            let more = current.lines(start)?;
            self.journal = Some(current.identity);
            self.offset = start + more.len() as u64;
            bytes.extend(more);
        }
        Ok(Some(bytes))
    }
}

/// Appends a line.
pub(super) fn append(folder: &Folder, time: i64, event: &Event) -> io::Result<()> {
    folder.open_to_append(CURRENT)?.write_all(line(time, event).as_bytes())
}

/// Where the journal ends now.
///
/// # Errors
///
/// Where a journal cannot be read: whoever took that for none would later see all of it as new.
pub(super) fn end(folder: &Folder) -> io::Result<Mark> {
    let identity_of = |name| Ok::<_, io::Error>(Journal::open(folder, name)?.map(|journal| journal.identity));
    loop {
        let before = identity_of(OLD)?;
        let current = Journal::open(folder, CURRENT)?;
        // Else one became the other in between.
        if before == identity_of(OLD)? {
            let (journal, offset) = current.map_or((None, 0), |current| (Some(current.identity), current.length));
            return Ok(Mark { journal, offset, before });
        }
    }
}

/// What was appended since `mark`, as far as it can be read; the journal may have been renamed meanwhile.
pub(super) fn since(folder: &Folder, mut mark: Mark) -> Vec<u8> {
    mark.read_on(folder).ok().flatten().unwrap_or_default()
}

/// The first bytes of a journal; `None` where there are too few to know it again.
pub(super) fn head(file: &File) -> io::Result<Option<[u8; HEAD]>> {
    let mut head = [0; HEAD];
    Ok((read_at(file, &mut head, 0)? == HEAD).then_some(head))
}

impl Store {
    /// The calls of commands of this name of which the end of the journal tells, the latest first, `most` of them.
    pub fn lately(&self, name: &str, most: usize) -> Vec<Key> {
        let (name, mut keys) = (plain(name), Vec::new());
        let end = tail(&self.folder).unwrap_or_default();
        for line in end.rsplit(|byte| *byte == b'\n') {
            let Some((_, Event::Stored { key, name: found, .. } | Event::Hit { key, name: found, .. })) = event(line)
            else {
                continue;
            };
            if found == name && !keys.contains(&key) {
                keys.push(key);
            }
            if keys.len() == most {
                break;
            }
        }
        keys
    }
}

/// The last bytes of the journal.
fn tail(folder: &Folder) -> io::Result<Vec<u8>> {
    let Opened::File(mut file, stat) = folder.open(CURRENT)? else { return Ok(Vec::new()) };
    file.seek(SeekFrom::Start((stat.st_size as u64).saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A journal to be read line by line, and its inode number.
pub(super) fn open(folder: &Folder, name: &str) -> io::Result<Option<(File, u64)>> {
    match folder.open(name)? {
        Opened::File(file, _) => {
            let inode = file.metadata()?.ino();
            Ok(Some((file, inode)))
        }
        Opened::Absent | Opened::Wrong(_) => Ok(None),
    }
}

/// The failure of who must know all that the journal tells.
pub(super) fn unreadable(why: io::Error) -> Error {
    Error::failure("the journal of the cache cannot be read").because(why)
}

/// The line of an event, newline included.
pub(super) fn line(time: i64, event: &Event) -> String {
    match event {
        Event::Stored { key, bytes, name, why } => {
            format!("{time:020}\tstored\t{key}\t{bytes}\t{}\t{}\n", plain(name), plain(why))
        }
        Event::Copied { key, bytes, name } => format!("{time:020}\tcopied\t{key}\t{bytes}\t{}\n", plain(name)),
        Event::Hit { key, saved, name } => format!("{time:020}\thit\t{key}\t{saved}\t{}\n", plain(name)),
        Event::NotStored { command, reason, detail, name } => {
            let [reason, detail, name] = [reason, detail, name].map(|text| plain(text));
            format!("{time:020}\tmissed\t{command}\t{reason}\t{name}\t{detail}\n")
        }
        Event::Tagged { key } => format!("{time:020}\ttagged\t{key}\t\n"),
        Event::Renamed { from, to } => format!("{time:020}\trenamed\t{from}\t{to}\n"),
        Event::Contested { place } => format!("{time:020}\tcontested\t{place}\t\n"),
        Event::Evicted { key } => format!("{time:020}\tevicted\t{key}\t\n"),
        Event::Asked { command, exchange, saved } => {
            format!("{time:020}\tasked\t{command}\t{saved}\t{}\n", passed(exchange))
        }
        Event::Sent { key, exchange } => format!("{time:020}\tsent\t{key}\t\t{}\n", passed(exchange)),
    }
}

fn passed(exchange: &Exchange) -> String {
    let Exchange { cache, reply, requests, bytes, took } = exchange;
    format!("{}\t{}\t{requests}\t{bytes}\t{took}", plain(cache), reply.name())
}

/// Text without what would break the line, nor so much of it that the line would not be written at once.
fn plain(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The event in a line without its newline; `None` where it is not one.
pub(super) fn event(line: &[u8]) -> Option<(i64, Event)> {
    let mut fields = std::str::from_utf8(line).ok()?.split('\t');
    let time = fields.next().filter(|time| time.len() == TIME)?.parse().ok()?;
    let kind = fields.next()?;
    let digest = fields.next()?.parse().ok()?;
    let number = fields.next()?;
    let mut text = || fields.next().map(str::to_owned);
    let event = match kind {
        "stored" => Event::Stored { key: Key(digest), bytes: number.parse().ok()?, name: text()?, why: text()? },
        "copied" => Event::Copied { key: Key(digest), bytes: number.parse().ok()?, name: text()? },
        "hit" => Event::Hit { key: Key(digest), saved: number.parse().ok()?, name: text()? },
        "missed" => {
            let (command, reason) = (CommandDigest(digest), number.to_owned());
            Event::NotStored { command, reason, name: text()?, detail: text()? }
        }
        "tagged" => Event::Tagged { key: Key(digest) },
        "renamed" => Event::Renamed { from: Key(digest), to: Key(number.parse().ok()?) },
        "contested" => Event::Contested { place: digest },
        "evicted" => Event::Evicted { key: Key(digest) },
        "asked" | "sent" => {
            let (cache, reply) = (text()?, Reply::named(&text()?)?);
            let mut number_of = || text()?.parse().ok();
            let exchange = Exchange { cache, reply, requests: number_of()?, bytes: number_of()?, took: number_of()? };
            match kind {
                "asked" => Event::Asked { command: CommandDigest(digest), exchange, saved: number.parse().ok()? },
                _ => Event::Sent { key: Key(digest), exchange },
            }
        }
        _ => return None,
    };
    fields.next().is_none().then_some((time, event))
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
        (digest, any::<u64>(), "[a-z-]{0,20}", "[^\\pC]{0,9}", 0..9).prop_map(|(digest, number, reason, name, kind)| {
            match kind {
                0 => Event::Stored { key: Key(digest), bytes: number, name, why: reason },
                1 => Event::Hit { key: Key(digest), saved: number, name },
                2 => Event::NotStored { command: CommandDigest(digest), reason: reason.clone(), detail: reason, name },
                3 => Event::Tagged { key: Key(digest) },
                4 => Event::Renamed { from: Key(digest), to: Key(Digest::of(reason.as_bytes())) },
                5 => Event::Contested { place: digest },
                6 | 7 => {
                    let exchange =
                        Exchange { cache: name, reply: Reply::Nothing, requests: 2, bytes: number, took: number };
                    match kind {
                        6 => Event::Asked { command: CommandDigest(digest), exchange, saved: number },
                        _ => Event::Sent { key: Key(digest), exchange },
                    }
                }
                _ => Event::Evicted { key: Key(digest) },
            }
        })
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
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
                let bytes = [&whole.as_bytes()[..cut], whole.as_bytes(), whole.as_bytes()].concat();
                prop_assert_eq!(events(&bytes).collect::<Vec<_>>(), vec![(time, event.clone())], "cut {}", cut);
            }
        }
    }

    #[test]
    fn the_latest_calls_of_a_name_are_found_at_the_end_however_long_the_journal_is() {
        let world = World::new();
        let stored = |byte: u8, name: &str| {
            world.store.note(&Event::Stored {
                key: Key(Digest([byte; 32])),
                bytes: 1,
                name: name.into(),
                why: String::new(),
            });
        };
        assert_eq!(world.store.lately("cc", 9), []);
        stored(1, "cc");
        (0..1000).for_each(|_| stored(2, "ld"));
        assert_eq!(world.store.lately("cc", 9), []);
        stored(3, "cc");
        stored(2, "ld");
        stored(4, "cc");
        stored(3, "cc");
        assert_eq!(world.store.lately("cc", 9), [3, 4].map(|byte| Key(Digest([byte; 32]))));
        assert_eq!(world.store.lately("cc", 1), [Key(Digest([3; 32]))]);
    }

    #[test]
    fn a_text_cannot_break_the_line() {
        let command = CommandDigest(Digest::of(b"x"));
        let told = |text: &str| {
            let text = || text.to_owned();
            Event::NotStored { command, reason: text(), detail: text(), name: text() }
        };
        let written = line(1, &told("a\tb\nc"));
        assert_eq!(event(written.trim_end().as_bytes()), Some((1, told("a b c"))));
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
        let start = end(folder).unwrap();
        note(1);
        let mark = end(folder).unwrap();
        note(2);
        assert_eq!((seen(start), seen(mark)), (expected(&[1, 2]), expected(&[2])));
        let rotate = || {
            std::fs::rename(world.store.folder().join(CURRENT), world.store.folder().join(OLD)).unwrap();
        };
        rotate();
        assert_eq!(seen(mark), expected(&[2]));
        note(3);
        assert_eq!(seen(mark), expected(&[2, 3]));
        let mut reader = mark;
        let mut read_on =
            || reader.read_on(folder).unwrap().map(|bytes| events(&bytes).map(|(_, event)| event).collect());
        assert_eq!(read_on(), Some(expected(&[2, 3])));
        assert_eq!(read_on(), Some(vec![]));
        note(4);
        rotate();
        note(5);
        assert_eq!(read_on(), Some(expected(&[4, 5])));
        rotate();
        assert_eq!((read_on(), read_on()), (Some(vec![]), Some(vec![])));
        note(6);
        rotate();
        note(7);
        assert_eq!(read_on(), None);
    }

    #[test]
    fn another_journal_with_the_same_inode_number_is_another_one() {
        let world = World::new();
        let folder = &world.store.folder;
        let note = |byte: u8| world.store.note(&Event::Evicted { key: Key(Digest([byte; 32])) });
        let place = |name: &str| world.store.folder().join(name);
        note(1);
        let mut mark = end(folder).unwrap();
        // In place of two rotations after which the number comes again: emptied and begun anew.
        std::fs::write(place(CURRENT), "").unwrap();
        std::fs::write(place(OLD), line(1, &Event::Evicted { key: Key(Digest([2; 32])) })).unwrap();
        note(3);
        assert_eq!(mark.read_on(folder).unwrap(), None);
        // One that was empty has no head: the one before it tells.
        std::fs::write(place(CURRENT), "").unwrap();
        let mut empty = end(folder).unwrap();
        note(4);
        assert!(empty.clone().read_on(folder).unwrap().is_some_and(|bytes| events(&bytes).count() == 1));
        std::fs::write(place(OLD), line(1, &Event::Evicted { key: Key(Digest([5; 32])) })).unwrap();
        assert_eq!(empty.read_on(folder).unwrap(), None);
    }

    #[test]
    fn a_line_without_an_end_is_read_when_it_has_one() {
        let world = World::new();
        let folder = &world.store.folder;
        let mut mark = end(folder).unwrap();
        let whole = line(1, &Event::Evicted { key: Key(Digest([1; 32])) });
        let mut file = folder.open_to_append(CURRENT).unwrap();
        file.write_all(&[whole.as_bytes(), &whole.as_bytes()[..30]].concat()).unwrap();
        assert_eq!(mark.read_on(folder).unwrap().as_deref(), Some(whole.as_bytes()));
        file.write_all(&whole.as_bytes()[30..]).unwrap();
        assert_eq!(mark.read_on(folder).unwrap().as_deref(), Some(whole.as_bytes()));
    }
}
