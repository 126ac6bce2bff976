//! Completions and manual pages are made by fleche and from its flags; what lies in the repository is what they say now.
//!
//! `FLECHE_BLESS=1 cargo test documents` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::completions::in_bash;
use crate::world::World;

/// File names and their content.
type Pages = BTreeMap<PathBuf, String>;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder.
fn pages(folder: &Path) -> Pages {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), fs::read_to_string(&path).unwrap())).collect()
}

/// The pages of `folder` must be those that `make` writes.
fn compare(folder: &str, make: impl FnOnce(&Path)) {
    let fresh = tempfile::tempdir().unwrap();
    make(fresh.path());
    let (wanted, folder) = (pages(fresh.path()), repository().join(folder));
    assert!(!wanted.is_empty());
    if std::env::var_os("FLECHE_BLESS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        wanted.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    let found = pages(&folder);
    let names = |pages: &Pages| pages.keys().cloned().collect::<Vec<_>>();
    let hint = "write them anew with FLECHE_BLESS=1 cargo test documents";
    assert_eq!(names(&found), names(&wanted), "{}: {hint}", folder.display());
    for (name, text) in &wanted {
        assert!(found[name] == *text, "{} is out of date: {hint}", folder.join(name).display());
    }
}

#[test]
fn completions_are_up_to_date() {
    compare("completions", |folder| {
        let world = World::new();
        for (shell, name) in [("bash", "fleche.bash"), ("zsh", "_fleche"), ("fish", "fleche.fish")] {
            let outcome = world.fleche(["completions", shell]).run();
            assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
            fs::write(folder.join(name), outcome.stdout).unwrap();
        }
    });
}

#[test]
fn manual_pages_are_up_to_date() {
    compare("man", |folder| {
        clap_mangen::generate_to(fleche::cli::command(), folder).unwrap();
        fs::write(folder.join("fleche.toml.5"), configuration_page()).unwrap();
    });
}

/// fleche.toml(5), from the schema.
fn configuration_page() -> String {
    let schema: Value = serde_json::from_slice(&World::new().fleche(["config", "schema"]).run().stdout).unwrap();
    let quoted = |text: &str| text.replace('\\', "\\e").replace('-', "\\-").replace('.', "\\&.");
    let mut page = format!(
        ".TH fleche.toml 5 \"\" \"fleche {version}\"\n.SH NAME\nfleche.toml \\- how fleche recognises commands, and where it keeps them\n\
         .SH DESCRIPTION\nA TOML file: \\fBfleche.toml\\fR in a folder and those above it, then \\fB~/.config/fleche/config.toml\\fR or what \
         \\fBFLECHE_CONFIG\\fR names. The nearest outranks the others, key by key. \\fBfleche config init\\fR writes one to begin with, \
         \\fBfleche config\\fR prints what is in force, \\fBfleche config check\\fR tells what is wrong.\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    for (head, pointer) in [
        ("AT THE TOP", "/properties"),
        ("[caches.NAME]", "/properties/caches/additionalProperties/properties"),
        ("[[command]]", "/properties/command/items/properties"),
    ] {
        page.push_str(&format!(".SH \"{head}\"\n"));
        for (name, key) in schema.pointer(pointer).unwrap().as_object().unwrap() {
            let about = key["description"].as_str().unwrap();
            page.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", quoted(name), quoted(about)));
        }
    }
    page + ".SH \"[defaults]\"\nAll keys of [[command]] but \\fBmatch\\fR and \\fBcache\\fR.\n.SH SEE ALSO\n\\fBfleche\\-config\\fR(1), \\fBfleche\\-run\\fR(1)\n"
}

/// The flags in the help of a subcommand: words at the beginning of lines that start with a dash.
fn flags_of(world: &World, subcommand: &str) -> BTreeSet<String> {
    let outcome = world.fleche([subcommand, "--help"]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let help = outcome.stdout();
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags =
        lines.flat_map(|line| line.split([' ', ',']).take_while(|word| word.is_empty() || word.starts_with('-')));
    flags.filter(|word| word.len() > 1).map(|flag| flag.split(['=', '[']).next().unwrap().to_owned()).collect()
}

#[test]
fn every_flag_of_the_help_is_in_the_manual_and_the_completions() {
    let world = World::new();
    for subcommand in fleche::cli::command().get_subcommands().map(clap::Command::get_name) {
        let page = fs::read_to_string(repository().join(format!("man/fleche-{subcommand}.1"))).unwrap();
        let page = page.replace("\\-", "-");
        let flags = flags_of(&world, subcommand);
        assert!(flags.contains("--help") && flags.len() >= 4, "{subcommand}: {flags:?}");
        for flag in flags {
            assert!(page.contains(&format!("\\fB{flag}\\fR")), "man/fleche-{subcommand}.1 lacks {flag}");
            if flag.starts_with("--") {
                let offered = in_bash(&world, &["fleche", subcommand, &flag]);
                assert!(offered.contains(&flag), "bash is not offered {flag} of {subcommand}: {offered:?}");
            }
        }
    }
}

#[test]
fn every_subcommand_is_in_the_manual_and_the_help() {
    let world = World::new();
    let help = world.fleche(["--help"]).run().stdout();
    let page = fs::read_to_string(repository().join("man/fleche.1")).unwrap().replace("\\-", "-");
    for subcommand in fleche::cli::command().get_subcommands() {
        let name = subcommand.get_name();
        assert!(page.contains(&format!("fleche-{name}(1)")), "man/fleche.1 lacks {name}");
        assert!(help.lines().any(|line| line.split_whitespace().next() == Some(name)), "fleche --help lacks {name}");
        assert!(subcommand.get_about().is_some(), "{name} does not say what it is for");
    }
}

#[test]
fn every_flag_says_what_it_is_for() {
    for subcommand in fleche::cli::command().get_subcommands() {
        for argument in subcommand.get_arguments() {
            let name = format!("{} {}", subcommand.get_name(), argument.get_id());
            let help = argument.get_help().unwrap_or_else(|| panic!("{name} has no help")).to_string();
            assert!(!help.ends_with('.') && help.starts_with(|c: char| !c.is_whitespace()), "{name}: {help}");
        }
    }
}

#[test]
fn help_and_version_open_nothing() {
    let world = World::new();
    for words in
        [&["--help"][..], &["-h"], &["--version"], &["-V"], &["run", "--help"], &["run", "-h"], &["table", "--help"]]
    {
        let outcome = world.fleche(words).run();
        assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()), "{words:?}");
        assert!(!outcome.stdout.is_empty());
    }
    let version = format!("fleche {}\n", env!("CARGO_PKG_VERSION"));
    world.fleche(["--version"]).prints(&version);
    assert!(!world.home().join(".cache").exists());
}

#[test]
fn the_help_of_run_is_the_same_by_either_road() {
    // `run` is parsed by a command line of its own, which must not drift from the whole one.
    let world = World::new();
    let short = world.fleche(["run", "--help"]).run().stdout();
    let mut command = fleche::cli::command();
    command.build();
    let whole = command.find_subcommand_mut("run").unwrap().render_long_help().to_string();
    assert_eq!(short.trim_end(), whole.trim_end());
}
