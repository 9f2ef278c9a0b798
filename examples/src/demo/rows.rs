//! The table while it grows: runs each call, compares how it ended, and shows the row.

use std::time::Duration;

use tokio::time::timeout;

use super::row::{Ending, Row};
use super::screen::Screen;
use crate::cli::ExpectedCode;

/// Much longer than any row takes: a row that never ends differs, and the demo goes on.
const LIMIT: Duration = Duration::from_secs(30);

/// The rows until now.
pub(super) struct Rows<'a> {
    screen: &'a mut Screen,
    rows: Vec<Row>,
    /// The codes to expect instead, of `--expect`.
    instead: Vec<ExpectedCode>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(screen: &'a mut Screen, instead: Vec<ExpectedCode>) -> Self {
        screen.table_head();
        Self { screen, rows: Vec::new(), instead }
    }

    /// Begins a group of rows.
    pub(super) fn group(&mut self, title: &str) {
        self.screen.group(title);
    }

    /// Makes a call that should end as `expected`.
    pub(super) async fn row(
        &mut self,
        name: &'static str,
        mut expected: Ending,
        call: impl Future<Output = Result<Ending, String>>,
    ) {
        self.screen.progress(&format!("{} done, now: {name}", self.rows.len()));
        if let Some(at) = self.instead.iter().position(|instead| instead.row == name) {
            expected.code = self.instead.remove(at).code;
        }
        let seen = match timeout(LIMIT, call).await {
            Ok(seen) => seen.unwrap_or_else(Ending::unknown),
            Err(_) => Ending::unknown(format!("no ending within {LIMIT:?}")),
        };
        let row = Row { name, expected, seen };
        self.screen.row(&row);
        self.rows.push(row);
    }

    /// The number of rows, and the names of those that differ. An `--expect` without a row is one that differs.
    pub(super) fn finish(self) -> (usize, Vec<String>) {
        let differ = self.rows.iter().filter(|row| row.differs()).map(|row| row.name.to_owned());
        let missing = self.instead.into_iter().map(|instead| instead.row);
        (self.rows.len(), differ.chain(missing).collect())
    }
}
