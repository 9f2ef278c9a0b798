//! What the demo prints: lines, the table, and on a terminal a line that says what is running.

mod layout;
mod look;

use std::io::{Stdout, Write, stdout};

pub(super) use layout::wrap;
pub(super) use look::{Look, Tone};

use super::row::Row;
use layout::Columns;

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    out: Stdout,
    look: Look,
    width: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { out: stdout(), look: Look::of_stdout(), width: look::width() }
    }

    pub(super) fn look(&self) -> Look {
        self.look
    }

    /// Width of the lines, in characters.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Prints a line instead of the progress.
    pub(super) fn line(&mut self, text: &str) {
        let erase = self.look.erase_line();
        // If standard output is closed, the exit status still is the result.
        _ = writeln!(self.out, "{erase}{}", text.trim_end()).and_then(|()| self.out.flush());
    }

    pub(super) fn lines(&mut self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.line(&line));
    }

    /// Prints the title of a section, after an empty line.
    pub(super) fn title(&mut self, text: &str) {
        self.line("");
        self.line(&self.look.paint(Tone::Title, text));
    }

    /// Shows what is running until the next line, on a terminal.
    pub(super) fn progress(&mut self, text: &str) {
        if self.look == Look::Plain {
            return;
        }
        let text: String = text.chars().take(self.width.saturating_sub(4)).collect();
        let text = self.look.paint(Tone::Dim, &format!("… {text}"));
        _ = write!(self.out, "{}{text}", self.look.erase_line()).and_then(|()| self.out.flush());
    }

    /// Prints the head of the table.
    pub(super) fn table_head(&mut self) {
        let cells = ["call", "expected", "seen"].map(|cell| (cell.to_owned(), Tone::Dim));
        self.lines(self.columns().row(self.look, "", Tone::Dim, cells));
    }

    /// Prints the title of a group of rows.
    pub(super) fn group(&mut self, title: &str) {
        self.line(&self.look.paint(Tone::Title, title));
    }

    /// Prints a row of the table.
    pub(super) fn row(&mut self, row: &Row) {
        let (mark, tone) = self.look.mark(row.differs());
        let cells = [
            (row.name.to_owned(), Tone::Text),
            (row.expected.to_string(), Tone::Text),
            (row.seen.to_string(), tone),
        ];
        self.lines(self.columns().row(self.look, mark, tone, cells));
    }

    fn columns(&self) -> Columns {
        Columns::of_width(self.width)
    }
}

/// A progress that is left would be in the way of what the shell prints.
impl Drop for Screen {
    fn drop(&mut self) {
        _ = write!(self.out, "{}", self.look.erase_line()).and_then(|()| self.out.flush());
    }
}
