//! Restoring recorded outputs: all of them, or none.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, fchmod, fstat, futimens};

use crate::model::{Output, Reason, Stamp};
use crate::sys::{beneath, stamp};

use super::fault::Fault;
use super::ground::Grounds;
use super::places::Places;
use super::plan::{FilePlan, Plan, Rules};
use super::transaction::{Staged, Transaction};
use super::verified::Verified;
use super::{Inputs, Known, Mtime, Stock, copy, strangers};

/// What a restore has to tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// What was left although a clean run would not have it, a sentence each.
    pub warnings: Vec<String>,
}

/// Puts `outputs` where they were recorded, as far as `places` allow it, and if no stranger lies among `inputs`.
/// Where a watched command is replayed, what was observed also tells what may be taken away.
///
/// Every value is opened, verified and copied beside its target before the first target is touched; then
/// all are renamed, files in the order of their recorded modification times, links last. Where anything
/// fails, everything is as before and the reason is [`Reason::NotRestored`], or the stock's own.
pub fn restore<S: Stock>(
    places: &Places,
    outputs: &[Output],
    stock: &S,
    policy: Mtime,
    former: &Known,
    inputs: &Inputs,
) -> Result<Restored, Reason> {
    if outputs.is_empty() && !places.hold_glob() {
        return Ok(Restored::default());
    }
    let mut grounds = Grounds::new(places);
    let rules = Rules { places, policy, former, verified: verified(places, inputs) };
    let mut plan = plan(&rules, outputs, inputs, &mut grounds).map_err(Fault::not_restored)?;
    let mut transaction = Transaction::new(grounds);
    let staged = stage(&plan, stock, policy, &mut transaction)?;
    put(&plan, &staged, &mut transaction).map_err(Fault::not_restored)?;
    let narrow: Vec<(&Path, u32)> =
        plan.modes.iter().filter(|(_, _, mode)| mode & 0o700 != 0o700).map(|(path, _, mode)| (*path, *mode)).collect();
    plan.warnings.extend(transaction.finish(&plan.emptied, &narrow, &plan.dated));
    Ok(Restored { warnings: plan.warnings })
}

/// Whether `outputs` could be restored, as far as that can be told without touching anything: what [`restore`] would warn of.
///
/// # Errors
///
/// As [`restore`].
pub fn check<S: Stock>(
    places: &Places,
    outputs: &[Output],
    stock: &S,
    policy: Mtime,
    former: &Known,
    inputs: &Inputs,
) -> Result<Restored, Reason> {
    let mut grounds = Grounds::new(places);
    let rules = Rules { places, policy, former, verified: verified(places, inputs) };
    let plan = plan(&rules, outputs, inputs, &mut grounds).map_err(Fault::not_restored)?;
    let mut missing = plan.files.iter().filter(|file| !file.is_in_place);
    missing.try_for_each(|file| stock.open(file.content).map(drop))?;
    Ok(Restored { warnings: plan.warnings })
}

/// What the key of a watched command tells.
fn verified<'a>(places: &Places, inputs: &Inputs<'a>) -> Verified<'a> {
    Verified(if places.are_watched() { (inputs.observations)() } else { &[] })
}

/// What is to be done, if nothing speaks against it. Of a watched command the key tells all that it looked at: what else
/// lies there is no stranger to it.
fn plan<'a>(rules: &Rules, outputs: &'a [Output], inputs: &Inputs, grounds: &mut Grounds) -> Result<Plan<'a>, Fault> {
    let plan = Plan::of(rules, outputs, grounds)?;
    if !rules.places.are_watched() {
        strangers::refuse(rules.places, outputs, inputs, rules.former, grounds)?;
    }
    Ok(plan)
}

/// Makes folders, and files and links beside their targets, in the plan's order.
fn stage<S: Stock>(
    plan: &Plan,
    stock: &S,
    policy: Mtime,
    transaction: &mut Transaction,
) -> Result<Vec<Staged>, Reason> {
    for (path, mode) in &plan.created {
        transaction.create_folder(path, *mode).map_err(Fault::not_restored)?;
    }
    let mut staged = Vec::with_capacity(plan.files.len() + plan.links.len());
    let mut last = None;
    for plan in &plan.files {
        if let (Some(present), true) = (&plan.present, plan.is_in_place) {
            touch(plan, present, policy, &mut last, transaction).map_err(Fault::not_restored)?;
            continue;
        }
        let stored = stock.open(plan.content)?;
        let (name, file) = transaction.stage(plan.path, plan.mode).map_err(Fault::not_restored)?;
        may_own(plan, &file).map_err(Fault::not_restored)?;
        let complete = || -> std::io::Result<Staged> {
            copy::fill(&file, &stored)?;
            let stat = fstat(&file)?;
            if stat.st_mode & 0o7777 != plan.mode {
                fchmod(&file, Mode::from_raw_mode(plan.mode))?;
            }
            let made = stamp::from_stat(&stat);
            let time = time(plan, policy, &made, &mut last);
            if time != made.modified {
                futimens(&file, &beneath::modification(time))?;
            }
            Ok(Transaction::staged(plan.path, name, &stat))
        };
        staged.push(complete().map_err(|why| Fault::system(plan.path, &why).not_restored())?);
    }
    for link in &plan.links {
        staged.push(transaction.stage_link(link.path, link.target, link.dated).map_err(Fault::not_restored)?);
    }
    Ok(staged)
}

/// Gives a file that is in place the time that it would get as a new one.
fn touch(
    plan: &FilePlan,
    present: &Stamp,
    policy: Mtime,
    last: &mut Last,
    transaction: &mut Transaction,
) -> Result<(), Fault> {
    let made = transaction.touch(plan.path, present)?;
    match time(plan, policy, &made, last) {
        time if time == made.modified => Ok(()),
        time => transaction.date(plan.path, time),
    }
}

/// Whether `staged` belongs to the same user and group as what it takes the place of.
///
/// A program that writes into a file leaves it to its owner, one that makes a new file does not, and which of them
/// the command is, is not known. To whom a new file belongs is the file system's to say: folders and mounts have
/// their own rules, so the staged file is asked.
fn may_own(plan: &FilePlan, staged: &File) -> Result<(), Fault> {
    let Some(owner) = plan.owner else { return Ok(()) };
    let stat = fstat(staged).map_err(|why| Fault::system(plan.path, &why.into()))?;
    if (stat.st_uid, stat.st_gid) == owner { Ok(()) } else { Err(Fault::new(plan.path, "belongs to somebody else")) }
}

/// Renames everything to where it belongs.
fn put(plan: &Plan, staged: &[Staged], transaction: &mut Transaction) -> Result<(), Fault> {
    if let ([file], true) = (staged, plan.is_one_file()) {
        return transaction.put_at_last(file);
    }
    let files = plan.files.iter().filter(|file| !file.is_in_place);
    let present = files.map(|file| &file.present).chain(plan.links.iter().map(|link| &link.present));
    for (staged, present) in staged.iter().zip(present) {
        transaction.put(staged, present.as_ref())?;
    }
    for (path, seen) in &plan.removals {
        transaction.set_aside(path, seen)?;
    }
    // Below before above.
    for path in plan.removed.iter().rev() {
        transaction.doom_folder(path)?;
    }
    for (path, before, mode) in &plan.modes {
        transaction.set_mode(path, *before, *mode)?;
    }
    Ok(())
}

/// The file that was staged last: its recorded modification time, and the one that it got.
type Last = Option<(i64, i64)>;

/// The modification time that a file gets; it has the time of its making.
///
/// That is the right one by the kernel's own clock, which other files are stamped by: taken from any other
/// clock it could be older than an input that was written a moment ago. Only what was of one moment in the
/// record has to be of one moment again, or `make` would find one older than the other.
fn time(plan: &FilePlan, policy: Mtime, made: &Stamp, last: &mut Last) -> i64 {
    let modified = match (policy, *last) {
        (Mtime::Recorded, _) => plan.modified,
        _ if plan.is_dated => plan.modified,
        (_, Some((recorded, got))) if recorded == plan.modified || got > made.modified => got,
        _ => made.modified,
    };
    if !plan.is_dated {
        *last = Some((plan.modified, modified));
    }
    modified
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Content;

    #[test]
    fn a_file_has_the_time_of_its_making_or_that_of_the_last_one() {
        let content = Content::inline(Vec::new());
        let (recorded, made) = (50, 1_000);
        let plan = |is_dated| FilePlan {
            path: Path::new("a"),
            mode: 0o644,
            modified: recorded,
            is_dated,
            content: &content,
            present: None,
            owner: None,
            is_checked: false,
            is_in_place: false,
        };
        let now = (Some((recorded, made)), made);
        for (policy, is_dated, last, expected) in [
            (Mtime::Now, false, None, now),
            (Mtime::Recorded, false, None, (Some((recorded, recorded)), recorded)),
            (Mtime::Now, true, None, (None, recorded)),
            (Mtime::Now, true, Some((1, 2_000)), (Some((1, 2_000)), recorded)),
            // Of one moment in the record.
            (Mtime::Now, false, Some((recorded, 999)), (Some((recorded, 999)), 999)),
            (Mtime::Keep, false, Some((recorded, 2_000)), (Some((recorded, 2_000)), 2_000)),
            // A clock that went back.
            (Mtime::Now, false, Some((1, 2_000)), (Some((recorded, 2_000)), 2_000)),
            (Mtime::Now, false, Some((1, 999)), now),
        ] {
            let stamp = Stamp { device: 1, inode: 2, size: 3, modified: made, changed: made, mode: 0o100_644 };
            let mut got = last;
            let time = time(&plan(is_dated), policy, &stamp, &mut got);
            assert_eq!((got, time), expected, "{policy:?} {is_dated} {last:?}");
        }
    }
}
