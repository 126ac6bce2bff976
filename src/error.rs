//! The one error: what the person at the keyboard needs to know.

use std::fmt;

/// What kind of failure it is; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for makes no sense.
    Usage,
    /// It makes sense, but could not be done.
    Failure,
    /// The answer is no: nothing found, not cached.
    No,
    /// The answer is no, and the exit status is all that tells of it, or what was printed.
    Unsaid,
    /// Nobody reads what is printed any more, and so has seen enough.
    Unheard,
}

/// A message, perhaps a hint that can be typed, and the cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What fails, fails with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Something was asked for that makes no sense.
    pub fn usage(message: impl Into<String>) -> Error {
        Error { kind: Kind::Usage, message: message.into(), hint: None, source: None }
    }

    /// Something could not be done.
    pub fn failure(message: impl Into<String>) -> Error {
        Error { kind: Kind::Failure, message: message.into(), hint: None, source: None }
    }

    /// Nothing was found.
    pub fn no(message: impl Into<String>) -> Error {
        Error { kind: Kind::No, message: message.into(), hint: None, source: None }
    }

    /// The answer is no, of which nothing more is to be said.
    pub fn unsaid() -> Error {
        Error { kind: Kind::Unsaid, message: "no".to_owned(), hint: None, source: None }
    }

    /// The reader of standard output left.
    pub fn unheard() -> Error {
        Error { kind: Kind::Unheard, message: "nobody reads standard output".to_owned(), hint: None, source: None }
    }

    /// What to type instead.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Why it failed.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// The same in other words: what is said of it goes through `words`.
    pub fn reworded(self, words: impl Fn(&str) -> String) -> Error {
        let (message, hint) = (words(&self.to_string()), self.hint.as_deref().map(words));
        Error { kind: self.kind, message, hint, source: None }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What can be typed instead, if there is something.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            None => Ok(()),
            Some(source) => write!(f, ": {}", cause(source.as_ref())),
        }
    }
}

impl std::error::Error for Error {}

/// A cause in fleche's voice: lower case, without the number that the system library appends.
pub fn cause(source: &(dyn std::error::Error + 'static)) -> String {
    let text = source.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
