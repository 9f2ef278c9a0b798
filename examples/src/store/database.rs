//! Where a database is.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the orders are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// In this file, which is created if it does not exist.
    File(PathBuf),
    /// In memory: they are lost when the process ends.
    Memory,
}

impl FromStr for Database {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("must be a file, or :memory:"),
            ":memory:" => Ok(Self::Memory),
            path => Ok(Self::File(path.into())),
        }
    }
}

/// `orders.db-wal` for `orders.db`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
