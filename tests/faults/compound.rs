//! Pairs: a fault, and another one while what the first one left is mended.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::form::of_form;
use crate::injector::Fault;
use crate::operations::{Leftovers, OPERATIONS, Operation};
use crate::random::Random;
use crate::steps;
use crate::sweep::{Expected, leftovers};
use crate::ward::Ward;

const SEED: u64 = 0xc0_4b0d;
const WORKERS: usize = 2;
/// Pairs of each operation.
const SHORT: usize = 5;
const LONG: usize = 300;

/// What came of pairs.
#[derive(Default)]
struct Tally {
    pairs: usize,
    /// Pairs of which both were made: what the first one changes, the second one may not meet any more.
    both: usize,
    failures: Vec<String>,
}

#[test]
fn a_fault_while_another_one_is_mended_loses_nothing_either() {
    let tally = Mutex::new(Tally::default());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(operation) = OPERATIONS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    pairs(operation, &tally);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    let (pairs, both, failures) = (tally.pairs, tally.both, tally.failures);
    println!("compound: {pairs} pairs (seed {SEED:#x}), {both} of both, {} failures", failures.len());
    failures.iter().take(20).for_each(|failure| println!("FAILED {failure}"));
    assert!(failures.is_empty(), "{} failures", failures.len());
    assert!(both > pairs / 3, "{both}");
}

fn pairs(operation: &Operation, tally: &Mutex<Tally>) {
    let ward = Ward::new(operation.prepare);
    let expected = operation.expected(&ward);
    let all = steps::all(&operation.calls(&ward, &expected));
    let number = OPERATIONS.iter().position(|other| other.name == operation.name).unwrap();
    let mut random = Random::new(SEED + number as u64);
    for _ in 0..of_form(SHORT, LONG) {
        let (first, second) = (all[random.below(all.len())], all[random.below(all.len())]);
        let result = pair(operation, &ward, &expected, first, second);
        let mut tally = tally.lock().unwrap();
        tally.pairs += 1;
        match result {
            Ok(made) => tally.both += usize::from(made == 2),
            Err(why) => tally.failures.push(format!("{}, {first:?}, then {second:?}: {why}", operation.name)),
        }
    }
}

/// Gives how many of both faults were made.
fn pair(operation: &Operation, ward: &Ward, expected: &Expected, first: Fault, second: Fault) -> Result<usize, String> {
    ward.reset();
    let mut made = 0;
    let mut left = Leftovers::None;
    for fault in [first, second] {
        let report = ward.struck(operation.session(&ward.world), Some(fault));
        made += usize::from(!report.injected.is_empty());
        if leftovers(fault) == Leftovers::Some {
            left = Leftovers::Some;
        }
        // What was done may have been done already.
        operation.judge_itself(ward, expected, fault, report, left)?;
    }
    operation.judge_afterwards(ward, expected, left).map(|()| made)
}
