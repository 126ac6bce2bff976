//! `--trace audit` in words and as JSON.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::engine::Audit;
use crate::model::quoted;

/// What `audit` tells, a line each, `-i`, `-o` and the lines of a rule ready to be pasted last. `is_whole` names the files of
/// the system too.
pub fn lines(audit: &Audit, is_whole: bool) -> Vec<String> {
    if audit.is_empty() {
        return vec!["audit: it read and wrote what is declared".to_owned()];
    }
    let mut lines = Vec::new();
    let (missing, elsewhere): (Vec<PathBuf>, Vec<PathBuf>) =
        audit.missing.iter().cloned().partition(|path| path.is_relative());
    let kinds = [
        ("read", &audit.read),
        ("looked for", &missing),
        ("wrote", &audit.written),
        ("removed", &audit.removed),
        ("did not touch", &audit.untouched),
    ];
    for (what, paths) in kinds {
        lines.extend(paths.iter().map(|path| format!("audit: {what} {}", quoted(path))));
    }
    if is_whole {
        lines.extend(audit.system.iter().map(|path| format!("audit: read {}", quoted(path))));
        lines.extend(elsewhere.iter().map(|path| format!("audit: looked for {}", quoted(path))));
    } else if !audit.system.is_empty() || !elsewhere.is_empty() {
        let (read, missing) = (audit.system.len(), elsewhere.len());
        lines.push(format!("audit: read {read} paths of the system, and looked for {missing} in vain; -v names them"));
    }
    lines.extend(
        audit.refusals.iter().map(|refusal| format!("audit: could not be stored if it were watched: {refusal}")),
    );
    let (inputs, outputs) = declarations(audit);
    if !inputs.is_empty() || !outputs.is_empty() {
        let flag = |flag: &'static str| move |path: &PathBuf| format!("{flag} {}", quoted(path));
        let flags: Vec<String> = inputs.iter().map(flag("-i")).chain(outputs.iter().map(flag("-o"))).collect();
        lines.push(format!("audit: as flags: {}", flags.join(" ")));
    }
    for (name, paths) in [("inputs", inputs), ("outputs", outputs)] {
        if !paths.is_empty() {
            let words: Vec<String> = paths.iter().map(|path| json!(text(path)).to_string()).collect();
            lines.push(format!("audit: as a rule: {name} = [{}]", words.join(", ")));
        }
    }
    lines
}

/// The same as one object.
pub fn object(audit: &Audit) -> Value {
    let texts = |paths: &[PathBuf]| paths.iter().map(|path| text(path)).collect::<Vec<_>>();
    let refusals = audit.refusals.iter().map(|refusal| json!({"name": refusal.name(), "why": refusal.to_string()}));
    let (inputs, outputs) = declarations(audit);
    json!({
        "read": texts(&audit.read),
        "system": texts(&audit.system),
        "missing": texts(&audit.missing),
        "written": texts(&audit.written),
        "removed": texts(&audit.removed),
        "untouched": texts(&audit.untouched),
        "refusals": refusals.collect::<Vec<_>>(),
        "declare": {"inputs": texts(&inputs), "outputs": texts(&outputs)},
    })
}

/// What would have to be declared as well. A path that is looked for and not there is one that may come.
fn declarations(audit: &Audit) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let local = |path: &&PathBuf| path.is_relative();
    let inputs = audit.read.iter().chain(audit.missing.iter().filter(local)).cloned().collect();
    (inputs, audit.written.iter().chain(&audit.removed).cloned().collect())
}

fn text(path: &Path) -> String {
    OsStr::new(path).to_string_lossy().into_owned()
}
