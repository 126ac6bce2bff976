//! Calls that reach beyond the command and its files: devices, sockets, standard input.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use super::super::super::{Network, never};
use super::super::ledger::Sight;
use super::super::look;
use super::super::socket::{Address, address};
use super::{Asker, Observer};
use crate::exec::passing;
use crate::model::Reason;
use crate::sys::calls::{At, Empty, End, Opening, SIGNAL};
use crate::sys::tracee::{Spot, Tracee};

/// As long as the kernel takes addresses (`struct sockaddr_storage`).
const LONGEST_ADDRESS: u64 = 128;

impl Observer {
    /// Refuses what others may be at the other end of, unless it is the command's own.
    pub(super) fn refuse_special(&mut self, path: &Path) {
        let is_special = |kind| [FileType::Fifo, FileType::CharacterDevice, FileType::BlockDevice].contains(&kind);
        if !self.ledger.is_own(path) && look::kind_of(self.ledger.before(path)).is_some_and(is_special) {
            self.ledger.refuse(Reason::Device(path.to_owned()));
        }
    }

    pub(super) fn open_device(&mut self, asker: &Asker, path: &Path, opening: Opening) {
        let is_probe = path == Path::new("/dev/tty") && opening.is_probe();
        if is_probe || opening.is_place() || never::is_plain_device(path) {
            return;
        }
        let is_used = match path.starts_with("/dev") {
            true => match look::kind_of(&look::glimpse(path)) {
                None => opening.creates(),
                Some(kind) => ![FileType::Directory, FileType::Symlink, FileType::Socket].contains(&kind),
            },
            false => opening.changes() && !never::is_of_a_process(path),
        };
        if is_used {
            self.ledger.refuse(Reason::Device(path.to_owned()));
        } else if !opening.is_place() {
            self.refuse_kernels(asker, path);
        }
    }

    /// Names of descriptor 0.
    pub(super) fn open_input(&mut self, tracee: Tracee) {
        if [&b"/dev/stdin"[..], b"/dev/fd/0", b"/proc/self/fd/0"].contains(&&self.text[..]) {
            self.use_input(tracee, 0);
        }
    }

    pub(super) fn use_input(&mut self, tracee: Tracee, number: i32) {
        if number == 0 && !self.stdin_used && self.input.is_some() {
            let inode = tracee.inode(Spot::Descriptor(0)).map(|stat| (stat.st_dev, stat.st_ino));
            self.stdin_used = inode == self.input;
        }
    }

    /// A signal to what is not the command's own a replay would not send.
    pub(super) fn signal(&mut self, tracee: Tracee, to: i32) {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        if to != tracee.id() && (to <= 0 || to == own || !passing::descends(to, own)) {
            self.ledger.refuse(Reason::Unwatched(SIGNAL.into()));
        }
    }

    pub(super) fn refuse_network(&mut self, how: String) {
        if self.watch.network == Network::Refused {
            self.ledger.refuse(Reason::Network(how));
        }
    }

    pub(super) fn address(&self, asker: &Asker, place: u64, length: u64) -> Option<Address> {
        let mut bytes = [0; LONGEST_ADDRESS as usize];
        let bytes = &mut bytes[..length.min(LONGEST_ADDRESS) as usize];
        if place == 0 || bytes.is_empty() {
            return None;
        }
        let read = asker.tracee.read(place, bytes).ok()?;
        address(&bytes[..read]).filter(|_| asker.is_waiting())
    }

    pub(super) fn connect(&mut self, asker: &Asker, place: u64, length: u64) {
        match self.address(asker, place, length) {
            None | Some(Address::Other(0)) => {}
            Some(Address::Path(text)) => {
                let at = At { folder: None, path: 0, end: End::Followed, empty: Empty::Nothing };
                let Some(path) = self.real_of(asker, &text, at) else { return };
                let is_there = look::kind_of(&look::glimpse(&path)).is_some();
                if never::is_name_service(&path) || self.ledger.is_own(&path) {
                    return;
                }
                if !self.is_passed_over(asker, &path) {
                    self.ledger.see(&path, Sight::Kind);
                }
                if is_there {
                    self.ledger.refuse(Reason::Socket(path));
                }
            }
            Some(Address::Abstract(name)) => self.refuse_abstract(&name),
            Some(Address::Network(address)) => self.refuse_network(address.to_string()),
            Some(Address::Other(family)) => self.refuse_network(format!("an address of family {family}")),
        }
    }

    /// A message may name its receiver, as a connection does.
    pub(super) fn send(&mut self, asker: &Asker, message: u64) {
        if let Some([name, length]) = asker.tracee.read_words(message) {
            // The length is half as long as a word.
            self.connect(asker, name, length & u64::from(u32::MAX));
        }
    }

    pub(super) fn refuse_abstract(&mut self, name: &[u8]) {
        // As unix(7) and ss(8) show such names.
        self.ledger.refuse(Reason::Socket(OsStr::from_bytes(&[b"@", name].concat()).into()));
    }

    pub(super) fn bind(&mut self, asker: &Asker, place: u64, length: u64) {
        match self.address(asker, place, length) {
            None | Some(Address::Other(_)) => {}
            Some(Address::Path(text)) => {
                let at = At { folder: None, path: 0, end: End::Kept, empty: Empty::Nothing };
                let Some(path) = self.real_of(asker, &text, at) else { return };
                if self.is_change_noted(asker, &path) && self.ledger.now(&path).is_none() {
                    self.ledger.make(&path);
                }
            }
            // One without a name is given one by the kernel, which nobody can guess.
            Some(Address::Abstract(name)) if name.is_empty() => {}
            Some(Address::Abstract(name)) => self.refuse_abstract(&name),
            Some(Address::Network(address)) => self.refuse_network(address.to_string()),
        }
    }
}
