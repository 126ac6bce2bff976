//! How far a command is kept apart from everything that was not declared.

use super::Malformed;

/// Where a command works, and what it can reach from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// In the caller's working directory, like any other.
    #[default]
    None,
    /// `--isolate`: in a private folder that holds copies of what was declared; absolute paths lead where they always lead.
    Folder,
    /// `--isolate=strict`: nothing else can be read or written, and there is no network.
    Strict,
}

impl Isolation {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::None => "none",
            Isolation::Folder => "folder",
            Isolation::Strict => "strict",
        }
    }

    /// The one that this is the word for.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn from_name(name: &[u8]) -> Result<Isolation, Malformed> {
        [Isolation::None, Isolation::Folder, Isolation::Strict]
            .into_iter()
            .find(|isolation| isolation.name().as_bytes() == name)
            .ok_or(Malformed("isolation"))
    }
}
