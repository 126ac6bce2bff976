//! What proves who we are for a while: whoever tells it, a program or a server, is asked once, and not by each of a thousand runs.
//!
//! It is kept in a folder that is the user's alone, and only if it says when it ends; never in a cache, which may be copied
//! about. Whatever is not right with the file, or with the folder, somebody is asked.

use std::cell::RefCell;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde_json::{Value, json};

use super::Failure;
use super::engine::Programs;
use super::http::Headers;
use crate::model::{Digest, Remote};
use crate::sys::{clock, plain, process};

/// How long before its end nothing is used any more, in nanoseconds: clocks differ, and answers take their time.
const MARGIN: i64 = 60_000_000_000;
/// Nothing that is kept is longer, in bytes.
const LONGEST: u64 = 64 << 10;
/// What the names of files begin with that are being written.
const BEGUN: &str = ".new-";
/// How long a credential helper may take.
const HELPERS_TIME: Duration = Duration::from_secs(5);

/// What somebody told who knows who we are.
pub struct Lent {
    /// His words.
    pub told: Value,
    /// From when on he is to be asked again, in nanoseconds since 1970, if that was told.
    due: Option<i64>,
    /// Where it is kept, if it can be.
    file: Option<PathBuf>,
}

impl Lent {
    /// What was told before under these words, which tell who would be asked for what; else what `ask` is told. `ends` is the
    /// name of what tells until when it holds.
    ///
    /// # Errors
    ///
    /// Those of `ask`.
    pub fn from(
        folder: Option<&Path>,
        words: &[&str],
        ends: &str,
        ask: impl FnOnce() -> Result<Value, Failure>,
    ) -> Result<Lent, Failure> {
        let named = |folder: &Path| folder.join(Digest::of(words.join("\0").as_bytes()).to_string());
        let file = folder.map(named);
        if let Some(kept) = file.as_deref().and_then(read).filter(Lent::holds) {
            return Ok(kept);
        }
        let told = ask()?;
        let end = told[ends].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let now = clock::now();
        let due = end.and_then(|end| i64::try_from(end.as_nanosecond()).ok()).map(|end| {
            let left = end.saturating_sub(now).max(0);
            now + left - MARGIN.min(left / 2)
        });
        let lent = Lent { told, due, file };
        // Where it cannot be kept the next one asks, too.
        let _ = lent.keep();
        Ok(lent)
    }

    /// Whether it can be used.
    pub fn holds(&self) -> bool {
        self.due.is_none_or(|due| clock::now() < due)
    }

    /// It is of no use, or was refused: the next one asks.
    pub fn forget(&self) {
        self.file.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }

    fn keep(&self) -> std::io::Result<()> {
        let (Some(file), Some(due), true) = (&self.file, self.due, self.holds()) else { return Ok(()) };
        let Some(folder) = file.parent().filter(|folder| is_ours(folder)) else { return Ok(()) };
        // Nobody but its owner may look into it from the first moment.
        let mut new = tempfile::Builder::new().prefix(BEGUN).tempfile_in(folder)?;
        new.write_all(json!({ "due": due, "told": self.told }).to_string().as_bytes())?;
        new.persist(file)?;
        clear(folder)
    }
}

/// Removes what is over a day after it was kept, and what whoever was killed left there.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Whatever else is there is not ours.
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(BEGUN) || name.parse::<Digest>().is_ok()) {
            continue;
        }
        let path = entry.path();
        let before = (clock::now() - clock::DAY) / clock::SECOND;
        let is_old = std::fs::symlink_metadata(&path).is_ok_and(|found| found.mtime() < before);
        if is_old && !read(&path).is_some_and(|lent| lent.holds()) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether a folder is there, or could be made, into which nobody else looks. With the rights of another user nothing is made
/// in the place of whoever gave them.
fn is_ours(folder: &Path) -> bool {
    let nearest = folder.ancestors().find_map(|path| std::fs::metadata(path).ok());
    if nearest.is_none_or(|found| found.uid() != rustix::process::geteuid().as_raw()) {
        return false;
    }
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && is_private(&found))
}

fn is_private(found: &std::fs::Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0
}

fn read(path: &Path) -> Option<Lent> {
    let file = plain::open(path, OFlags::NOFOLLOW).ok()??;
    if !is_private(&file.metadata().ok()?) {
        return None;
    }
    let bytes = plain::up_to(LONGEST, file).ok()??;
    let mut kept: Value = serde_json::from_slice(&bytes).ok()?;
    Some(Lent { due: Some(kept["due"].as_i64()?), told: kept["told"].take(), file: Some(path.to_owned()) })
}

/// What a program answers, if one may be asked; the inner error is why it does not.
///
/// # Errors
///
/// [`Failure::Unasked`] where none may be.
pub fn asked(
    line: &str,
    programs: Programs,
    input: &[u8],
    time: Duration,
) -> Result<std::io::Result<Vec<u8>>, Failure> {
    match programs {
        Programs::Asked if time.is_zero() => Ok(Err(std::io::ErrorKind::TimedOut.into())),
        Programs::Asked => Ok(process::ask(line, input, time)),
        Programs::Unasked => {
            let why = "what tells who we are is a program, and no program is asked within a command that is watched";
            Err(Failure::Unasked(why.to_owned()))
        }
    }
}

/// A program that tells what to send along to a server, by Bazel's protocol for credential helpers
/// (github.com/EngFlow/credential-helper-spec).
pub struct Helper {
    program: String,
    url: String,
    folder: Option<PathBuf>,
    programs: Programs,
    last: RefCell<Option<Rc<(Lent, Headers)>>>,
}

impl Helper {
    /// That of a store, if it has one, for this URL. It is not asked yet.
    pub fn of(remote: &Remote, url: &str, programs: Programs) -> Option<Helper> {
        let program = remote.helper.clone()?;
        let folder = remote.private.clone();
        Some(Helper { program, url: url.to_owned(), folder, programs, last: RefCell::default() })
    }

    /// Why it is of no use.
    pub fn failed(&self, why: &str) -> Failure {
        Failure::Denied(format!("`{}` does not tell who we are: {why}", self.program))
    }

    /// What it tells to send along; no longer than `left` is waited for that.
    ///
    /// # Errors
    ///
    /// Why it does not say.
    pub fn headers(&self, left: Duration) -> Result<Rc<(Lent, Headers)>, Failure> {
        if let Some(last) = self.last.borrow().as_ref().filter(|last| last.0.holds()) {
            return Ok(Rc::clone(last));
        }
        let words = ["helper", &self.program, &self.url];
        let lent = Lent::from(self.folder.as_deref(), &words, "expires", || self.ask(left))?;
        let headers = headers(&lent.told).ok_or_else(|| {
            lent.forget();
            self.failed("it prints no headers")
        })?;
        let last = Rc::new((lent, headers));
        self.last.replace(Some(Rc::clone(&last)));
        Ok(last)
    }

    fn ask(&self, left: Duration) -> Result<Value, Failure> {
        let question = json!({ "uri": self.url }).to_string();
        let answer =
            asked(&format!("{} get", self.program), self.programs, question.as_bytes(), HELPERS_TIME.min(left))?
                .map_err(|why| self.failed(&crate::error::cause(&why)))?;
        serde_json::from_slice(&answer).map_err(|_| self.failed("what it prints is no JSON"))
    }

    /// What came of saying what it told: where that was refused, it is asked again.
    pub fn heard<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        answer.inspect_err(|failure| {
            if let Failure::Denied(_) = failure {
                self.last.take().iter().for_each(|last| last.0.forget());
            }
        })
    }
}

fn headers(told: &Value) -> Option<Headers> {
    let pairs = told["headers"].as_object()?.iter().flat_map(|(name, values)| {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(Value::as_str).map(move |value| (name.clone(), value.to_owned()))
    });
    Some(pairs.collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    /// What is told, and how often somebody was asked.
    fn asked(folder: &Path, words: &[&str], lasts: i64) -> (Lent, usize) {
        let count = std::cell::Cell::new(0);
        let lent = Lent::from(Some(folder), words, "ends", || {
            count.set(count.get() + 1);
            let end = Timestamp::from_nanosecond(i128::from(clock::now() + lasts)).unwrap();
            Ok(json!({ "ends": end.to_string(), "secret": "canary" }))
        });
        (lent.unwrap(), count.get())
    }

    #[test]
    fn what_holds_for_a_while_is_asked_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("below/fleche");
        let (first, count) = asked(&own, &["words"], HOUR);
        assert_eq!((count, first.holds()), (1, true));
        let (again, count) = asked(&own, &["words"], HOUR);
        assert_eq!((count, &again.told["secret"], again.due), (0, &"canary".into(), first.due));
        assert!(first.due.unwrap() - clock::now() <= HOUR - MARGIN);
        // Other words are another question, wherever they are divided.
        assert_eq!(asked(&own, &["wor", "ds"], HOUR).1, 1);
        again.forget();
        assert_eq!(asked(&own, &["words"], HOUR).1, 1);
        for entry in std::fs::read_dir(&own).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_ends_soon_or_never_says_so_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("fleche");
        let (lent, _) = asked(&own, &["words"], 0);
        assert!(!lent.holds());
        assert!(!own.exists());
        let endless = Lent::from(Some(&own), &["words"], "expires", || Ok(json!({ "expires": "soon" }))).unwrap();
        assert!(endless.holds() && !own.exists());
        // Half of a short life is used.
        let (short, _) = asked(&own, &["words"], MARGIN);
        let left = short.due.unwrap() - clock::now();
        assert!(short.holds() && left > 0 && left <= MARGIN / 2, "{left}");
    }

    #[test]
    fn what_is_over_for_a_day_goes_once_something_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("fleche");
        asked(&own, &["first"], HOUR);
        let named = |digit: &str| digit.repeat(64);
        let [over, next, new] = ["0", "1", "2"].map(named);
        let is_over = "{\"due\": 1, \"told\": 1}";
        for (name, text, days, stays) in [
            (over.as_str(), is_over, 2, false),
            (".new-left", "", 2, false),
            (&new, is_over, 0, true),
            (&next, "{\"due\": 9000000000000000000, \"told\": 1}", 2, true),
            (".new-x", "", 0, true),
            ("of-others", "", 2, true),
            (&format!("{over}.txt"), is_over, 2, true),
        ] {
            let path = own.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            let then = u64::try_from(clock::now() - days * clock::DAY).unwrap();
            let then = std::time::UNIX_EPOCH + Duration::from_nanos(then);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
            asked(&own, &[name], HOUR);
            assert_eq!(path.exists(), stays, "{name}");
        }
    }

    #[test]
    fn what_others_could_have_written_or_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("fleche");
        asked(&own, &["words"], HOUR);
        let file = std::fs::read_dir(&own).unwrap().next().unwrap().unwrap().path();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        mode(&file, 0o640);
        assert_eq!(asked(&own, &["words"], HOUR).1, 1);
        assert_eq!(asked(&own, &["words"], HOUR).1, 0);
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(asked(&own, &["words"], HOUR).1, 1);
        // By way of a link: it may lead anywhere.
        let away = folder.path().join("away");
        std::fs::rename(&file, &away).unwrap();
        std::os::unix::fs::symlink(&away, &file).unwrap();
        assert_eq!(asked(&own, &["words"], HOUR).1, 1);
        assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
        std::fs::remove_file(&file).unwrap();
        mode(&own, 0o755);
        assert_eq!(asked(&own, &["words"], HOUR).1, 1);
        assert!(!file.exists());
        // Where nothing can be kept, as little is lost.
        assert_eq!(asked(Path::new("/dev/null/fleche"), &["words"], HOUR).1, 1);
        assert_eq!(Lent::from(None, &["words"], "ends", || Ok(json!({}))).unwrap().told, json!({}));
    }
}
