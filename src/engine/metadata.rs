//! When, where and at what cost a call was made.

use std::path::Path;

use crate::exec::Run;
use crate::model::Metadata;
use crate::sys::{git, identity};

/// The metadata of a run that just ended in `cwd`.
pub fn of(run: &Run, cwd: &Path) -> Metadata {
    let (git_commit, git_branch) = match git::head(cwd) {
        Some((commit, branch)) => (Some(commit), branch),
        None => (None, None),
    };
    Metadata {
        usage: run.usage,
        host: identity::host_name(),
        user: identity::user_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit,
        git_branch,
    }
}
