//! All that is known of one call.

use std::path::Path;

use serde_json::{Value, json};

use crate::model::{Argument, Call, Facet, Fact, Isolation, Observation, OutputKind, State, command_line};

/// The facts about `call`, in the order in which people ask for them.
pub fn facts(call: &Call) -> Vec<(&'static str, Fact)> {
    let (outcome, metadata) = (&call.outcome, &call.metadata);
    let mut facts = vec![
        ("key", Fact::Text(call.key.to_string())),
        ("command", Fact::Text(command_line(&call.argv))),
        ("program", text(&call.program)),
        ("directory", text(&call.cwd)),
        ("grade", Fact::Text(call.grades())),
        ("exit", Fact::Number(i64::from(outcome.exit))),
        ("started", Fact::Time(metadata.usage.started)),
        ("wall", Fact::Duration(metadata.usage.wall)),
        ("user", Fact::Duration(metadata.usage.user_time)),
        ("system", Fact::Duration(metadata.usage.system_time)),
        ("memory", Fact::Bytes(metadata.usage.peak_memory)),
        ("by", Fact::Text(format!("{}@{} with fleche {}", metadata.user, metadata.host, metadata.version))),
    ];
    if call.is_from_elsewhere() {
        facts.push(("made", Fact::Text("by another cache".to_owned())));
    }
    if call.bound {
        facts.push(("bound to", text(&call.root)));
    }
    if let Some(commit) = &metadata.git_commit {
        facts.push(("git", Fact::Text(format!("{commit} {}", metadata.git_branch.as_deref().unwrap_or("")))));
    }
    for (name, value) in &call.tags {
        facts.push(("tag", Fact::Text(format!("{name}={value}"))));
    }
    for seen in &call.observations {
        facts.push(("input", Fact::Text(format!("{}  {}", seen.path.to_string_lossy(), observed(seen)))));
    }
    for (name, content) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        if let Some(content) = content {
            facts.push((name, Fact::Text(format!("{}  {} bytes", content.digest, content.length))));
        }
    }
    for output in &outcome.outputs {
        let what = match &output.kind {
            OutputKind::Absent => "absent".to_owned(),
            OutputKind::File { mode, content, dated, .. } => {
                let dated = if *dated { "  dated" } else { "" };
                format!("{}  {} bytes  {mode:o}{dated}", content.digest, content.length)
            }
            OutputKind::Folder { mode, owned: false, .. } => format!("folder  {mode:o}"),
            OutputKind::Folder { mode, owned: true, .. } => format!("owned folder  {mode:o}"),
            OutputKind::Link { target, .. } => format!("link to {}", String::from_utf8_lossy(target)),
        };
        facts.push(("output", Fact::Text(format!("{}  {what}", output.path.to_string_lossy()))));
    }
    facts
}

/// How far the command was kept apart; nothing where it was not.
fn isolated(call: &Call) -> Option<&'static str> {
    (call.request.isolation != Isolation::None).then(|| call.request.isolation.name())
}

/// The same for programs.
pub fn json(call: &Call) -> Value {
    let (outcome, metadata) = (&call.outcome, &call.metadata);
    let arguments: Vec<Value> = call
        .argv
        .iter()
        .map(|argument| match argument {
            Argument::Clear(word) => json!(word.to_string_lossy()),
            Argument::Redacted => Value::Null,
        })
        .collect();
    let variables: Vec<Value> = call
        .variables
        .iter()
        .map(|variable| {
            json!({
                "name": variable.name.to_string_lossy(),
                "digest": variable.digest.hex(),
                "value": variable.clear.as_ref().map(|value| value.to_string_lossy()),
                "counted": variable.counted,
            })
        })
        .collect();
    let inputs: Vec<Value> = call
        .observations
        .iter()
        .map(|seen| {
            let mut object = json!({"path": seen.path.to_string_lossy(), "state": state(&seen.state)});
            if let Some(facet) = facet(&seen.facet) {
                object["facet"] = json!(facet);
            }
            object
        })
        .collect();
    let outputs: Vec<Value> = outcome
        .outputs
        .iter()
        .map(|output| {
            let mut object = match &output.kind {
                OutputKind::Absent => json!({"kind": "absent"}),
                OutputKind::File { mode, content, modified, dated, .. } => {
                    let (digest, bytes) = (content.digest.hex(), content.length);
                    let mut file = json!({"kind": "file", "mode": mode, "digest": digest, "bytes": bytes});
                    // Nanoseconds since 1970. Any other file gets the time of its replay.
                    if *dated {
                        file["modified"] = json!(modified);
                    }
                    file
                }
                OutputKind::Folder { mode, owned, .. } => json!({"kind": "folder", "mode": mode, "owned": owned}),
                OutputKind::Link { target, .. } => json!({"kind": "link", "target": String::from_utf8_lossy(target)}),
            };
            if let OutputKind::Folder { dated: Some(time), .. } | OutputKind::Link { dated: Some(time), .. } =
                &output.kind
            {
                object["modified"] = json!(time);
            }
            object["path"] = json!(output.path.to_string_lossy());
            object
        })
        .collect();
    let stream = |content: &Option<crate::model::Content>| match content {
        Some(content) => json!({"digest": content.digest.hex(), "bytes": content.length}),
        None => Value::Null,
    };
    json!({
        "key": call.key.to_string(),
        "command": call.command.to_string(),
        "argv": arguments,
        "program": call.program.to_string_lossy(),
        "cwd": call.cwd.to_string_lossy(),
        "root": call.root.to_string_lossy(),
        "bound": call.bound,
        "elsewhere": call.is_from_elsewhere(),
        "grade": call.grade.name(),
        "isolated": isolated(call),
        "exit": outcome.exit,
        "stdout": stream(&outcome.stdout),
        "stderr": stream(&outcome.stderr),
        "inputs": inputs,
        "outputs": outputs,
        "environment": variables,
        "tags": call.tags,
        "started_ns": metadata.usage.started,
        "stopped_ns": metadata.usage.stopped,
        "wall_ns": metadata.usage.wall,
        "user_ns": metadata.usage.user_time,
        "system_ns": metadata.usage.system_time,
        "peak_memory_bytes": metadata.usage.peak_memory,
        "host": metadata.host,
        "user": metadata.user,
        "version": metadata.version,
        "git_commit": metadata.git_commit,
        "git_branch": metadata.git_branch,
    })
}

/// A word for what of a path was looked at, if not the whole; never changes once released.
pub fn facet(facet: &Facet) -> Option<&'static str> {
    match facet {
        Facet::Whole => None,
        Facet::Kind => Some("kind"),
        Facet::Content => Some("content"),
        Facet::Metadata => Some("metadata"),
        Facet::Replaced => Some("replaced"),
        Facet::Listing { .. } => Some("names"),
        Facet::Attributes => Some("attributes"),
        Facet::Machine => Some("machine"),
    }
}

/// What was observed of a path, in words.
fn observed(seen: &Observation) -> String {
    match (&seen.facet, &seen.state) {
        // Looked for under several facets, it would be told as often without a difference.
        (facet, State::Absent) => match self::facet(facet) {
            Some(facet) => format!("absent ({facet})"),
            None => "absent".to_owned(),
        },
        (Facet::Listing { without }, state @ State::Listing(_)) if !without.is_empty() => {
            let names: Vec<_> = without.iter().map(|name| name.to_string_lossy()).collect();
            format!("{} without {}", self::state(state), names.join(", "))
        }
        (Facet::Attributes, State::Told(None)) => "no extended attributes".to_owned(),
        (Facet::Attributes, State::Told(Some(digest))) => format!("extended attributes {digest}"),
        (Facet::Machine, State::Told(Some(digest))) => format!("the machine {digest}"),
        (_, state) => self::state(state),
    }
}

/// What was at a path, in words.
pub fn state(state: &State) -> String {
    match state {
        State::Absent => "absent".to_owned(),
        State::File { mode, digest } if mode & 0o111 == 0 => format!("file {digest}"),
        State::File { digest, .. } => format!("executable file {digest}"),
        State::Folder { .. } => "folder".to_owned(),
        State::Link { target, behind } => {
            format!("link to {}, {}", String::from_utf8_lossy(target), self::state(behind))
        }
        State::Special(_) => "special file".to_owned(),
        State::Exists { mode } if mode & 0o111 == 0 => "a file".to_owned(),
        State::Exists { .. } => "an executable file".to_owned(),
        State::Target(target) => format!("link to {}", String::from_utf8_lossy(target)),
        State::Metadata { mode, modified, .. } if mode & 0o170_000 == 0o040_000 => {
            format!("a folder modified at {modified} ns")
        }
        State::Metadata { size, modified, .. } => format!("{size} bytes, modified at {modified} ns"),
        State::Replaced { empty: true, .. } => "an empty file, to be replaced".to_owned(),
        State::Replaced { .. } => "a file, to be replaced".to_owned(),
        State::Listing(digest) => format!("names {digest}"),
        State::Denied => "not to be read".to_owned(),
        State::Told(None) => "nothing".to_owned(),
        State::Told(Some(digest)) => digest.to_string(),
    }
}

fn text(path: &Path) -> Fact {
    Fact::Text(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn what_was_looked_at_is_told_in_words() {
        let told = |facet, state| observed(&Observation { path: "p".into(), facet, state, stamp: None });
        let names = |without: &[&str]| Facet::Listing { without: without.iter().map(Into::into).collect() };
        let digest = Digest::of(b"x");
        assert_eq!(told(Facet::Whole, State::Absent), "absent");
        assert_eq!(told(Facet::Content, State::Absent), "absent (content)");
        assert_eq!(told(names(&["a", "b"]), State::Listing(digest)), format!("names {digest} without a, b"));
        assert_eq!(told(names(&[]), State::Listing(digest)), format!("names {digest}"));
        let metadata = |mode| State::Metadata { mode, size: 9, modified: 5, user: 0, group: 0, links: 1 };
        assert_eq!(told(Facet::Metadata, metadata(0o100_644)), "9 bytes, modified at 5 ns");
        assert_eq!(told(Facet::Metadata, metadata(0o040_755)), "a folder modified at 5 ns");
    }
}
