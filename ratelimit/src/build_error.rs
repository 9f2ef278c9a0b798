//! Errors in limits.

use std::error::Error;
use std::fmt;

use tonic_call::{NetworkError, RuleError};

/// Why a layer cannot be built, or its limits cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A rule can never match a call: its name is not valid, there are two rules for the same method or service, or
    /// [`methods`](crate::RateLimitBuilder::methods) has no such method or service.
    NeverMatches(RuleError),
    /// A limit is impossible, or lets nothing pass.
    #[non_exhaustive]
    Limit {
        /// What its rule matches: `pkg.Svc/Method`, `pkg.Svc`, or `the default`.
        of: String,
        /// The name of the limit.
        name: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// A proxy that is neither a network (`10.0.0.0/8`) nor an address.
    Network(NetworkError),
    /// The domain is empty, or not printable ASCII.
    Domain(String),
    /// [`max_keys`](crate::RateLimitBuilder::max_keys) is 0.
    NoKeys,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverMatches(error) => error.fmt(f),
            Self::Limit { of, name, wrong } => write!(f, "the limit {name:?} of {of} {wrong}"),
            Self::Network(error) => error.fmt(f),
            Self::Domain(text) => write!(f, "the domain {text:?} is empty or not printable ASCII"),
            Self::NoKeys => f.write_str("`max_keys` is 0: no key could be stored"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NeverMatches(error) => Some(error),
            Self::Network(error) => Some(error),
            _ => None,
        }
    }
}
