//! `fleche config`: what is configured, and the lists that fleche goes by.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use serde_json::{Value, json};

use crate::config::{self, Fault, Line, Origin, UserFile};
use crate::engine;
use crate::error::{Error, Result};
use crate::sys::project;
use crate::ui::{self, JsonStyle};

/// Print what is configured here and where each line comes from, as fleche.toml would hold it
///
/// A flag outranks a variable, that outranks the rule for the command, and that the defaults of the files: of each fleche.toml
/// from the working directory upwards (as far as one says `root = true`), then of your own file, ~/.config/fleche/config.toml
/// or what FLECHE_CONFIG names. The nearest file outranks the others, key by key.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// The same as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a fleche.toml in which every key is explained and nothing is said yet
    Init {
        /// Your own file instead, for all projects
        #[arg(long)]
        user: bool,
    },
    /// Check the files that are gone by here, or another one: a line for each fault, and exit status 1 if there are any
    Check {
        /// The file; one called fleche.toml is a project's, any other your own
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// The JSON Schema of fleche.toml, for editors
    Schema,
    /// The environment variables that do not count, one a line; `*` stands for any ending
    Env,
    /// The files and folders of which a watched command is not observed unless its arguments name them, one a line
    Trace,
}

/// Prints it.
pub fn run(args: Args) -> Result<()> {
    let (name, version, lines) = match args.what {
        None if args.json => return ui::print(&ui::json(&object()?, JsonStyle::Indented)),
        None => return ui::print(&page()?),
        Some(What::Init { user }) => return init(user),
        Some(What::Check { file }) if args.json => {
            return check(file, |found| ui::json(&found_json(found), JsonStyle::Indented));
        }
        Some(What::Check { file }) => return check(file, found_lines),
        Some(What::Schema) => return ui::print(&ui::json(&config::schema(), JsonStyle::Indented)),
        Some(What::Env) => ("variables", engine::VOLATILE_VERSION, engine::VOLATILE),
        Some(What::Trace) => ("paths", engine::UNOBSERVED_VERSION, engine::UNOBSERVED),
    };
    if args.json {
        return ui::print(&ui::json(&json!({"version": version, name: lines}), JsonStyle::Indented));
    }
    ui::print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// All that is in force, with what says so behind it.
fn page() -> Result<String> {
    let settings = config::settings()?;
    let lines = config::lines(settings)?;
    let width =
        lines.iter().map(|line| line.toml().chars().count()).filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let mut page = String::new();
    let mut table = String::new();
    for line in &lines {
        let begins_rule = line.table == "command" && line.key == "match";
        if line.table != table || begins_rule {
            table.clone_from(&line.table);
            page.push_str(&if begins_rule { "\n[[command]]\n".to_owned() } else { format!("\n[{table}]\n") });
        }
        page.push_str(&ui::escape(&format!("{:width$}  # {}", line.toml(), line.source)));
        page.push('\n');
    }
    Ok(page)
}

/// A line that is longer is not waited for with the comments of the others, in characters.
const WIDEST: usize = 60;

fn object() -> Result<Value> {
    let settings = config::settings()?;
    let line = |line: &Line| json!({"table": line.table, "key": line.key, "value": line.value, "source": line.source.to_string()});
    let files: Vec<_> = settings.files.iter().map(|file| file.path.to_string_lossy()).collect();
    let lines: Vec<Value> = config::lines(settings)?.iter().map(line).collect();
    Ok(json!({"files": files, "ignored": settings.ignored, "settings": lines}))
}

/// Writes a file to begin with.
fn init(user: bool) -> Result<()> {
    let (path, origin) = match (user, config::user_file()) {
        (false, _) => (PathBuf::from(project::FILE), Origin::Project { up: 0 }),
        (true, UserFile::Usual(path) | UserFile::Named(path)) => (path, Origin::User),
        (true, UserFile::None) => return Err(Error::failure("there is no place for a file of your own")),
    };
    let cannot = |why: io::Error| Error::failure(format!("cannot write `{}`", path.display())).because(why);
    if let Some(folder) = path.parent().filter(|_| user) {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(cannot)?;
    file.write_all(config::template(origin).as_bytes()).map_err(cannot)
}

/// What was found in some files.
struct Found {
    faults: Vec<Fault>,
    ignored: Vec<String>,
}

fn check(file: Option<PathBuf>, show: fn(&Found) -> String) -> Result<()> {
    let found = match file {
        None => {
            let (settings, faults) = config::findings();
            Found { faults, ignored: settings.ignored }
        }
        Some(path) => {
            let is_project = path.file_name().is_some_and(|name| name == project::FILE);
            let origin = if is_project { Origin::Project { up: 0 } } else { Origin::User };
            Found { faults: config::check(&path, origin), ignored: Vec::new() }
        }
    };
    ui::print(&show(&found))?;
    if found.faults.is_empty() && found.ignored.is_empty() { Ok(()) } else { Err(Error::unsaid()) }
}

fn found_lines(found: &Found) -> String {
    let mut text = String::new();
    for fault in &found.faults {
        text.push_str(&format!("{}\n", ui::escape(&fault.to_string())));
        text.extend(fault.hint.iter().map(|hint| format!("    {}\n", ui::escape(hint))));
    }
    text.extend(found.ignored.iter().map(|why| format!("{}\n", ui::escape(why))));
    text
}

fn found_json(found: &Found) -> Value {
    let faults = found.faults.iter().map(|fault| {
        json!({
            "file": fault.place.file.to_string_lossy(),
            "line": fault.place.line,
            "column": fault.place.column,
            "message": fault.message,
            "hint": fault.hint,
        })
    });
    json!({"faults": faults.collect::<Vec<_>>(), "ignored": found.ignored})
}
