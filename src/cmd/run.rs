//! `fleche run`: run a command once, and replay it ever after.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{ValueEnum, ValueHint};

use crate::config::{self, Ruling};
use crate::engine::{self, Aftermath, Audited, Detail, Ending, Mode, Mtime, Nested, Pace, Policy, Told};
use crate::error::{Error, Result, cause};
use crate::model::{Reason, Request};
use crate::ui::{self, JsonStyle, Talk};

use super::recognise::{self, Spelling};
use super::rules::chosen;
use super::{audit, candidates, explain, freshness};

/// The exit status when fleche itself refuses to start a command, as in env(1) and timeout(1).
pub const REFUSAL: i32 = 125;

/// Run a command, or replay what it did when the same command met the same inputs
///
/// The exit status is the command's; 125 if fleche refuses, 126 if the command cannot be executed,
/// 127 if it is not found. Standard output and error are the command's, byte for byte.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    recognise: recognise::Args,
}

/// What to do with the call.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// A tag for the call, added also where it is replayed; FLECHE_TAGS (`a=1,b=2`) gives more
    #[arg(short, long = "tag", value_name = "NAME=VALUE", add = candidates::tags(), help_heading = "Record")]
    tag: Vec<String>,
    /// The same as --tag project=NAME; FLECHE_PROJECT gives a default
    #[arg(short, long, value_name = "NAME", add = candidates::projects(), help_heading = "Record")]
    project: Option<String>,
    /// Do not store a stream or an output larger than this [default: 4GiB], nor what --stdin has to read ahead [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = ui::parse_size, help_heading = "Record")]
    max_entry: Option<u64>,

    /// Replay output at the pace at which it came
    #[arg(long, help_heading = "Replay")]
    realtime: bool,
    /// The modification time of restored files: now, unchanged where the file is right already, or as recorded [default: now]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Replay")]
    mtime: Option<MtimeWhen>,
    /// on: replay and store; off: run only; read-only: never store; refresh: run and store anew [default: $FLECHE_MODE, else on]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Replay")]
    mode: Option<ModeName>,
    /// Wait at most this long for another run of the same command [default: as long as it lives]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Replay")]
    wait: Option<Duration>,
    /// With --isolate: leave the private folder where it is when the command has run, and say where
    #[arg(long, help_heading = "Inputs and outputs")]
    keep: bool,
    #[command(flatten)]
    freshness: freshness::Args,
    /// Write what --trace audit tells as JSON into FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Watching")]
    audit_json: Option<PathBuf>,
    /// What the rules in force add.
    #[arg(skip)]
    ruled: Ruled,
}

/// What rules and defaults of files say that no flag holds.
#[derive(Debug, Default)]
struct Ruled {
    /// Tags, which those of flags and variables outrank.
    tags: BTreeMap<String, String>,
    /// Where the rule begins, if one matches.
    rule: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum MtimeWhen {
    #[default]
    Now,
    Keep,
    Recorded,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    On,
    Off,
    ReadOnly,
    Refresh,
}

impl Args {
    /// The request that the flags spell.
    pub(super) fn request(self) -> Result<Request> {
        self.recognise.request()
    }

    /// The same with what the rule for the command says where these flags say nothing.
    pub(super) fn ruled(mut self) -> Result<Args> {
        self.recognise.fill(&mut self.flags)?;
        Ok(self)
    }

    /// The policy that the flags spell.
    pub(super) fn policy(&self, talk: &Talk) -> Result<Policy> {
        let audit = if self.recognise.audits() { Audited::Yes } else { Audited::No };
        Ok(Policy { audit, ..self.flags.policy(talk)? })
    }

    /// Whether `--mode` was given.
    pub(super) fn names_mode(&self) -> bool {
        self.flags.mode.is_some()
    }

    /// The same with `word` in front of the command.
    pub(super) fn behind(mut self, word: OsString) -> Args {
        self.recognise.put_in_front(word);
        self
    }

    /// What these flags are where only `recognise` and `tag` were given, see [`quick`](super::quick).
    pub(super) fn plain(recognise: recognise::Args, tag: Vec<String>) -> Args {
        Args { flags: Flags { tag, ..Flags::default() }, recognise }
    }
}

/// Runs or replays the command; never returns where fleche became the command or died as it did.
pub fn run(args: Args, talk: &Talk) -> i32 {
    let file = args.flags.audit_json.clone();
    let tell = |told| match (&told, &file) {
        (Told::Audited(audit), Some(file)) => write_audit(file, &audit::object(audit), talk),
        _ => tell(talk, &told),
    };
    end(attempt(args, talk, &tell), talk)
}

/// Writes the audit where it was asked for; the command has run, and its status stands.
fn write_audit(file: &Path, audit: &serde_json::Value, talk: &Talk) {
    if let Err(why) = std::fs::write(file, ui::json(audit, JsonStyle::Indented)) {
        talk.error(&Error::failure(format!("cannot write `{}`: {}", file.display(), cause(&why))));
    }
}

/// Runs or replays the command, and hands what there is to say to `tell`.
pub(super) fn attempt(args: Args, talk: &Talk, tell: &dyn Fn(Told)) -> Result<Ending> {
    let args = args.ruled()?;
    let policy = ManuallyDrop::new(args.policy(talk)?);
    args.flags.tell_rule(talk);
    super::tell_ignored(talk);
    let request = ManuallyDrop::new(args.recognise.request()?);
    engine::run(&request, &policy, &super::caches()?, tell)
}

/// Ends as the command did, or says why there was none and gives the status for that.
pub(super) fn end(ending: Result<Ending>, talk: &Talk) -> i32 {
    match ending.unwrap_or_else(|error| Ending::NotStarted(error, REFUSAL)) {
        Ending::Status(status) => engine::end_like(status),
        Ending::NotStarted(error, status) => {
            talk.error(&error);
            status
        }
    }
}

impl Flags {
    /// Fills what these flags leave open. Of the mode the environment speaks before any file.
    pub(super) fn fill(&mut self, ruling: &Ruling) {
        self.max_entry = self.max_entry.or_else(|| ruling.size("max-entry"));
        self.realtime |= ruling.flag("realtime") == Some(true);
        self.mtime = chosen(self.mtime, ruling, "mtime");
        if config::mode().is_none() {
            self.mode = chosen(self.mode, ruling, "mode");
        }
        self.wait = self.wait.or_else(|| ruling.time("wait"));
        self.freshness.fill(ruling);
        self.ruled = Ruled {
            tags: ruling.tags().iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect(),
            rule: ruling.rule().map(ToString::to_string),
        };
    }

    /// Where the rule begins that holds for the command, if one does: its file and line.
    pub(super) fn rule(&self) -> Option<&str> {
        self.ruled.rule.as_deref()
    }

    /// Says which rule holds, as far as that is wanted.
    pub(super) fn tell_rule(&self, talk: &Talk) {
        if let Some(rule) = self.rule() {
            talk.detail(&format!("rule: {rule}"));
        }
    }

    /// The policy that the flags spell.
    pub(super) fn policy(&self, talk: &Talk) -> Result<Policy> {
        self.freshness.check()?;
        let mode = match self.mode {
            Some(mode) => mode.mode(),
            None => mode_of_environment()?,
        };
        let mode = super::allowed(mode)?;
        Ok(Policy {
            max_entry: self.max_entry.unwrap_or(engine::MAX_ENTRY),
            max_input: self.max_entry.unwrap_or(engine::MAX_INPUT),
            pace: if self.realtime { Pace::Recorded } else { Pace::AtOnce },
            mtime: match self.mtime.unwrap_or_default() {
                MtimeWhen::Now => Mtime::Now,
                MtimeWhen::Keep => Mtime::Keep,
                MtimeWhen::Recorded => Mtime::Recorded,
            },
            wait: self.wait,
            aftermath: if self.keep { Aftermath::Kept } else { Aftermath::Removed },
            nested: Nested::AsFound,
            audit: Audited::No,
            tags: tags(self)?,
            session: config::session(),
            detail: if talk.is_verbose() { Detail::Nearest } else { Detail::Reason },
            ..self.freshness.policy(mode)
        })
    }
}

impl ModeName {
    fn mode(self) -> Mode {
        match self {
            ModeName::On => Mode::On,
            ModeName::Off => Mode::Off,
            ModeName::ReadOnly => Mode::ReadOnly,
            ModeName::Refresh => Mode::Refresh,
        }
    }
}

/// The mode that FLECHE_MODE asks for.
pub(super) fn mode_of_environment() -> Result<Mode> {
    Ok(named_by_environment()?.map_or(Mode::On, ModeName::mode))
}

fn named_by_environment() -> Result<Option<ModeName>> {
    let Some(word) = config::mode() else { return Ok(None) };
    ModeName::from_str(&word, false).map(Some).map_err(|_| {
        Error::usage(format!("FLECHE_MODE is `{word}`, which is no mode")).hint("on, off, read-only or refresh")
    })
}

/// The words that spell these flags, with what the environment adds to them; `recorded` are tags that those of the flags
/// and of the environment outrank.
pub fn words(args: &Flags, recorded: BTreeMap<String, String>) -> Result<Vec<OsString>> {
    let mode = match args.mode {
        None => named_by_environment()?,
        given => given,
    };
    let mut words = Spelling::default();
    let mut all = recorded;
    all.extend(tags(args)?);
    words.all("--tag", all.iter().map(|(name, value)| format!("{name}={value}")));
    words.one("--max-entry", args.max_entry.map(|bytes| bytes.to_string()));
    args.freshness.spell(&mut words);
    words.flag("--realtime", args.realtime);
    let name = |value: Option<PossibleValue>| value.map(|value| value.get_name().to_owned());
    let mtime = args.mtime.filter(|mtime| !matches!(mtime, MtimeWhen::Now));
    words.one("--mtime", name(mtime.and_then(|mtime| mtime.to_possible_value())));
    words.one("--mode", name(mode.and_then(|mode| mode.to_possible_value())));
    words.flag("--keep", args.keep);
    words.one("--wait", args.wait.map(|time| humantime::format_duration(time).to_string()));
    Ok(words.0)
}

/// The tags of a call: those of files, the environment's, then the flags', the later one winning.
fn tags(args: &Flags) -> Result<BTreeMap<String, String>> {
    let mut all = args.ruled.tags.clone();
    all.extend(tags_of_caller(args)?);
    Ok(all)
}

fn tags_of_caller(args: &Flags) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    let from_environment = config::tags();
    for word in from_environment.iter().chain(&args.tag) {
        let (name, value) = ui::parse_tag(word)?;
        tags.insert(name, value);
    }
    if let Some(project) = args.project.clone().or_else(|| config::project().filter(|_| !tags.contains_key("project")))
    {
        tags.insert("project".to_owned(), project);
    }
    Ok(tags)
}

/// Says on standard error what happened, as far as it is wanted.
pub(super) fn tell(talk: &Talk, told: &Told) {
    match told {
        Told::Plain { reason, hint } => match hint {
            Some(hint) => talk.warn(&format!("not cached: {reason}; {hint}")),
            None => talk.detail(&format!("not cached: {reason}")),
        },
        Told::Warning(text) => talk.warn(text),
        Told::Unshared { cache, why } => talk.detail(&format!("the cache `{cache}` is of no use: {why}")),
        Told::Kept(folder) => talk.warn(&format!("its private folder is kept: `{}`", folder.display())),
        Told::Audited(audit) => audit::lines(audit, talk.is_verbose()).iter().for_each(|line| talk.warn(line)),
        Told::Hit { key, saved } => talk.detail(&format!("hit {} (saved {})", key.0.short(), ui::duration(*saved))),
        Told::Stale { key, saved } => {
            talk.detail(&format!("stale hit {} (saved {}), running again", key.0.short(), ui::duration(*saved)));
        }
        Told::Stored { key, why, took, scattered, .. } => {
            if let Some(path) = scattered {
                talk.detail(&explain::scattered(path));
            }
            let why = explain::why(&why.reason, why.nearest.as_deref());
            talk.detail(&format!("miss: {why}; stored {} (took {})", key.0.short(), ui::duration(*took)));
        }
        // Where nothing is declared nothing will ever be stored here.
        Told::NotStored { reason: reason @ Reason::Unwatchable(_), hint: Some(hint), .. } => {
            talk.warn(&format!("not stored: {reason}; {hint}"));
        }
        Told::NotStored { why, reason, hint } => {
            let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
            let why = explain::why(&why.reason, why.nearest.as_deref());
            talk.detail(&format!("miss: {why}; not stored: {reason}{hint}"));
        }
    }
}
