//! The store against a map: histories of steps that are drawn, each done to both.
//!
//! Two caches stand beside two maps (`plain`). Calls, values and commands are few, so that they collide; files are harmed,
//! recordings die half way, catalogues vanish, plans of garbage collection are carried out late. After each step the files are
//! those of the map, whatever is looked up is what the map says or a miss where just that was harmed, and the catalogue says
//! what a filter over the map says. A history that fails is made smaller by proptest, and printed.
//!
//! `FLECHE_SEED` draws other histories, and `FLECHE_LONG` ten times as many.

mod agreement;
mod carrying;
mod collecting;
mod machine;
mod plain;
mod step;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use machine::Machine;
use step::{Step, history};

/// How many steps are done.
const TRANSITIONS: u64 = 100_000;
/// What is drawn where no other seed is given.
const SEED: u64 = 6;

/// A number from the environment of the tests.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn check(steps: &[Step]) -> Result<(), String> {
    let mut machine = Machine::new();
    for (number, step) in steps.iter().enumerate() {
        machine.step(step).map_err(|why| format!("after step {number}, {step:?}: {why}"))?;
    }
    machine.end().map_err(|why| format!("at the end: {why}"))
}

/// Draws histories from a seed until enough steps are done.
fn draw(seed: u64, transitions: u64, done: &AtomicU64) -> Result<u64, String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (mut histories, failed) = (0, std::cell::Cell::new(false));
    let drawn = history();
    while done.load(Ordering::Relaxed) < transitions {
        let tree = drawn.new_tree(&mut runner).map_err(|why| format!("seed {seed}: {why}"))?;
        let tried = runner.run_one(tree, |steps: Vec<Step>| {
            done.fetch_add(steps.len() as u64, Ordering::Relaxed);
            check(&steps).map_err(|why| {
                // The first time, before it is made smaller.
                if !failed.replace(true) {
                    eprintln!("seed {seed}: {why}; it is made smaller");
                }
                TestCaseError::fail(why)
            })
        });
        match tried {
            Ok(_) => histories += 1,
            Err(TestError::Fail(why, steps)) => return Err(format!("seed {seed}: {why}\n{steps:#?}")),
            Err(TestError::Abort(why)) => return Err(format!("seed {seed}: {why}")),
        }
    }
    Ok(histories)
}

#[test]
fn the_store_is_a_map() {
    let seed = number("FLECHE_SEED").unwrap_or(SEED);
    let transitions = if crate::laws::are_long() { 10 * TRANSITIONS } else { TRANSITIONS };
    let done = AtomicU64::new(0);
    // Two at a time, each with a seed of its own, so that one seed always draws the same.
    let results: Vec<Result<u64, String>> = std::thread::scope(|scope| {
        let done = &done;
        let threads = [0, 1].map(|half| scope.spawn(move || draw(2 * seed + half, transitions, done)));
        threads.map(|thread| thread.join().unwrap()).into()
    });
    let histories: Vec<u64> = results.into_iter().map(|result| result.unwrap_or_else(|why| panic!("{why}"))).collect();
    let transitions = done.load(Ordering::Relaxed);
    println!("model: seed {seed}, {} histories, {transitions} transitions, 0 failures", histories.iter().sum::<u64>());
}
