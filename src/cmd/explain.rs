//! `fleche explain`: why a command would be run, or what its replay does not cover.

use std::path::Path;

use serde_json::{Value, json};

use crate::engine::{self, Detail, Explanation, Hit, Missing, Policy, Verdict};
use crate::error::{Error, Result};
use crate::model::{Difference, Isolation, Nearest, Reason, Subject, command_line};
use crate::query::differences;
use crate::store::Refusal;
use crate::ui::{self, JsonStyle, Talk};

use super::asked;

/// Inputs that differ, of which no more are shown without -v.
const SHOWN: usize = 20;

/// Say why a command would be run, or what its replay does not cover, without running it
///
/// For a miss: the nearest recorded call, all that differs from it, and below each difference the options with which it
/// would not count. For a hit: its key, and what that does not cover. Exit status 0 means a hit, 1 that it would run.
///
/// With --json an object: `verdict` (hit, stale, miss, not-cached), `reason` (a short word that stays the same) and `detail`,
/// `hint`, `command` (the digest), `call` (the one that is replayed, or the nearest: `key`, `argv`, `grade`, `age_ns`),
/// `differences` (each with `kind`, `name`, `now`, `then`, `text`, and `remedy`, the words of the options), `refusal` (why
/// the last run of exactly this command was not stored: `reason`, `detail`, `age_ns`, `remedy`), `scattered` (a path at which
/// only its last run looked, where each looks elsewhere), `rule` (the file and line of the rule that holds) and `uncovered` (`kind`, `name`, `text`). What there is none of is null or empty; values of variables are there only where --env names them.
#[derive(clap::Args)]
pub struct Args {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: asked::Args,
}

/// Prints the explanation.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let asked = args.asked.ruled()?;
    let policy = Policy { detail: Detail::Searched, ..asked.policy(talk)? };
    let rule = asked.rule();
    let streams = asked.streams();
    let request = asked.request()?;
    let explanation = engine::explain(&request, &policy, streams, &super::caches()?)?;
    if args.json {
        let mut object = object(&explanation);
        object["rule"] = json!(rule);
        ui::print(&ui::json(&object, JsonStyle::Indented))?;
    } else {
        let shown = if talk.is_verbose() { usize::MAX } else { SHOWN };
        let rule = rule.map(|rule| format!("rule: {rule}"));
        let lines: Vec<String> =
            lines(&explanation, shown).iter().chain(&rule).map(|line| format!("{}\n", ui::escape(line))).collect();
        ui::print(&lines.concat())?;
    }
    match explanation.verdict {
        Verdict::Hit(_) => Ok(()),
        Verdict::Miss(_) | Verdict::NotCached { .. } => Err(Error::unsaid()),
    }
}

/// Why there is no replay, in one line: the first difference from the nearest call, if there is one.
pub(super) fn why(reason: &Reason, nearest: Option<&Nearest>) -> String {
    nearest.and_then(brief).unwrap_or_else(|| reason.to_string())
}

/// That the runs of a command look at other paths each time, such as this one.
pub(super) fn scattered(path: &Path) -> String {
    let path = path.display();
    format!(
        "its runs look at other paths each time, such as `{path}`, and only the last 16 are remembered; --scratch leaves paths out"
    )
}

fn brief(nearest: &Nearest) -> Option<String> {
    let first = nearest.differences.first()?;
    let more = match nearest.differences.len() {
        1 => String::new(),
        2 => ", and 1 more difference".to_owned(),
        count => format!(", and {} more differences", count - 1),
    };
    let when = match first.subject {
        Subject::Input { .. } | Subject::ProgramContent { .. } | Subject::Probe(_) => "since",
        _ => "in",
    };
    Some(format!("{} {when} call {}{more}", differences::sentence(first), nearest.key.0.short()))
}

fn lines(explanation: &Explanation, shown: usize) -> Vec<String> {
    match &explanation.verdict {
        Verdict::Hit(hit) => hit_lines(hit),
        Verdict::Miss(missing) => miss_lines(missing, shown),
        Verdict::NotCached { reason, hint } => {
            let hint = hint.map(|hint| format!("    {hint}"));
            [Some(format!("not cached: {reason}")), hint].into_iter().flatten().collect()
        }
    }
}

fn hit_lines(hit: &Hit) -> Vec<String> {
    let word = if hit.is_stale { "stale hit" } else { "hit" };
    let isolated = if hit.isolation == Isolation::None { "" } else { " isolated" };
    let mut lines = vec![
        format!("{word}: {}", command_line(&hit.argv)),
        format!("key {}", hit.key),
        format!("{}{isolated}, recorded {} ago", hit.grade.name(), ui::duration(engine::age(hit.stopped))),
    ];
    lines.extend(hit.uncovered.iter().map(|what| format!("not covered: {}", differences::uncovered(what))));
    lines
}

fn miss_lines(missing: &Missing, shown: usize) -> Vec<String> {
    let mut lines = vec![format!("miss: {}", missing.reason)];
    let mut counts = false;
    if let Some(nearest) = &missing.nearest {
        let age = ui::duration(engine::age(nearest.stopped));
        lines.push(format!("nearest: {}, recorded {age} ago", differences::call(&nearest.key, &nearest.argv)));
        let is_input = |difference: &Difference| matches!(difference.subject, Subject::Input { .. });
        let inputs = nearest.differences.iter().filter(|difference| is_input(difference)).count();
        let hidden = inputs.saturating_sub(shown);
        for difference in nearest.differences.iter().take(nearest.differences.len() - hidden) {
            lines.push(differences::sentence(difference));
            let remedy = differences::remedy(difference);
            counts |= remedy.is_some() && !matches!(difference.subject, Subject::Exit(_));
            lines.extend(remedy.map(|words| format!("    {words}")));
        }
        if hidden > 0 {
            lines.push(format!("and {hidden} inputs more, which -v shows"));
        }
    }
    if let Some(refusal) = &missing.refusal {
        let age = ui::duration(engine::age(refusal.time));
        lines.push(format!("its last run was not stored: {} ({age} ago)", refusal_text(refusal)));
        lines.extend(refusal_remedy(refusal).map(|words| format!("    {}", words.join(" "))));
    }
    lines.extend(missing.scattered.as_deref().map(scattered));
    if counts {
        lines.push("such an option counts too: it has to be given every time".to_owned());
    }
    lines
}

fn refusal_text(refusal: &Refusal) -> &str {
    if refusal.detail.is_empty() { &refusal.reason } else { &refusal.detail }
}

/// The options with which such a run is stored.
fn refusal_remedy(refusal: &Refusal) -> Option<Vec<String>> {
    let code: u8 = refusal.detail.strip_prefix("it exited with ")?.parse().ok()?;
    let is_storable = refusal.reason == "exit" && !matches!(code, 126 | 127);
    is_storable.then(|| vec!["--cache-exit".to_owned(), code.to_string()])
}

fn object(explanation: &Explanation) -> Value {
    let mut object = json!({
        "verdict": "miss", "reason": null, "detail": null, "hint": null,
        "command": explanation.command.map(|digest| digest.to_string()),
        "call": null, "differences": [], "refusal": null, "scattered": null, "uncovered": [],
    });
    match &explanation.verdict {
        Verdict::Hit(hit) => {
            object["verdict"] = json!(if hit.is_stale { "stale" } else { "hit" });
            object["call"] = json!({
                "key": hit.key.to_string(),
                "argv": differences::arguments(&hit.argv),
                "grade": hit.grade.name(),
                "age_ns": engine::age(hit.stopped),
            });
            object["uncovered"] = hit.uncovered.iter().map(differences::uncovered_json).collect();
        }
        Verdict::Miss(missing) => {
            object["scattered"] = json!(missing.scattered.as_ref().map(|path| path.to_string_lossy()));
            object["reason"] = json!(missing.reason.name());
            object["detail"] = json!(missing.reason.to_string());
            if let Some(nearest) = &missing.nearest {
                object["call"] = json!({
                    "key": nearest.key.to_string(),
                    "argv": differences::arguments(&nearest.argv),
                    "grade": nearest.grade.name(),
                    "age_ns": engine::age(nearest.stopped),
                });
                object["differences"] = nearest.differences.iter().map(differences::json).collect();
            }
            object["refusal"] = missing.refusal.as_ref().map_or(Value::Null, |refusal| {
                json!({
                    "reason": refusal.reason,
                    "detail": refusal.detail,
                    "age_ns": engine::age(refusal.time),
                    "remedy": refusal_remedy(refusal).unwrap_or_default(),
                })
            });
        }
        Verdict::NotCached { reason, hint } => {
            object["verdict"] = json!("not-cached");
            object["reason"] = json!(reason.name());
            object["detail"] = json!(reason.to_string());
            object["hint"] = json!(hint);
        }
    }
    object
}
