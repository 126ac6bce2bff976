//! Which faults an operation is given: every call of the class, in every way that it can fail.

use std::collections::BTreeMap;

use crate::calls::{Effect, Kind};
use crate::form::is_long;
use crate::injector::{Blow, Call, Extent, Fault};
use crate::parts::part;

/// Errors that the short form takes of each operation.
pub const ERRORS_OF_EACH: usize = 32;

/// What was chosen of what there is.
pub struct Steps {
    pub chosen: Vec<Fault>,
    pub of: usize,
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

/// Every step for what an operation did in a run without a fault.
pub fn all(calls: &[Call]) -> Vec<Fault> {
    let mut kills: Vec<Fault> = calls.iter().map(|call| kill(call, Blow::KillBefore)).collect();
    kills.extend(last_kill(calls));
    kills.extend(errors(calls));
    kills
}

/// The steps that the form takes: in the long one all of them, or a part; in the short one kills wherever the world outside
/// of the process has changed since the last one, and some of the errors.
///
/// A process that is killed before a call that changes nothing leaves what it leaves when it is killed before the next one:
/// the short form passes over the former.
pub fn chosen(calls: &[Call]) -> Steps {
    let all = all(calls);
    let of = all.len();
    if is_long() {
        return Steps { chosen: part(all), of };
    }
    let alters = |call: &&Call| call.met.effect == Effect::Alters;
    let mut chosen: Vec<Fault> = calls.iter().filter(alters).map(|call| kill(call, Blow::KillBefore)).collect();
    chosen.extend(last_kill(calls));
    let (worst, errors) = errors(calls).into_iter().partition::<Vec<Fault>, _>(is_among_the_worst);
    chosen.extend(worst);
    chosen.extend(spread(errors).into_iter().take(ERRORS_OF_EACH));
    Steps { chosen, of }
}

/// Whether it is one of those by which the long form found most: no memory any more, or nothing that can be done to outputs.
fn is_among_the_worst(fault: &Fault) -> bool {
    let Fault { place, blow, extent } = fault;
    let is_for_good = *extent == Extent::FromHereOn;
    match (place.kind, blow) {
        (Kind::Memory, Blow::Error(libc::ENOMEM)) => is_for_good && place.index < 6,
        (Kind::Output, Blow::Error(libc::EIO)) => is_for_good && place.index == 0,
        _ => false,
    }
}

fn kill(call: &Call, blow: Blow) -> Fault {
    Fault { place: call.place, blow, extent: Extent::Once }
}

/// After the last change, too.
fn last_kill(calls: &[Call]) -> Option<Fault> {
    calls.iter().rfind(|call| call.met.effect == Effect::Alters).map(|last| kill(last, Blow::KillAfter))
}

fn errors(calls: &[Call]) -> Vec<Fault> {
    let mut errors = Vec::new();
    for call in calls {
        for blow in ERRORS.into_iter().filter(|blow| blow.suits(&call.met)) {
            errors.push(Fault { place: call.place, blow, extent: Extent::Once });
            // Were a program or an input gone for good, the bare command would not find it either.
            let goes_on = match call.met.kind {
                Kind::Stream => blow == Blow::Short,
                Kind::Work | Kind::Elsewhere => false,
                _ => true,
            };
            if goes_on {
                errors.push(Fault { place: call.place, blow, extent: Extent::FromHereOn });
            }
        }
    }
    errors
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
