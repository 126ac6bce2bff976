//! A file of configuration in which everything is a comment, to begin with.

use super::file::Origin;
use super::keys::{CACHE, FLAGS, Key, REMOTE, RULE, TOP};

/// The file for a project, or the user's own.
pub fn template(origin: Origin) -> String {
    let is_project = matches!(origin, Origin::Project { .. });
    let mut text = String::from(match is_project {
        true => {
            "# fleche.toml: how fleche recognises the commands of this project. `fleche config` shows what is in force.\n\
                 # This folder is the project's root: checkouts share what they made. An empty file is enough for that.\n"
        }
        false => "# fleche's own configuration of this user. A fleche.toml of a project outranks it, key by key.\n",
    });
    let may = |key: &&Key| !(is_project && ["path", "shared"].contains(&key.name) || !is_project && key.name == "root");
    section(&mut text, "", TOP.iter().filter(may));
    section(&mut text, "[caches.local]", CACHE.iter().filter(may));
    if !is_project {
        let access = CACHE.iter().filter(|key| key.name == "access");
        section(&mut text, "# A store that many machines share.\n[caches.team]", REMOTE.iter().chain(access));
    }
    section(&mut text, "# For every command, where no rule says otherwise.\n[defaults]", FLAGS.iter());
    section(
        &mut text,
        "# A rule: the first one that matches a command holds. It can have all keys of [defaults] too.\n[[command]]",
        RULE.iter(),
    );
    text
}

fn section<'k>(text: &mut String, head: &str, keys: impl Iterator<Item = &'k Key>) {
    text.push('\n');
    for line in head.lines() {
        let sign = if line.starts_with('#') { "" } else { "#" };
        text.push_str(&format!("{sign}{line}\n"));
    }
    for key in keys {
        text.push_str(&format!("# {}\n#{} = {}\n", key.about, key.name, key.example));
    }
}
