//! What all files say together: which rule holds for a command, where a cache is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::{Cache, CacheAccess, CacheLimits, KeySource, Matching, Member, Reason, Remote, Sharing};

use super::elsewhere::{bucket, certificates, password, proxies};
use super::environment;
use super::file::{File, Setting};
use super::kind::{BUCKET, parse_room};
use super::place::{Fault, listed, nearest};

/// The cache that is always there.
pub const LOCAL: &str = "local";
/// The part of a shared store that is used where nobody says which.
const NAMESPACE: &str = "main";

/// Whether a key stands there itself, and not the file that holds it.
pub fn is_literal_key(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The files that are gone by, the nearest first and the user's own last.
#[derive(Debug, Default)]
pub struct Settings {
    /// The files.
    pub files: Vec<File>,
    /// Why others are not gone by, each in a sentence.
    pub ignored: Vec<String>,
}

/// What caches are asked for, and who may say where they are.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Names, and folders where those are allowed.
    pub words: Vec<PathBuf>,
    /// Who asks.
    pub by: Asker,
}

/// Who asks for caches.
#[derive(Clone, Debug)]
pub enum Asker {
    /// Nobody: so it is without.
    Nobody,
    /// A flag or variable.
    Caller(&'static str),
    /// A file.
    File(Setting),
}

impl Asker {
    fn fault(&self, message: String, hint: String) -> Error {
        match self {
            Asker::Nobody => Error::usage(message).hint(hint),
            Asker::Caller(name) => Error::usage(format!("{name}: {message}")).hint(hint),
            Asker::File(setting) => Error::usage(setting.place.clone().fault(message, None).to_string()).hint(hint),
        }
    }
}

impl Settings {
    /// Faults that no file shows by itself: caches that are asked for and nowhere described.
    pub fn faults(&self) -> Vec<Fault> {
        let names = self.names();
        let tables = self.files.iter().flat_map(|file| {
            let rules = file.rules.iter().map(|rule| &rule.table);
            std::iter::once(&file.top).chain(rules).flatten()
        });
        let mut faults = Vec::new();
        for setting in tables.filter(|setting| setting.name == "cache") {
            for word in words(&setting.value).filter(|word| !word.contains('/') && !names.contains(word.as_str())) {
                let message = format!("cache `{word}` is not configured");
                faults.push(setting.place.clone().fault(message, Some(self.known_caches(&word))));
            }
        }
        faults
    }

    /// The names of all caches that are described.
    pub fn names(&self) -> BTreeSet<&str> {
        let described = self.files.iter().flat_map(|file| file.caches.keys().map(String::as_str));
        described.chain([LOCAL]).collect()
    }

    /// What the nearest file that tells says at its top.
    pub fn top(&self, name: &str) -> Option<&Setting> {
        self.files.iter().find_map(|file| file.top.iter().find(|setting| setting.name == name))
    }

    /// What the nearest file that tells says of a cache.
    pub fn of_cache(&self, cache: &str, name: &str) -> Option<&Setting> {
        self.files.iter().find_map(|file| file.caches.get(cache)?.1.iter().find(|setting| setting.name == name))
    }

    /// The caches that are asked for, in their order and each once.
    ///
    /// # Errors
    ///
    /// One that is not described. The inner error is why there is nowhere to keep anything.
    pub fn stack(&self, wanted: &Wanted) -> Result<std::result::Result<Vec<Member>, Reason>> {
        let mut stack: Vec<Member> = Vec::with_capacity(wanted.words.len());
        for word in &wanted.words {
            let found = match self.member(word, &wanted.by)? {
                Ok(member) => member,
                Err(reason) => return Ok(Err(reason)),
            };
            if let (true, Member::Remote(remote)) = (stack.is_empty(), &found) {
                let message = format!("cache `{}` cannot be the first one, which is written", remote.name);
                return Err(wanted.by.fault(message, format!("\"local\", \"{}\"", remote.name)));
            }
            let is_there = stack.iter().any(|member| match (member, &found) {
                (Member::Folder(one), Member::Folder(other)) => one.folder == other.folder,
                (one, other) => one == other,
            });
            if !is_there {
                stack.push(found);
            }
        }
        Ok(Ok(stack))
    }

    /// The store beyond this machine that alone is asked for, if that is so.
    ///
    /// # Errors
    ///
    /// One that is not described.
    pub fn lone_remote(&self, wanted: &Wanted) -> Result<Option<Remote>> {
        match wanted.words.as_slice() {
            [word] => Ok(self.member(word, &wanted.by)?.ok().and_then(Member::into_remote)),
            _ => Ok(None),
        }
    }

    /// The store beyond this machine that is called so.
    ///
    /// # Errors
    ///
    /// Where there is none of this name.
    pub fn remote(&self, name: &str, by: &Asker) -> Result<Remote> {
        if self.of_cache(name, "url").is_none() {
            let remotes: Vec<&str> =
                self.names().into_iter().filter(|name| self.of_cache(name, "url").is_some()).collect();
            let hint = match remotes.is_empty() {
                true => "[caches.team] with `url = ...` in ~/.config/fleche/config.toml".to_owned(),
                false => format!("known are {}", listed(remotes)),
            };
            return Err(by.fault(format!("no cache beyond this machine is called `{name}`"), hint));
        }
        Ok(self.described_remote(name))
    }

    fn described_remote(&self, name: &str) -> Remote {
        let setting = |key| self.of_cache(name, key);
        let text = |key| setting(key).and_then(|setting| setting.value.as_str()).map(str::to_owned);
        let list = |key| setting(key).map_or(Vec::new(), |setting| words(&setting.value).collect::<Vec<_>>());
        // Files of keys stand beside the file that names them.
        let beside = |key: &'static str, word: &str| {
            if is_literal_key(word) {
                return KeySource::Literal(word.to_owned());
            }
            let folder = setting(key).and_then(|setting| setting.place.file.parent()).unwrap_or(Path::new(""));
            let path = environment::below_home(word).and_then(|below| std::path::absolute(folder.join(below)).ok());
            path.map_or_else(|| KeySource::Nowhere(word.to_owned()), KeySource::File)
        };
        let signing = match environment::signing_key() {
            Some(literal) => Some(KeySource::Literal(literal)),
            None => text("signing-key").map(|word| beside("signing-key", &word)),
        };
        let url = text("url").unwrap_or_default();
        let is_bucket = url.starts_with(BUCKET);
        let bucket = || Box::new(bucket(text("endpoint"), text("region"), text("profile")));
        Remote {
            name: name.to_owned(),
            certificates: certificates(&url),
            password: password(&url),
            proxies: proxies(),
            url,
            helper: text("credential-helper"),
            private: environment::private_folder(),
            bucket: is_bucket.then(bucket),
            access: match text("access").as_deref() {
                Some("read-write") => CacheAccess::ReadWrite,
                _ => CacheAccess::ReadOnly,
            },
            namespace: text("namespace").unwrap_or_else(|| NAMESPACE.to_owned()),
            trusted: list("trusted-keys").iter().map(|word| beside("trusted-keys", word)).collect(),
            signing,
            upload: list("upload")
                .iter()
                .map(|line| Matching::of(line.split_whitespace().map(str::to_owned)))
                .collect(),
        }
    }

    /// What is called so, or lies in this folder. The inner error is why there is nowhere to keep anything.
    ///
    /// # Errors
    ///
    /// One that is not described.
    pub fn member(&self, word: &Path, by: &Asker) -> Result<std::result::Result<Member, Reason>> {
        if let Some(name) = word.to_str().filter(|name| !self.files.is_empty() && self.of_cache(name, "url").is_some())
        {
            return Ok(Ok(Member::Remote(Box::new(self.described_remote(name)))));
        }
        Ok(self.cache(word, by)?.map(Member::Folder))
    }

    fn cache(&self, word: &Path, by: &Asker) -> Result<std::result::Result<Cache, Reason>> {
        let name = match word.to_str() {
            Some(name) if !name.contains('/') => name,
            _ => return folder_cache(word, by).map(Ok),
        };
        // So it is for most people, at every hit.
        if self.files.is_empty() && name == LOCAL {
            return Ok(environment::cache_folder().map(local));
        }
        if name.is_empty() || !self.names().contains(name) {
            return Err(by.fault(format!("cache `{name}` is not configured"), self.known_caches(name)));
        }
        let text = |key| self.of_cache(name, key).and_then(|setting| setting.value.as_str());
        let folder = match text("path") {
            Some(path) => match environment::below_home(path) {
                Some(folder) => folder,
                None => return Ok(Err(Reason::StoreUnusable("there is no home folder".to_owned()))),
            },
            None if name == LOCAL => match environment::cache_folder() {
                Ok(folder) => folder,
                Err(reason) => return Ok(Err(reason)),
            },
            None => {
                let hint = format!("[caches.{name}] with `path = ...` or `url = ...` in ~/.config/fleche/config.toml");
                return Err(by.fault(format!("nobody says where the cache `{name}` is"), hint));
            }
        };
        Ok(Ok(Cache {
            name: name.to_owned(),
            folder,
            access: if text("access") == Some("read-only") { CacheAccess::ReadOnly } else { CacheAccess::ReadWrite },
            sharing: if text("shared") == Some("group") { Sharing::Group } else { Sharing::Private },
            limits: CacheLimits {
                max_size: text("max-size").and_then(parse_room),
                max_age: text("max-age").and_then(|time| humantime::parse_duration(time).ok()),
                max_entries: self.of_cache(name, "max-entries").and_then(|setting| setting.value.as_u64()),
            },
        }))
    }

    fn known_caches(&self, name: &str) -> String {
        let names = self.names();
        match nearest(name, names.iter().copied()).filter(|_| names.len() > 5) {
            Some(near) => format!("`{near}` is near"),
            None => format!("known caches are {}", listed(names)),
        }
    }
}

/// The cache that is always there, of which no file says anything.
fn local(folder: PathBuf) -> Cache {
    let (access, sharing, limits) = Default::default();
    Cache { name: LOCAL.to_owned(), folder, access, sharing, limits }
}

/// A cache that is named by its folder. In files such a path is absolute.
fn folder_cache(word: &Path, by: &Asker) -> Result<Cache> {
    let below_home = || environment::below_home(word.to_str().filter(|text| text.starts_with("~/"))?);
    let absolute = |why: std::io::Error| by.fault(format!("where `{}` is: {why}", word.display()), LOCAL.to_owned());
    let folder = match below_home() {
        Some(folder) => folder,
        None => std::path::absolute(word).map_err(absolute)?,
    };
    Ok(Cache {
        name: folder.display().to_string(),
        folder,
        access: CacheAccess::default(),
        sharing: Sharing::default(),
        limits: CacheLimits::default(),
    })
}

/// The texts of a list.
pub fn words(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}
