//! The stored result of a command or call, for who wants it without running anything.

use std::path::Path;

use crate::error::{Error, Result};
use crate::model::{Call, Output, OutputKind, Request, Streams};
use crate::store::Store;

use super::Caches;
use super::outputs::{self, Former, Inputs, Mtime, Places};
use super::recognise::keys_now;
use super::replay::Values;

/// How the streams of the recorded run may have been connected. A reader of what it printed has others than the run had.
const CONNECTED: [Streams; 2] =
    [Streams { stdout: true, stderr: true, same: true }, Streams { stdout: true, stderr: true, same: false }];

/// The stored call that answers `request` now, however the streams of its run were connected; `None` where there is none.
///
/// # Errors
///
/// Where `request` makes no sense, and where something of it cannot be read.
pub fn stored(request: &Request, caches: &Caches) -> Result<Option<Call>> {
    let (store, keys) = keys_now(request, &CONNECTED, caches)?;
    for key in keys {
        if let Ok(Some(call)) = store.call(&key) {
            return Ok(Some(call));
        }
    }
    Ok(None)
}

/// Puts the outputs of `call` below `folder`, all or none, by the rules of a replay; a file that is there and has other
/// bytes is not replaced. Gives what the user should know, a sentence each.
///
/// # Errors
///
/// Where an output has no place below a folder, where something is in the way, and where a value is damaged.
pub fn unpack(call: &Call, store: &Store, folder: &Path) -> Result<Vec<String>> {
    let outputs: Vec<Output> = call.outcome.outputs.iter().filter(is_there).map(unowned).collect();
    if let Some(output) = outputs.iter().find(|output| output.path.is_absolute()) {
        let path = output.path.display();
        return Err(Error::failure(format!("output `{path}` is absolute and has no place below another folder"))
            .hint(format!("fleche load {}/{path}", call.key.0.short())));
    }
    let cannot = |why| Error::failure(format!("cannot make `{}`", folder.display())).because(why);
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let folder = folder.canonicalize().map_err(cannot)?;
    let places = Places::below(&folder);
    let former = Former::known(|| Former::of([outputs.as_slice()]));
    let inputs = Inputs { words: &[], observations: &|| &[] };
    let restored = outputs::restore(&places, &outputs, &Values(store), Mtime::Now, &former, &inputs);
    restored.map(|restored| restored.warnings).map_err(|reason| Error::failure(reason.to_string()))
}

fn is_there(output: &&Output) -> bool {
    output.kind != OutputKind::Absent
}

/// What else lies in the folder is none of the call's business here.
fn unowned(output: &Output) -> Output {
    let kind = match &output.kind {
        OutputKind::Folder { mode, .. } => OutputKind::Folder { mode: *mode, owned: false, dated: None },
        kind => kind.clone(),
    };
    Output { path: output.path.clone(), kind }
}
