//! The keys of a file of configuration: what each is called, what its value is and what it is for.

use super::kind::Kind;

/// A key.
#[derive(Debug)]
pub struct Key {
    /// How it is written.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What it is for, in one line.
    pub about: &'static str,
    /// A value as it is written.
    pub example: &'static str,
    /// What holds where nothing is said, as it would be written, if that is a value.
    pub usual: Option<&'static str>,
}

const fn key(name: &'static str, kind: Kind, example: &'static str, about: &'static str) -> Key {
    Key { name, kind, about, example, usual: None }
}

const fn usually(name: &'static str, kind: Kind, usual: &'static str, about: &'static str) -> Key {
    Key { name, kind, about, example: usual, usual: Some(usual) }
}

/// Those that stand at the top.
pub const TOP: &[Key] = &[
    key("root", Kind::Flag, "true", "Files of folders above this one do not count"),
    usually(
        "cache",
        Kind::Stack,
        "[\"local\"]",
        "The caches that are asked, in order; the first one is written. FLECHE_CACHE and --cache say otherwise",
    ),
];

/// The tables.
pub const TABLES: &[&str] = &["defaults", "caches", "command"];

/// Those of `[caches.NAME]`.
pub const CACHE: &[Key] = &[
    key("path", Kind::Path, "\"~/caches/team\"", "The folder; only in your own file, not in that of a project"),
    usually("access", Kind::Choice(&["read-only", "read-write"]), "\"read-write\"", "Whether it may be written"),
    usually(
        "shared",
        Kind::Choice(&["no", "group"]),
        "\"no\"",
        "Who uses it: you alone, or all of the folder's group; only in your own file",
    ),
    key(
        "max-size",
        Kind::Room,
        "\"20GiB\"",
        "How large it may become: a size, or a part of its file system such as 10%",
    ),
    key("max-age", Kind::Time, "\"30d\"", "Calls that were not used for this long go"),
    key("max-entries", Kind::Number, "100000", "How many calls there may be"),
];

/// Those of a `[caches.NAME]` that many machines share.
pub const REMOTE: &[Key] = &[
    key(
        "url",
        Kind::Url,
        "\"file:///mnt/fleche\"",
        "A store that many machines share, in the place of a folder; only in your own file",
    ),
    usually("namespace", Kind::Name, "\"main\"", "Whose calls are read and written there: a level of trust"),
    key(
        "trusted-keys",
        Kind::Words,
        "[\"ci.pub\"]",
        "Public keys, or files that hold them: who signs with another one is not believed; only in your own file",
    ),
    key(
        "signing-key",
        Kind::Text,
        "\"ci.key\"",
        "The file of the key that own calls are signed with; only in your own file. FLECHE_SIGNING_KEY says otherwise",
    ),
    key(
        "upload",
        Kind::Globs,
        "[\"cc *\"]",
        "Globs of command lines: the calls of no others are put there; only in your own file",
    ),
    key(
        "credential-helper",
        Kind::Text,
        "\"team-login\"",
        "A program that tells a web server or Redis who you are, as those of Bazel do; only in your own file",
    ),
    key(
        "endpoint",
        Kind::Server,
        "\"https://minio.lan:9000\"",
        "The server of a bucket that is not Amazon's; only in your own file",
    ),
    key("region", Kind::Name, "\"eu-central-1\"", "Where a bucket is; only in your own file"),
    key("profile", Kind::Text, "\"ci\"", "Whose rights to a bucket are used, by ~/.aws/config; only in your own file"),
];

/// Those of a rule that say when it holds and where its calls are.
pub const RULE: &[Key] = &[
    key(
        "match",
        Kind::Match,
        "[\"cc\", \"*\"]",
        "The command, a glob a word; a last `*` stands for any number of words",
    ),
    key("cache", Kind::Stack, "\"local\"", "The caches of these commands"),
];

/// Those that stand for a flag of `fleche run`: in rules, and in `[defaults]` for all commands.
pub const FLAGS: &[Key] = &[
    key("inputs", Kind::Globs, "[\"src/**/*.[ch]\"]", "Files, folders and globs that the command reads"),
    key("excludes", Kind::Globs, "[\"*.o\"]", "Globs of what folders and globs leave out"),
    key("gitignore", Kind::Flag, "true", "Folders and globs leave out what git ignores"),
    key(
        "pure",
        Kind::Flag,
        "true",
        "The command reads only its arguments and the files that they name, and writes only its streams",
    ),
    key(
        "outputs",
        Kind::Globs,
        "[\"build/\"]",
        "Files, globs and folders (`DIR/`) that the command writes; outside the project only in your own file",
    ),
    usually(
        "trace",
        Kind::Choice(&["auto", "on", "off", "audit"]),
        "\"auto\"",
        "Whether the command is watched: if nothing is declared, beside what is declared, never, or to be audited",
    ),
    key("allow-network", Kind::Flag, "true", "Watched commands are stored although they use the network"),
    key(
        "allow-write",
        Kind::Words,
        "[\"out\"]",
        "Folders in which watched commands may leave outputs; outside the project only in your own file",
    ),
    key("scratch", Kind::Globs, "[\"*.log\"]", "Globs of files that watched commands keep for themselves"),
    usually(
        "env-mode",
        Kind::Choice(&["all", "listed", "strict"]),
        "\"all\"",
        "Which variables count: all but the volatile ones, those of env, or those and no others are seen",
    ),
    key("env", Kind::Globs, "[\"CC\", \"CFLAGS\"]", "Variables that count, and may be recorded in clear"),
    key("ignore-env", Kind::Globs, "[\"EDITOR\"]", "Variables that do not count"),
    key("require-env", Kind::Words, "[\"CC\"]", "Variables without which nothing is stored"),
    key("ignore-arg", Kind::Globs, "[\"-j*\"]", "Arguments that do not count"),
    key("require-arg", Kind::Globs, "[\"-c\"]", "Arguments without which nothing is stored"),
    key("redact-arg", Kind::Globs, "[\"--token=*\"]", "Arguments that count but are never recorded in clear"),
    usually(
        "program",
        Kind::Choice(&["content", "path", "name"]),
        "\"content\"",
        "What of the program counts: its path and content, its path, or its name",
    ),
    key("probe", Kind::Words, "[\"cc --version\"]", "Shell commands whose output counts; only in your own file"),
    usually("cwd", Kind::Flag, "true", "Whether the working directory counts"),
    key("revision", Kind::Text, "\"2\"", "Counts as it stands: change it to forget all that was recorded before"),
    usually("expand", Kind::Flag, "true", "Whether arguments such as `fleche:PREFIX` mean stored values"),
    key("stdin", Kind::Flag, "false", "Whether standard input is input; without it fleche asks where it cannot know"),
    key("stdin-from", Kind::Text, "\"input.txt\"", "The file, or `fleche:PREFIX`, from which standard input is taken"),
    key("tags", Kind::Tags, "{ kind = \"build\" }", "Tags for the calls"),
    key("project", Kind::Text, "\"alpha\"", "The same as the tag `project`"),
    key("max-entry", Kind::Size, "\"4GiB\"", "A larger stream or output is not stored"),
    key("realtime", Kind::Flag, "true", "Output is replayed at the pace at which it came"),
    usually(
        "mtime",
        Kind::Choice(&["now", "keep", "recorded"]),
        "\"now\"",
        "The modification time of restored files: now, unchanged where they are right already, or as recorded",
    ),
    usually(
        "mode",
        Kind::Choice(&["on", "off", "read-only", "refresh"]),
        "\"on\"",
        "Replay and store, run only, never store, or run and store anew; FLECHE_MODE says otherwise",
    ),
    key("wait", Kind::Time, "\"10m\"", "How long to wait for another run of the same command"),
    key("ttl", Kind::Time, "\"1d\"", "An older call is not replayed"),
    key("stale", Kind::Time, "\"1h\"", "A call older than ttl by up to this is replayed while the command runs again"),
    key("failure-ttl", Kind::Time, "\"10m\"", "An older call with a non-zero exit code is not replayed"),
    key("cache-exit", Kind::Codes, "[1]", "Exit codes beside 0 that are stored"),
    key(
        "isolate",
        Kind::FlagOr("strict"),
        "true",
        "The command runs in a private folder that holds its declared inputs",
    ),
];

/// Two keys of which only one can hold.
pub const EXCLUSIVE: &[[&str; 2]] =
    &[["pure", "inputs"], ["pure", "outputs"], ["stdin", "stdin-from"], ["path", "url"]];

/// Those whose words are paths, seen from the folder of a project's file.
pub const PATHS: &[&str] = &["inputs", "outputs", "allow-write", "stdin-from"];

/// Those whose words are paths only if they hold a slash, else names.
pub const PATHS_OR_NAMES: &[&str] = &["excludes", "scratch"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_spoken_of_is_a_key() {
        let names: Vec<&str> = FLAGS.iter().chain(CACHE).chain(REMOTE).map(|key| key.name).collect();
        assert!(EXCLUSIVE.iter().flatten().all(|name| names.contains(name)));
        assert!(PATHS.iter().chain(PATHS_OR_NAMES).all(|name| names.contains(name)));
    }
}
