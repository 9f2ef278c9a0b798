//! What can be wrong with limits.

use std::error::Error;
use std::fmt;

use tonic_call::{NetworkError, RuleError};

/// What is wrong with how a layer was built, or with what its limits were to be replaced with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A rule can never match a call: its name can't be one, there are two for the same method or service,
    /// or [`methods`](crate::RateLimitBuilder::methods) has no such method or service.
    NeverMatches(RuleError),
    /// A limit that can't be enforced, or lets nothing pass.
    #[non_exhaustive]
    Limit {
        /// What its rule is for: `pkg.Svc/Method`, `pkg.Svc`, or `every other method`.
        of: String,
        /// Its name.
        name: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// A proxy's network that is neither a network (`10.0.0.0/8`) nor an address.
    Network(NetworkError),
    /// A domain that is nothing, or not printable ASCII.
    Domain(String),
    /// No key could be remembered: [`keys_at_most`](crate::RateLimitBuilder::keys_at_most) is 0.
    NoKeys,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverMatches(error) => error.fmt(f),
            Self::Limit { of, name, wrong } => write!(f, "the limit {name:?} of {of} {wrong}"),
            Self::Network(error) => error.fmt(f),
            Self::Domain(text) => write!(f, "the domain {text:?} is not printable ASCII"),
            Self::NoKeys => f.write_str("`keys_at_most` is 0: no key could be remembered"),
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
