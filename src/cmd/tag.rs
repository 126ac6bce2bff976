//! `fleche tag`: add tags to stored calls, or take them away.

use crate::error::{Error, Result};
use crate::model::{Key, Reason};
use crate::query::none;
use crate::store::{Catalogue, Store};
use crate::ui::{self, Talk};

use super::chosen::{self, Chosen};
use super::{filter, store_to_change};

/// Add tags to stored calls, or take them away
///
/// NAME alone means NAME=yes. `fleche tag KEY pin` keeps a call from being evicted by limits.
#[derive(clap::Args)]
pub struct Args {
    /// Keys, or the first four or more characters of them, `-` for those on standard input; then tags, as NAME=VALUE or NAME
    #[arg(value_name = "KEY|NAME[=VALUE]", add = super::candidates::keys_and_tags())]
    words: Vec<String>,
    /// Take this tag away
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    #[command(flatten)]
    filter: filter::Args,
}

/// Changes the tags.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let (keys, tags) = args.words.into_iter().partition::<Vec<_>, _>(|word| is_key(word));
    let tags: Vec<(String, String)> = tags.iter().map(|word| tag(word)).collect::<Result<_>>()?;
    if tags.is_empty() && args.remove.is_empty() {
        return Err(Error::usage("which tags?").hint("fleche tag KEY project=alpha"));
    }
    let store = store_to_change()?;
    let catalogue = store.catalogue()?;
    let (is_named, mut is_any) = (!keys.is_empty(), false);
    for key in calls(keys, args.filter, &store, &catalogue)? {
        let changed = store.tag(&key, |all| {
            all.retain(|name, _| !args.remove.contains(name));
            all.extend(tags.iter().cloned());
        });
        match changed {
            Ok(true) => talk.detail(&format!("tagged {}", key.0.short())),
            Ok(false) => {}
            // A filter matches what is there, and this was evicted since.
            Err(Reason::NoCall) if !is_named => continue,
            Err(reason) => return Err(Error::failure(format!("cannot tag {}: {reason}", key.0.short()))),
        }
        is_any = true;
    }
    if is_any || is_named { Ok(()) } else { Err(none()) }
}

fn calls(keys: Vec<String>, filter: filter::Args, store: &Store, catalogue: &Catalogue) -> Result<Vec<Key>> {
    let is_named = !keys.is_empty();
    match chosen::Args::new(keys, filter).calls(store, catalogue)? {
        Chosen::These(keys) if keys.is_empty() && !is_named => Err(none()),
        Chosen::These(keys) => Ok(keys),
        Chosen::Everything => Err(Error::usage("which calls?").hint("KEY..., filters, or --name '*' for all")),
    }
}

/// A tag that looks like a digest, such as `cafe`, is written with its equals sign.
fn is_key(word: &str) -> bool {
    word == "-" || chosen::prefix(word).is_ok()
}

fn tag(word: &str) -> Result<(String, String)> {
    if word.contains('=') { ui::parse_tag(word) } else { ui::parse_tag(&format!("{word}=yes")) }
}
