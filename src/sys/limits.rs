//! The limits under which commands are started.

use rustix::process::{Resource, getrlimit};

/// Fewer open files than this are too few for some commands.
const FEW_FILES: u64 = 256;

/// The limits of this process, which commands inherit, of which a command may have too little, as a text that tells one from
/// another; `None` where there are none. A shell says yes although one of its commands could not write any further.
///
/// Usual limits are not told: `make` and terminals raise and lower them, and no result depends on that.
pub fn tight() -> Option<String> {
    let unlimited =
        [(Resource::Fsize, "fsize"), (Resource::As, "as"), (Resource::Data, "data"), (Resource::Cpu, "cpu")];
    let set = unlimited.into_iter().filter_map(|(resource, name)| Some((name, getrlimit(resource).current?)));
    let files = getrlimit(Resource::Nofile).current.filter(|most| *most < FEW_FILES).map(|most| ("nofile", most));
    let all: Vec<String> = set.chain(files).map(|(name, most)| format!("{name}={most}")).collect();
    (!all.is_empty()).then(|| all.join(" "))
}
