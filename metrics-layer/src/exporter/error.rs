use std::error::Error;
use std::fmt;

use metrics_exporter_prometheus::BuildError;

/// Buckets that can't be used.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BucketsError {
    /// There are none.
    Empty,
    /// This one is not a finite number.
    NotFinite(f64),
    /// This one is not greater than the one before it.
    NotAscending(f64),
}

/// A recorder that can't be set up.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// There is no tokio runtime here, for upkeep to run on.
    NoRuntime,
    /// The program has a recorder already, which was not installed by [`Prometheus::install`](super::Prometheus::install).
    AlreadyInstalled,
    /// The exporter refuses its settings.
    Exporter(BuildError),
}

impl fmt::Display for BucketsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no buckets"),
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
            Self::NoRuntime => "there is no tokio runtime here, and upkeep needs one",
            Self::AlreadyInstalled => "a recorder of metrics is installed already",
            Self::Exporter(_) => "the Prometheus exporter refuses its settings",
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
