//! What programs whose purpose it is tell of the machine and of who uses it, beside what is in files.

use std::ffi::OsStr;

use rustix::process::{getegid, geteuid, getgid, getgroups, getuid};
use rustix::system::uname;
use rustix::thread::sched_getaffinity;

use crate::model::{Digest, Writer};

/// What a program tells.
enum Told {
    /// The names of host, kernel and machine.
    Names,
    /// On how many processors this process may run.
    Processors,
    /// User and groups.
    User,
}

fn told(program: &OsStr) -> Option<Told> {
    Some(match program.to_str()? {
        "uname" | "arch" | "hostname" | "dnsdomainname" | "domainname" | "nisdomainname" | "ypdomainname" => {
            Told::Names
        }
        "nproc" => Told::Processors,
        "id" | "whoami" | "groups" => Told::User,
        _ => return None,
    })
}

/// Whether a program with this file name tells of the machine what [`digest`] can tell as well.
pub fn is_told_by(program: &OsStr) -> bool {
    told(program).is_some()
}

/// The digest of what the machine tells a program with this file name that this process would start; `None` where that is
/// nothing.
pub fn digest(program: &OsStr) -> Option<Digest> {
    let mut writer = Writer::new();
    match told(program)? {
        Told::Names => {
            let names = uname();
            let parts = [
                names.sysname(),
                names.nodename(),
                names.release(),
                names.version(),
                names.machine(),
                names.domainname(),
            ];
            parts.into_iter().fold(&mut writer, |writer, part| writer.bytes(part.to_bytes()));
        }
        Told::Processors => {
            let count = sched_getaffinity(None).map_or(0, |set| set.count());
            let all = std::fs::read("/sys/devices/system/cpu/possible").unwrap_or_default();
            writer.number(u64::from(count)).bytes(&all);
        }
        Told::User => {
            let users = [getuid(), geteuid()].map(|user| user.as_raw());
            let groups = [getgid(), getegid()].map(|group| group.as_raw());
            users.into_iter().chain(groups).fold(&mut writer, |writer, id| writer.number(u64::from(id)));
            let others = getgroups().unwrap_or_default();
            others.into_iter().fold(&mut writer, |writer, group| writer.number(u64::from(group.as_raw())));
        }
    }
    Some(Digest::of(&writer.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_tell_of_the_machine_are_told_apart() {
        let of = |name: &str| digest(OsStr::new(name));
        assert!(of("uname").is_some() && of("uname") == of("hostname"));
        assert!(of("nproc").is_some() && of("nproc") != of("id"));
        assert!(of("cat").is_none() && !is_told_by(OsStr::new("cat")) && is_told_by(OsStr::new("id")));
    }
}
