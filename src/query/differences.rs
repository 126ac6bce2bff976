//! Differences between a command and a recorded call, in words and for programs.

use std::ffi::{OsStr, OsString};

use serde_json::{Value, json};

use crate::model::{
    Argument, Aspect, Change, Difference, Role, Setting, Side, Subject, Uncovered, command_line, is_harmful, quoted,
    shell_line,
};

/// A difference as a sentence without an end. What is in it is as it was recorded: escape it before it is shown.
pub fn sentence(difference: &Difference) -> String {
    match &difference.subject {
        Subject::Argument { position, now, then } => argument(*position, now.as_ref(), then.as_ref()),
        Subject::Variable { name, now, then } => variable(name, now, then),
        Subject::Program { role, now, then } => {
            let (role, ticked) = (role_name(role), |path: &std::path::Path| in_ticks(path.as_os_str()));
            match (now, then) {
                (Some(now), Some(then)) if now == then => format!("{role} {} leads elsewhere", ticked(now)),
                (now, then) => {
                    let now = now.as_deref().map_or("not found".to_owned(), ticked);
                    format!("{role} is {now}, was {}", then.as_deref().map_or("another".to_owned(), ticked))
                }
            }
        }
        Subject::ProgramContent { role, path } => format!("{} {} changed", role_name(role), in_ticks(path.as_os_str())),
        Subject::Flag { name, value, given } => {
            let flag = match value {
                Some(value) => format!("`{name} {}`", quoted(value)),
                None => format!("`{name}`"),
            };
            match given {
                Side::Now => format!("{flag} is given, was not"),
                Side::Then => format!("{flag} is not given, was"),
            }
        }
        Subject::Probe(line) => format!("probe {} prints something else", in_ticks(line)),
        Subject::Aspect { aspect, now, then } => self::aspect(*aspect, now.as_deref(), then.as_deref()),
        Subject::Input { path, change } => {
            let path = in_ticks(path.as_os_str());
            match change {
                Change::New => format!("{path} is new"),
                Change::Gone => format!("{path} is gone"),
                Change::Content => format!("{path} changed"),
                Change::Mode { now, then } => format!("{path} has mode {now:o}, had {then:o}"),
                Change::Kind => format!("{path} is a thing of another kind"),
                Change::Modified => format!("{path} was modified"),
                Change::Names => format!("names in {path} changed"),
                Change::Denied => format!("{path} may not be read"),
                Change::Allowed => format!("{path} may be read, might not"),
            }
        }
        Subject::Checkout(root) => {
            format!("its result tells of the checkout {} and is not replayed here", in_ticks(root.as_os_str()))
        }
        Subject::Exit(code) => format!("it exited with {code}"),
    }
}

/// The options with which a difference would not count, exactly as a shell has to be given them; `None` where there are none,
/// and where they could be pasted only in another shape than they are shown in.
pub fn remedy(difference: &Difference) -> Option<String> {
    let line = String::from_utf8(shell_line(difference.remedy.iter().map(OsString::as_os_str))).ok()?;
    (!line.is_empty() && !line.chars().any(is_harmful)).then_some(line)
}

/// A difference for programs: what kind it is, what it is about, both sides as far as they are known, the sentence, and the
/// words of the options that would make it not count.
pub fn json(difference: &Difference) -> Value {
    let (kind, name, now, then) = match &difference.subject {
        Subject::Argument { position, now, then } => {
            let word = |side: &Option<Argument>| match side {
                Some(Argument::Clear(word)) => lossy(word),
                Some(Argument::Redacted) | None => Value::Null,
            };
            ("argument", json!(position), word(now), word(then))
        }
        Subject::Variable { name, now, then } => {
            let value = |setting: &Setting| match setting {
                Setting::Set(Some(value)) => lossy(value),
                Setting::Set(None) | Setting::Unset => Value::Null,
            };
            ("variable", json!(name), value(now), value(then))
        }
        Subject::Program { role, now, then } => {
            let kind = if *role == Role::Program { "program" } else { "interpreter" };
            let path =
                |path: &Option<std::path::PathBuf>| path.as_ref().map_or(Value::Null, |path| lossy(path.as_os_str()));
            (kind, Value::Null, path(now), path(then))
        }
        Subject::ProgramContent { role, path } => {
            let kind = if *role == Role::Program { "program-content" } else { "interpreter-content" };
            (kind, lossy(path.as_os_str()), Value::Null, Value::Null)
        }
        Subject::Flag { name, value, given } => {
            let value = value.as_ref().map_or(json!(true), |value| lossy(value));
            match given {
                Side::Now => ("flag", json!(name), value, Value::Null),
                Side::Then => ("flag", json!(name), Value::Null, value),
            }
        }
        Subject::Probe(line) => ("probe", lossy(line), Value::Null, Value::Null),
        Subject::Aspect { aspect, now, then } => (aspect.name(), Value::Null, json!(now), json!(then)),
        Subject::Input { path, change } => ("input", lossy(path.as_os_str()), change_name(*change), Value::Null),
        Subject::Checkout(root) => ("checkout", Value::Null, Value::Null, lossy(root.as_os_str())),
        Subject::Exit(code) => ("exit", Value::Null, Value::Null, json!(code)),
    };
    let remedy: Vec<Value> = difference.remedy.iter().map(|word| lossy(word)).collect();
    json!({"kind": kind, "name": name, "now": now, "then": then, "text": sentence(difference), "remedy": remedy})
}

/// What a replay does not depend on, as a phrase.
pub fn uncovered(uncovered: &Uncovered) -> String {
    match uncovered {
        Uncovered::Variable(name) => format!("variable {}, which is not what it was", in_ticks(name)),
        Uncovered::Argument(Argument::Clear(word)) => format!("argument {}", in_ticks(word)),
        Uncovered::Argument(Argument::Redacted) => "an argument that is redacted".to_owned(),
        Uncovered::Files => "files that were not declared".to_owned(),
        Uncovered::World => "the network and the clock".to_owned(),
        Uncovered::Folder(folder) => format!("the working directory, which was {}", in_ticks(folder.as_os_str())),
        Uncovered::ProgramContent => "what the program holds".to_owned(),
        Uncovered::ProgramPath => "which file the program is".to_owned(),
        Uncovered::Terminal => "what is typed at the terminal".to_owned(),
    }
}

/// The same for programs.
pub fn uncovered_json(uncovered: &Uncovered) -> Value {
    let (kind, name) = match uncovered {
        Uncovered::Variable(name) => ("variable", lossy(name)),
        Uncovered::Argument(Argument::Clear(word)) => ("argument", lossy(word)),
        Uncovered::Argument(Argument::Redacted) => ("argument", Value::Null),
        Uncovered::Files => ("files", Value::Null),
        Uncovered::World => ("world", Value::Null),
        Uncovered::Folder(folder) => ("cwd", lossy(folder.as_os_str())),
        Uncovered::ProgramContent => ("program-content", Value::Null),
        Uncovered::ProgramPath => ("program", Value::Null),
        Uncovered::Terminal => ("terminal", Value::Null),
    };
    json!({"kind": kind, "name": name, "text": self::uncovered(uncovered)})
}

/// Arguments for programs: `null` where one is redacted.
pub fn arguments(argv: &[Argument]) -> Vec<Value> {
    let word = |argument: &Argument| match argument {
        Argument::Clear(word) => lossy(word),
        Argument::Redacted => Value::Null,
    };
    argv.iter().map(word).collect()
}

fn argument(position: usize, now: Option<&Argument>, then: Option<&Argument>) -> String {
    let name = if position == 0 { "the command".to_owned() } else { format!("argument {position}") };
    let word = |argument: &Argument| match argument {
        Argument::Clear(word) => in_ticks(word),
        Argument::Redacted => "redacted".to_owned(),
    };
    match (now, then) {
        (Some(Argument::Redacted), Some(Argument::Redacted)) => format!("{name}, redacted, is another one"),
        (Some(now), Some(then)) => format!("{name} is {}, was {}", word(now), word(then)),
        (Some(now), None) => format!("{name}, {}, is new", word(now)),
        (None, Some(then)) => format!("{name}, {}, is gone", word(then)),
        (None, None) => name,
    }
}

fn variable(name: &str, now: &Setting, then: &Setting) -> String {
    let name = format!("variable `{name}`");
    match (now, then) {
        (Setting::Set(Some(now)), Setting::Set(Some(then))) if now != then => {
            format!("{name} is {}, was {}", in_ticks(now), in_ticks(then))
        }
        (Setting::Set(_), Setting::Set(_)) => format!("{name} has another value"),
        (Setting::Set(Some(now)), Setting::Unset) => format!("{name} is set to {}, was not", in_ticks(now)),
        (Setting::Set(None), Setting::Unset) => format!("{name} is set, was not"),
        (Setting::Unset, Setting::Set(Some(then))) => format!("{name} is not set, was {}", in_ticks(then)),
        (Setting::Unset, _) => format!("{name} is not set, was"),
    }
}

fn aspect(aspect: Aspect, now: Option<&str>, then: Option<&str>) -> String {
    let sides = |what: &str, shown: &dyn Fn(&str) -> String| {
        let then = then.map_or("another".to_owned(), shown);
        format!("{what} is {}, was {then}", now.map_or("another".to_owned(), shown))
    };
    let ticked = |text: &str| format!("`{text}`");
    match aspect {
        Aspect::Format => "it was recorded by another version of fleche, or for another cache".to_owned(),
        Aspect::ProgramRule => sides("`--program`", &ticked),
        Aspect::EnvironmentMode => sides("`--env-mode`", &ticked),
        Aspect::Rights => "the rights that the program has of its own (setuid, capabilities) are others".to_owned(),
        Aspect::Limits => match now {
            Some(now) => format!("limits are low (`ulimit`: {now}), and were others"),
            None => "limits were lower (`ulimit`)".to_owned(),
        },
        Aspect::Umask => sides("the umask", &ticked),
        Aspect::Folder => match (now, then) {
            (Some(_), None) => "`--no-cwd` is not given, was".to_owned(),
            (None, _) => "`--no-cwd` is given, was not".to_owned(),
            _ => sides("the working directory", &ticked),
        },
        Aspect::Stdin => sides("standard input", &|kind| stdin(kind).to_owned()),
        Aspect::StdinContent => "standard input holds something else".to_owned(),
        Aspect::StdinOffset => "standard input is read from another place in its file".to_owned(),
        Aspect::Streams => {
            let streams = |side: Option<&str>| side.map_or("something else", streams).to_owned();
            format!("standard output and error are {}, were {}", streams(now), streams(then))
        }
        Aspect::Descriptors => "something else is open beyond the standard descriptors".to_owned(),
        Aspect::Root => match now {
            Some("yes") => "the user is root, was not".to_owned(),
            _ => "the user is not root, was".to_owned(),
        },
        Aspect::Machine => "the operating system or the processor is another one".to_owned(),
        Aspect::Revision => match (now, then) {
            (Some(now), None) => format!("`--revision {}` is given, was not", quoted(now)),
            (None, Some(then)) => format!("`--revision {}` is not given, was", quoted(then)),
            _ => sides("`--revision`", &ticked),
        },
        Aspect::Elsewhere => {
            "it was recorded for another cache, which alone can tell what counted of its environment".to_owned()
        }
        Aspect::NamelessEntry => "an entry of the environment that has no name is another one".to_owned(),
    }
}

fn stdin(kind: &str) -> &'static str {
    match kind {
        "file" => "a file",
        "closed" => "closed",
        "none" => "a terminal or empty",
        "spool" => "read ahead",
        "from" => "taken from elsewhere",
        "null" => "left out",
        _ => "another thing",
    }
}

fn streams(kind: &str) -> &'static str {
    match kind {
        "stdout and stderr are one" => "one open file",
        "stdout and stderr" => "two open files",
        "stdout" => "open and closed",
        "stderr" => "closed and open",
        _ => "closed",
    }
}

fn role_name(role: &Role) -> &'static str {
    match role {
        Role::Program => "the program",
        Role::Interpreter => "the interpreter",
    }
}

fn change_name(change: Change) -> Value {
    json!(match change {
        Change::New => "new",
        Change::Gone => "gone",
        Change::Content => "content",
        Change::Mode { .. } => "mode",
        Change::Kind => "kind",
        Change::Modified => "modified",
        Change::Names => "names",
        Change::Denied => "denied",
        Change::Allowed => "allowed",
    })
}

fn in_ticks(word: &OsStr) -> String {
    format!("`{}`", word.to_string_lossy())
}

fn lossy(word: &OsStr) -> Value {
    json!(word.to_string_lossy())
}

/// A call in a few words: the beginning of its key, and its command line.
pub fn call(key: &crate::model::Key, argv: &[Argument]) -> String {
    format!("{} ({})", key.0.short(), command_line(argv))
}
