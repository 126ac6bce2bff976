//! Whether standard output is shown in colour.

use std::sync::OnceLock;

static CHOSEN: OnceLock<bool> = OnceLock::new();

/// Decides for the whole program; before that there are no colours.
pub fn choose_color(choice: bool) {
    // The first choice counts; there is only one.
    let _ = CHOSEN.set(choice);
}

/// How a text stands out. Nothing is ever said by that alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Names what follows.
    Heading,
    /// As it should be.
    Good,
    /// Of less weight.
    Faint,
}

/// `text` in this style, where standard output is shown in colour.
pub fn painted(style: Style, text: &str) -> String {
    let codes = match style {
        Style::Heading => anstyle::Style::new().bold(),
        Style::Good => anstyle::AnsiColor::Green.on_default(),
        Style::Faint => anstyle::Style::new().dimmed(),
    };
    match CHOSEN.get() {
        Some(true) => format!("{codes}{text}{codes:#}"),
        _ => text.to_owned(),
    }
}
