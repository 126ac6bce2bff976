//! The sweep: an operation, a fault, and what must be true then.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::calls::Kind;
use crate::form::of_form;
use crate::injector::{Blow, Call, Extent, Fault, Report};
use crate::operations::{self, Aim, Bare, Leftovers, Operation, State, as_bare, nothing_lost};
use crate::parts::Progress;
use crate::steps::{self, Steps};
use crate::ward::Ward;
use crate::world::Outcome;

/// Steps that run at the same time; those of the long form wait more than they work, for locks that are never granted.
const WORKERS: [usize; 2] = [2, 8];
/// Failures that are told in full.
const TOLD: usize = 40;
/// Tries of a step whose call did not come: how often a pipe is read depends on the scheduler.
const TRIES: usize = 3;

/// What there is to compare with.
pub enum Expected {
    Run(Bare),
    Change(State),
}

/// What came of an operation's steps.
#[derive(Default)]
pub struct Tally {
    pub steps: usize,
    pub kills: usize,
    pub of: usize,
    pub calls: usize,
    /// Steps whose call did not come at all.
    pub missed: Vec<String>,
    pub failures: Vec<String>,
}

impl Operation {
    pub fn expected(&self, ward: &Ward) -> Expected {
        let expected = match self.aim {
            Aim::Run(bare) => Expected::Run(self.bare(bare)),
            Aim::Change { takes, .. } => Expected::Change(State::of(ward, takes)),
        };
        ward.reset();
        expected
    }

    /// The calls of a run without a fault, which must do what it is for.
    pub fn calls(&self, ward: &Ward, expected: &Expected) -> Vec<Call> {
        ward.reset();
        let before = executions(ward);
        let report = ward.struck(self.session(&ward.world), None);
        assert_eq!(executions(ward) == before, !self.executes(), "{}", self.name);
        let outcome = Outcome { status: report.status, stdout: report.stdout, stderr: report.stderr };
        let right = match expected {
            Expected::Run(bare) => as_bare(bare, ward, &outcome, Leftovers::None),
            Expected::Change(state) if outcome.code() == 0 => self.is_done(ward, state),
            Expected::Change(_) => Err(format!("it ends with {}: {}", outcome.code(), outcome.stderr())),
        };
        assert_eq!(right, Ok(()), "{}, without a fault", self.name);
        report.calls
    }

    fn is_done(&self, ward: &Ward, state: &State) -> Result<(), String> {
        match self.aim {
            Aim::Change { is_done, .. } => is_done(ward, state),
            Aim::Run(_) => Ok(()),
        }
    }

    /// One step: `None` where its call did not come.
    fn step(&self, ward: &Ward, expected: &Expected, fault: Fault) -> Option<Result<(), String>> {
        let mut report = None;
        for _ in 0..TRIES {
            ward.reset();
            let tried = ward.struck(self.session(&ward.world), Some(fault));
            if !tried.injected.is_empty() {
                report = Some(tried);
                break;
            }
        }
        let report = report?;
        let what = format!("{} {fault:?} at `{}`", self.name, report.injected[0]);
        Some(self.judged(ward, expected, fault, report).map_err(|why| format!("{what}: {why}")))
    }

    /// What must be true of a run that was struck, and of what comes after it.
    fn judged(&self, ward: &Ward, expected: &Expected, fault: Fault, report: Report) -> Result<(), String> {
        let leftovers = leftovers(fault);
        self.judge_itself(ward, expected, fault, report, leftovers)?;
        self.judge_afterwards(ward, expected, leftovers)
    }

    /// What must be true of a run that was struck.
    pub fn judge_itself(
        &self,
        ward: &Ward,
        expected: &Expected,
        fault: Fault,
        report: Report,
        leftovers: Leftovers,
    ) -> Result<(), String> {
        let outcome = Outcome { status: report.status, stdout: report.stdout, stderr: report.stderr };
        let stderr = String::from_utf8(outcome.stderr.clone()).map_err(|error| error.to_string())?;
        if report.hung {
            return Err("it hangs".to_owned());
        }
        if stderr.contains("panicked at") {
            return Err(format!("it panics: {stderr}"));
        }
        if kills(fault) && fault.place.process == 0 && !report.injected.is_empty() {
            return match outcome.status.signal() {
                Some(libc::SIGKILL) => Ok(()),
                _ => Err(format!("it was killed and ends with {}", outcome.status)),
            };
        }
        match (expected, outcome.code()) {
            (Expected::Run(bare), _) => {
                as_bare(bare, ward, &outcome, leftovers).map_err(|why| format!("that run: {why}"))
            }
            (Expected::Change(state), 0) => self.is_done(ward, state).map_err(|why| format!("it said yes, but {why}")),
            (Expected::Change(_), 1 | 2) if stderr.starts_with("fleche: ") => Ok(()),
            // Without any memory it can only say so; SIGABRT is how.
            (Expected::Change(_), 134)
                if fault.place.kind == Kind::Memory
                    && fault.extent == Extent::FromHereOn
                    && stderr.starts_with("memory allocation of ") =>
            {
                Ok(())
            }
            // Before the program itself has begun, its runtime ends it so, as it ends any program.
            (Expected::Change(_), 139)
                if fault.place.kind == Kind::Memory && fault.place.index == 0 && stderr.is_empty() =>
            {
                Ok(())
            }
            (Expected::Change(_), code) => Err(format!("it ends with {code}: {stderr}")),
        }
    }

    /// What must be true of what comes after a run that was struck.
    pub fn judge_afterwards(&self, ward: &Ward, expected: &Expected, leftovers: Leftovers) -> Result<(), String> {
        let state = match expected {
            Expected::Run(bare) => return self.recovers(ward, bare, leftovers),
            Expected::Change(state) => state,
        };
        nothing_lost(ward, state)?;
        let again = self.session(&ward.world).run();
        if !matches!(again.code(), 0 | 1) {
            return Err(format!("the next one ends with {}: {}", again.code(), again.stderr()));
        }
        self.is_done(ward, state).map_err(|why| format!("the next one: {why}"))?;
        nothing_lost(ward, state)?;
        ward.swept()
    }

    /// Two more runs must be right, the second one without the command, and what is left must be whole.
    pub fn recovers(&self, ward: &Ward, bare: &Bare, leftovers: Leftovers) -> Result<(), String> {
        let next = self.session(&ward.world).run();
        as_bare(bare, ward, &next, leftovers).map_err(|why| format!("the next run: {why}"))?;
        if self.name.ends_with("watched") {
            // What was there before counts, and after the first one there is more.
            let next = self.session(&ward.world).run();
            as_bare(bare, ward, &next, leftovers).map_err(|why| format!("the run after the next: {why}"))?;
        }
        let before = executions(ward);
        let next = self.session(&ward.world).run();
        as_bare(bare, ward, &next, leftovers).map_err(|why| format!("the last run: {why}"))?;
        if executions(ward) != before && !self.refreshes() {
            return Err(format!("the last run is no hit: {}", next.stderr()));
        }
        if leftovers == Leftovers::Some {
            // A hit lists no folders; whoever runs the command does, and removes what lies there.
            let next = self.session(&ward.world).env("FLECHE_MODE", "refresh").run();
            as_bare(bare, ward, &next, Leftovers::None).map_err(|why| format!("a run that executes: {why}"))?;
        }
        ward.verified(Path::new("local"))?;
        ward.swept()
    }

    fn refreshes(&self) -> bool {
        self.name == "refresh"
    }

    /// Whether the command runs where nothing fails.
    fn executes(&self) -> bool {
        matches!(self.name, "first open" | "miss" | "miss, watched") || self.refreshes()
    }
}

/// What a fault may leave beside the targets of a restore: only what is struck for good cannot be removed in that very run.
pub fn leftovers(fault: Fault) -> Leftovers {
    let is_for_good = fault.extent == Extent::FromHereOn && fault.place.kind == Kind::Output;
    if kills(fault) || is_for_good { Leftovers::Some } else { Leftovers::None }
}

fn kills(fault: Fault) -> bool {
    matches!(fault.blow, Blow::KillBefore | Blow::KillAfter)
}

/// How often commands were executed.
fn executions(ward: &Ward) -> usize {
    ["tool", "printer"].map(|name| ward.world.executions(name)).iter().sum()
}

/// Gives an operation all its faults.
pub fn sweep(operation: &Operation) -> Tally {
    let first = Ward::new(operation.prepare);
    let expected = operation.expected(&first);
    let calls = operation.calls(&first, &expected);
    let Steps { chosen, of } = steps::chosen(&calls);
    let kills = chosen.iter().filter(|fault| kills(**fault)).count();
    let progress = Progress::new(operation.name, chosen.len());
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally { steps: chosen.len(), kills, of, calls: calls.len(), ..Tally::default() });
    let work = |ward: Ward, expected: &Expected| {
        while let Some(fault) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = operation.step(&ward, expected, *fault);
            progress.step();
            let mut tally = tally.lock().unwrap();
            match result {
                None => tally.missed.push(format!("{fault:?}")),
                Some(Ok(())) => {}
                Some(Err(why)) => {
                    if tally.failures.len() < TOLD {
                        println!("FAILED {why}");
                    }
                    tally.failures.push(why);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..of_form(WORKERS[0], WORKERS[1]) {
            scope.spawn(|| {
                let ward = Ward::new(operation.prepare);
                let expected = operation.expected(&ward);
                work(ward, &expected);
            });
        }
        work(first, &expected);
    });
    tally.into_inner().unwrap()
}

/// Sweeps operations and says what came of it; there must be no failure.
#[track_caller]
pub fn all(names: &[&str]) {
    let mut failures = Vec::new();
    let only = std::env::var("FLECHE_ONLY").ok();
    for operation in operations::OPERATIONS.iter().filter(|operation| names.contains(&operation.name)) {
        if only.as_ref().is_some_and(|only| *only != operation.name) {
            continue;
        }
        let began = std::time::Instant::now();
        let tally = sweep(operation);
        println!(
            "{}: {} calls, {} of {} steps ({} kills), {} without their call, {} failures, {:?}",
            operation.name,
            tally.calls,
            tally.steps,
            tally.of,
            tally.kills,
            tally.missed.len(),
            tally.failures.len(),
            began.elapsed()
        );
        // How often a pipe is read varies, and whether a stamp is too young; everything else comes.
        if tally.missed.len() > tally.steps / 20 {
            println!("FAILED {}: calls that did not come: {:?}", operation.name, tally.missed);
            failures.push(format!("{}: {} calls did not come", operation.name, tally.missed.len()));
        }
        failures.extend(tally.failures);
    }
    assert!(failures.is_empty(), "{} failures", failures.len());
}
