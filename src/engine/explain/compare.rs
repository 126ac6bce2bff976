//! A command and a recorded call, part by part.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::key;
use crate::model::{
    Argument, Aspect, Call, Difference, Digest, ProgramRule, Request, Role, Setting, Side, StdinRule, Subject, Variable,
};

use super::super::recognise::shown_arguments;
use super::super::redaction::{HIDDEN, Redaction};
use super::arguments;
use super::flags::{self, shown};
use super::inputs::{self, Paths};
use super::{Now, recover};

/// The digests of the parts of one name, of which there may be several.
type Parts<'a> = BTreeMap<&'a str, Vec<Digest>>;

/// All that differs between a command and a call of its cache, what explains the most first.
pub fn compare(now: &Now, call: &Call) -> Vec<Difference> {
    let redaction = Redaction::of(now.command);
    let comparison = Comparison {
        now,
        call,
        ours: parts(now.digests.iter().zip(&now.command.parts).map(|(digest, part)| (part.name.as_str(), *digest))),
        theirs: parts(call.parts.iter().map(|(name, digest)| (name.as_str(), *digest))),
        redaction: &redaction,
    };
    if call.sealed_by.is_some() {
        return comparison.in_clear();
    }
    if comparison.differs("format") {
        return vec![aspect(Aspect::Format, None, None)];
    }
    let declared = comparison.flags();
    let is_declared = |difference: &Difference, names: &[&str]| matches!(&difference.subject, Subject::Flag { name, .. } if names.contains(name));
    let any = |names: &[&str]| declared.iter().any(|difference| is_declared(difference, names));
    let paths = if any(&["-i", "-x", "-o", "--gitignore", "--pure"]) { Paths::Common } else { Paths::All };
    let arguments_are_asked_alike = !any(&["--ignore-arg"]);
    let mut found = declared.clone();
    if arguments_are_asked_alike || !comparison.are_arguments_the_same() {
        found.extend(comparison.arguments());
    }
    found.extend(comparison.program());
    found.extend(comparison.aspects());
    found.extend(comparison.variables(any(&["--env", "--ignore-env"])));
    found.extend(comparison.probes());
    found.extend(inputs::differences(now, call, paths, &redaction));
    found
}

fn parts<'a>(named: impl Iterator<Item = (&'a str, Digest)>) -> Parts<'a> {
    let mut parts = Parts::new();
    named.for_each(|(name, digest)| parts.entry(name).or_default().push(digest));
    parts
}

fn aspect(aspect: Aspect, now: Option<String>, then: Option<String>) -> Difference {
    Difference { subject: Subject::Aspect { aspect, now, then }, remedy: Vec::new() }
}

struct Comparison<'a> {
    now: &'a Now<'a>,
    call: &'a Call,
    ours: Parts<'a>,
    theirs: Parts<'a>,
    redaction: &'a Redaction<'a>,
}

impl Comparison<'_> {
    fn differs(&self, name: &str) -> bool {
        self.ours.get(name) != self.theirs.get(name)
    }

    /// The text of a part of the command.
    fn text(&self, name: &str) -> Option<String> {
        let part = self.now.command.parts.iter().find(|part| part.name == name)?;
        std::str::from_utf8(&part.value).ok().map(str::to_owned)
    }

    /// The one of `texts` that a part of the call was.
    fn was(&self, name: &str, texts: impl Iterator<Item = String>) -> Option<String> {
        recover(self.theirs.get(name)?.first()?, self.now.secret, texts)
    }

    /// What can be told of a call that another cache recorded: there is no secret by which to tell its environment.
    fn in_clear(&self) -> Vec<Difference> {
        let mut found = self.flags();
        let word = |word: &Argument| match word {
            Argument::Clear(text) => Digest::of(text.as_bytes()),
            Argument::Redacted => Digest::of(HIDDEN.as_bytes()),
        };
        let own = shown_arguments(self.now.command);
        let [ours, theirs] = [&own, &self.call.argv].map(|words| arguments::all(words, word));
        found.extend(arguments::differences(&ours, &theirs));
        let folder = |path: &std::path::Path| Some(self.redaction.shown(path).to_string_lossy().into_owned());
        let place =
            |cwd: &std::path::Path, root: &std::path::Path| cwd.strip_prefix(root).map(std::path::Path::to_owned);
        let (now, call) = (self.now.command, self.call);
        let is_elsewhere = match now.project {
            true => place(&now.cwd, &now.root) != place(&call.cwd, &call.root),
            false => now.cwd != call.cwd,
        };
        if is_elsewhere && !self.now.request.ignore_cwd {
            found.push(Difference {
                subject: Subject::Aspect { aspect: Aspect::Folder, now: folder(&now.cwd), then: folder(&call.cwd) },
                remedy: vec!["--no-cwd".into()],
            });
        }
        found.extend(inputs::differences(self.now, self.call, Paths::Common, self.redaction));
        if found.is_empty() {
            found.push(aspect(Aspect::Elsewhere, None, None));
        }
        found
    }

    fn flags(&self) -> Vec<Difference> {
        let mut found = flags::differences(self.now, self.call, self.redaction);
        let (now, then) = (stdin_flag(self.now.request), stdin_flag(&self.call.request));
        if now != then {
            let given = [(now, Side::Now), (then, Side::Then)];
            let flag = |(name, given): (Option<&'static str>, Side)| {
                Some(Difference { subject: Subject::Flag { name: name?, value: None, given }, remedy: Vec::new() })
            };
            found.extend(given.into_iter().filter_map(flag));
        }
        found
    }

    fn are_arguments_the_same(&self) -> bool {
        let own = shown_arguments(self.now.command);
        own == self.call.argv
    }

    fn arguments(&self) -> Vec<Difference> {
        let digests: Vec<Digest> = self
            .now
            .command
            .parts
            .iter()
            .zip(self.now.digests)
            .filter(|(part, _)| arguments::is_argument(&part.name))
            .map(|(_, digest)| *digest)
            .collect();
        let ours = arguments::of_command(self.now.command, &digests);
        arguments::differences(&ours, &arguments::of_call(self.call, self.now.secret))
    }

    /// The program, or else what interprets it.
    fn program(&self) -> Vec<Difference> {
        if self.differs("program.rule") {
            return Vec::new();
        }
        let one = |subject, rule: ProgramRule| {
            vec![Difference { subject, remedy: vec!["--program".into(), rule.name().into()] }]
        };
        let path = key::lexical(&self.now.command.cwd, &self.now.command.program_path());
        let shown = || self.redaction.shown(&path).into_owned();
        if self.differs("program") || self.differs("program.real") || self.differs("program.state") {
            let state = self.text("program.state");
            let now = if state.is_none() { Some(shown()) } else { None };
            let then = key::lexical(&self.call.cwd, &self.call.program);
            let then = Some(self.redaction.shown(&then).into_owned());
            let subject = Subject::Program { role: Role::Program, now, then };
            return one(subject, ProgramRule::Name);
        }
        if self.differs("program.content") {
            return one(Subject::ProgramContent { role: Role::Program, path: shown() }, ProgramRule::Path);
        }
        let names = self.ours.keys().chain(self.theirs.keys()).filter(|name| name.starts_with("interpreter."));
        let mut differing: Vec<&str> = names.filter(|name| self.differs(name)).copied().collect();
        differing.sort_unstable();
        let Some(name) = differing.first() else { return Vec::new() };
        let (stem, is_content) = name.strip_suffix(".content").map_or((*name, false), |stem| (stem, true));
        let path = self.text(stem).map(|path| self.redaction.shown(path.as_ref()).into_owned());
        match path.clone() {
            Some(path) if is_content => {
                one(Subject::ProgramContent { role: Role::Interpreter, path }, ProgramRule::Path)
            }
            _ => one(Subject::Program { role: Role::Interpreter, now: path, then: None }, ProgramRule::Path),
        }
    }

    /// What there is one of.
    fn aspects(&self) -> Vec<Difference> {
        let (now, call) = (self.now, self.call);
        let mut found = Vec::new();
        let mut add = |what: Aspect, now, then, remedy: &[&str]| {
            let subject = Subject::Aspect { aspect: what, now, then };
            found.push(Difference { subject, remedy: remedy.iter().map(OsString::from).collect() });
        };
        let told = |text: &str| Some(text.to_owned());
        if self.differs("volatile") {
            add(Aspect::Format, None, None, &[]);
        }
        if self.differs("program.rule") {
            let rules = (now.request.program.name(), call.request.program.name());
            add(Aspect::ProgramRule, told(rules.0), told(rules.1), &[]);
        }
        if self.differs("cwd") {
            let folder = |path: &std::path::Path, is_ignored: bool| {
                (!is_ignored).then(|| self.redaction.shown(path).to_string_lossy().into_owned())
            };
            let ours = folder(&now.command.cwd, now.request.ignore_cwd);
            let theirs = folder(&call.cwd, call.request.ignore_cwd);
            let remedy: &[&str] = if ours.is_some() && theirs.is_some() { &["--no-cwd"] } else { &[] };
            add(Aspect::Folder, ours, theirs, remedy);
        }
        if self.differs("env-mode") {
            let modes = (now.request.environment.mode.name(), call.request.environment.mode.name());
            add(Aspect::EnvironmentMode, told(modes.0), told(modes.1), &[]);
        }
        if !self.differs("stdin-rule") {
            let kinds = ["none", "closed", "file", "spool", "from", "null"].map(str::to_owned);
            if self.differs("stdin") {
                let is_automatic = now.request.stdin == StdinRule::Automatic;
                let remedy: &[&str] = if is_automatic { &["--no-stdin"] } else { &[] };
                add(Aspect::Stdin, self.text("stdin"), self.was("stdin", kinds.into_iter()), remedy);
            } else if self.differs("stdin.content") {
                add(Aspect::StdinContent, None, None, &[]);
            } else if self.differs("stdin.offset") {
                add(Aspect::StdinOffset, None, None, &[]);
            }
        }
        if self.differs("streams") {
            let ways = ["stdout and stderr are one", "stdout and stderr", "stdout", "stderr", "none"];
            let then = self.was("streams", ways.iter().map(|way| (*way).to_owned()));
            add(Aspect::Streams, self.text("streams"), then, &[]);
        }
        if self.differs(key::DESCRIPTORS) {
            add(Aspect::Descriptors, None, None, &[]);
        }
        if self.differs(key::RIGHTS) {
            add(Aspect::Rights, None, None, &[]);
        }
        if self.differs(key::LIMITS) {
            add(Aspect::Limits, self.text(key::LIMITS), None, &[]);
        }
        if self.differs("umask") {
            let then = self.was("umask", (0..0o1000).map(|mask| format!("{mask:03o}")));
            add(Aspect::Umask, self.text("umask"), then, &[]);
        }
        if self.differs("root-user") {
            add(Aspect::Root, self.text("root-user"), None, &[]);
        }
        if self.differs("os") || self.differs("arch") {
            add(Aspect::Machine, None, None, &[]);
        }
        if self.differs("revision") {
            add(Aspect::Revision, now.request.revision.clone(), call.request.revision.clone(), &[]);
        }
        found
    }

    /// Variables that count. Where the rules differ, those that are the same and only count on one side are not told.
    fn variables(&self, rules_differ: bool) -> Vec<Difference> {
        let rules_differ = rules_differ || self.differs("env-mode");
        let mut found = Vec::new();
        let names: std::collections::BTreeSet<&str> = self.ours.keys().chain(self.theirs.keys()).copied().collect();
        for part in names.into_iter().filter(|name| self.differs(name)) {
            if part == "env-entry" {
                found.push(aspect(Aspect::NamelessEntry, None, None));
            }
            let Some(name) = part.strip_prefix("env.") else { continue };
            let of = |variables: &[Variable]| -> Vec<Variable> {
                variables.iter().filter(|variable| variable.name == OsStr::new(name)).cloned().collect()
            };
            let (ours, theirs) = (of(self.now.variables), of(&self.call.variables));
            let values = |variables: &[Variable]| variables.iter().map(|variable| variable.digest).collect::<Vec<_>>();
            if rules_differ && values(&ours) == values(&theirs) {
                continue;
            }
            let setting = |counted: &Parts, seen: &[Variable]| match (counted.contains_key(part), seen.first()) {
                (false, None) => Setting::Unset,
                // What counts of some (the flags of make) may be nothing.
                (false, Some(_)) if !rules_differ => Setting::Unset,
                (_, variable) => Setting::Set(variable.and_then(|variable| variable.clear.clone())),
            };
            let (now, then) = (setting(&self.ours, &ours), setting(&self.theirs, &theirs));
            let remedy = self.ignoring_variable(name);
            found.push(Difference { subject: Subject::Variable { name: name.to_owned(), now, then }, remedy });
        }
        found
    }

    /// The option by which a variable does not count, unless `--env` names it as closely.
    fn ignoring_variable(&self, name: &str) -> Vec<OsString> {
        let is_named = self.now.request.environment.counted.iter().any(|glob| glob == name);
        let is_plain = !name.contains('\\') && !key::is_glob(name.as_bytes());
        let counts = self.ours.contains_key(format!("env.{name}").as_str());
        let is_unset_by_rule = !counts && self.now.variables.iter().any(|variable| variable.name == OsStr::new(name));
        match is_plain && !is_named && !is_unset_by_rule {
            true => vec!["--ignore-env".into(), name.into()],
            false => Vec::new(),
        }
    }

    /// Probes that both were asked for, and that print something else.
    fn probes(&self) -> Vec<Difference> {
        let lines = self.now.request.probes.iter().enumerate();
        let differs = |(number, line): &(usize, &OsString)| {
            let number = number + 1;
            !self.differs(&format!("probe.{number}"))
                && self.differs(&format!("probe.{number}.output"))
                && self.call.request.probes.contains(line)
        };
        let probe = |(_, line): (usize, &OsString)| {
            let line = shown(line, self.redaction).unwrap_or_else(|| HIDDEN.into());
            Difference { subject: Subject::Probe(line), remedy: Vec::new() }
        };
        lines.filter(differs).map(probe).collect()
    }
}

fn stdin_flag(request: &Request) -> Option<&'static str> {
    match request.stdin {
        StdinRule::Automatic => None,
        StdinRule::Input => Some("--stdin"),
        StdinRule::None => Some("--no-stdin"),
        StdinRule::From(_) => Some("--stdin-from"),
    }
}
