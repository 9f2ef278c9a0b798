use std::error::Error;
use std::fmt;

use metrics_exporter_prometheus::BuildError;

/// Why buckets are invalid.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BucketsError {
    /// The list is empty.
    Empty,
    /// This bound is not a finite number.
    NotFinite(f64),
    /// This bound is not greater than the one before it.
    NotAscending(f64),
}

/// Why a recorder cannot be installed or built.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// No tokio runtime is running, which upkeep needs.
    NoRuntime,
    /// The program has another recorder, which [`Prometheus::install`](super::Prometheus::install) did not
    /// install.
    AlreadyInstalled,
    /// The exporter rejected its settings.
    Exporter(BuildError),
}

impl fmt::Display for BucketsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the list of buckets is empty"),
            Self::NotFinite(bound) => write!(f, "the bucket {bound} is not finite"),
            Self::NotAscending(bound) => {
                write!(f, "the bucket {bound} is not greater than the one before it")
            }
        }
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRuntime => "no tokio runtime is running, which the exporter's upkeep needs",
            Self::AlreadyInstalled => "another metrics recorder is already installed",
            Self::Exporter(_) => "the Prometheus exporter rejected its settings",
        })
    }
}

impl Error for BucketsError {}

impl Error for InstallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exporter(error) => Some(error),
            Self::NoRuntime | Self::AlreadyInstalled => None,
        }
    }
}
