//! Errors of `orders demo`.

use std::fmt;
use std::io;

/// Why the demo ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum DemoError {
    /// What it needs cannot be set up.
    Setup(String),
    /// A signal stopped it.
    Interrupted,
}

impl DemoError {
    /// A server did not start; `log` is what it has logged.
    pub(super) fn server(name: &str, error: &str, log: &str) -> Self {
        Self::Setup(format!("the {name} did not start: {error}\n{log}").trim_end().to_owned())
    }

    pub(super) fn setup(error: impl fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }
}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::setup(error)
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(error) => write!(f, "the demo cannot run: {error}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for DemoError {}
