use std::error::Error;
use std::fmt;

/// What is wrong with a [`ServiceConfig`](crate::ServiceConfig), and with which of its fields:
/// `methodConfig[2].retryPolicy.maxAttempts: must be an integer of at least 2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }

    /// The field: `methodConfig[2].retryPolicy.maxAttempts`. Empty if the text is not a JSON object.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the service config {}", self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

impl Error for ConfigError {}
