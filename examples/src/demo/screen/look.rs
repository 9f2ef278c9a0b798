//! How text looks: on a terminal, and in a file or a pipe.

use std::env;
use std::io::{IsTerminal, stdout};

/// The width if there is no terminal.
const WIDTH: usize = 80;

/// Lines are not wider than that, on however wide a terminal.
const MAX_WIDTH: usize = 120;

/// Where the text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo) enum Look {
    /// To a terminal with colors.
    Colored,
    /// To a terminal, with `NO_COLOR`.
    Uncolored,
    /// To a file or a pipe: no colors, no progress, and only ASCII characters as marks.
    Plain,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo) enum Tone {
    Text,
    Title,
    Dim,
    Good,
    Bad,
}

impl Look {
    pub(super) fn of_stdout() -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        if !stdout().is_terminal() || env::var_os("TERM").is_some_and(|term| term == "dumb") {
            Self::Plain
        } else if is_set("NO_COLOR") {
            Self::Uncolored
        } else {
            Self::Colored
        }
    }

    pub(in crate::demo) fn paint(self, tone: Tone, text: &str) -> String {
        let color = match tone {
            Tone::Text => return text.to_owned(),
            _ if self != Self::Colored || text.is_empty() => return text.to_owned(),
            Tone::Title => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Bad => "1;31",
        };
        format!("\u{1b}[{color}m{text}\u{1b}[0m")
    }

    /// The mark of a row.
    pub(super) fn mark(self, differs: bool) -> (&'static str, Tone) {
        match (self, differs) {
            (Self::Plain, false) => ("ok", Tone::Good),
            (Self::Plain, true) => ("!!", Tone::Bad),
            (_, false) => ("✓", Tone::Good),
            (_, true) => ("✗", Tone::Bad),
        }
    }

    /// Erases the progress.
    pub(super) fn erase_line(self) -> &'static str {
        if self == Self::Plain { "" } else { "\r\u{1b}[K" }
    }

    /// The branches of a tree: of an item, of the last item, and beside the items below either of them.
    pub(in crate::demo) fn branches(self) -> [&'static str; 4] {
        match self {
            Self::Plain => ["|- ", "`- ", "|  ", "   "],
            _ => ["├─ ", "└─ ", "│  ", "   "],
        }
    }

    /// A part of a bar.
    pub(in crate::demo) fn bar(self) -> &'static str {
        if self == Self::Plain { "=" } else { "━" }
    }
}

/// The width of the terminal; for a file or a pipe that of `COLUMNS`.
pub(super) fn width() -> usize {
    let variable = || env::var("COLUMNS").ok()?.parse().ok();
    terminal_width().or_else(variable).filter(|width| *width > 0).unwrap_or(WIDTH).min(MAX_WIDTH)
}

#[cfg(unix)]
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stdout()).ok()?;
    Some(size.ws_col.into()).filter(|width| *width > 0)
}

#[cfg(not(unix))]
fn terminal_width() -> Option<usize> {
    None
}
