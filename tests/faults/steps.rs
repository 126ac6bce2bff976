//! Which faults an operation is given: every call of the class, in every way that it can fail.

use std::collections::BTreeMap;

use crate::calls::{Effect, Kind};
use crate::injector::{Blow, Call, Extent, Fault};

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Kills wherever the world outside of the process has changed since the last one, and some of the errors.
    Short,
    /// Everything.
    Long,
}

/// Errors that the short form takes of each operation.
pub const ERRORS_OF_EACH: usize = 32;

/// What was chosen of what there is.
pub struct Steps {
    pub chosen: Vec<Fault>,
    pub of: usize,
    /// How many of those that are chosen are kills.
    pub kills: usize,
}

const ERRORS: [Blow; 9] = [
    Blow::Error(libc::ENOSPC),
    Blow::Error(libc::EIO),
    Blow::Error(libc::EINTR),
    Blow::Short,
    Blow::Error(libc::EACCES),
    Blow::Error(libc::EMFILE),
    Blow::Error(libc::ENOMEM),
    Blow::Error(libc::ENOLCK),
    Blow::Error(libc::EAGAIN),
];

/// The form that the environment asks for.
pub fn form() -> Form {
    if std::env::var_os("FLECHE_LONG").is_some_and(|value| value == "1") { Form::Long } else { Form::Short }
}

/// The steps for what an operation did in a run without a fault.
///
/// A process that is killed before a call that changes nothing leaves what it leaves when it is killed before the next one:
/// the short form passes over the former.
pub fn steps(calls: &[Call], form: Form) -> Steps {
    let (mut kills, mut errors) = (Vec::new(), Vec::new());
    for call in calls {
        let fault = |blow, extent| Fault { place: call.place, blow, extent };
        if form == Form::Long || call.met.effect == Effect::Alters {
            kills.push(fault(Blow::KillBefore, Extent::Once));
        }
        for blow in ERRORS.into_iter().filter(|blow| blow.suits(&call.met)) {
            errors.push(fault(blow, Extent::Once));
            // Were a program or an input gone for good, the bare command would not find it either.
            let goes_on = match call.met.kind {
                Kind::Stream => blow == Blow::Short,
                Kind::Work | Kind::Elsewhere => false,
                _ => true,
            };
            if goes_on {
                errors.push(fault(blow, Extent::FromHereOn));
            }
        }
    }
    // After the last change, too.
    if let Some(last) = calls.iter().rfind(|call| call.met.effect == Effect::Alters) {
        kills.push(Fault { place: last.place, blow: Blow::KillAfter, extent: Extent::Once });
    }
    let of = kills.len() + errors.len();
    let kills_chosen = kills.len();
    if form == Form::Short {
        errors = spread(errors);
        errors.truncate(ERRORS_OF_EACH);
    }
    kills.extend(errors);
    Steps { chosen: kills, of, kills: kills_chosen }
}

/// The same, so that what comes first is of every sort, and each sort from all over the run.
fn spread(errors: Vec<Fault>) -> Vec<Fault> {
    let mut sorts: BTreeMap<_, Vec<Fault>> = BTreeMap::new();
    for fault in errors {
        let sort = (fault.place.process, fault.place.number, fault.place.kind, fault.blow, fault.extent);
        sorts.entry(sort).or_default().push(fault);
    }
    let mut ranked = Vec::new();
    for (sort, faults) in sorts {
        let mut order: Vec<usize> = (0..faults.len()).collect();
        // Halves before quarters before eighths.
        order.sort_by_key(|number| (*number as u64).reverse_bits());
        ranked.extend(order.into_iter().enumerate().map(|(rank, number)| (rank, sort, faults[number])));
    }
    ranked.sort_by_key(|(rank, sort, fault)| (*rank, fault.place.index, *sort));
    ranked.into_iter().map(|(_, _, fault)| fault).collect()
}
