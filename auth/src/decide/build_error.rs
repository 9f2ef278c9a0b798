//! Errors of [`AuthBuilder::build`](crate::AuthBuilder::build).

use std::error::Error;
use std::fmt;

use tonic_call::RuleError;

/// Why a layer can't be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A rule can never match a call: its name is invalid, a second rule is for the same method or service, or
    /// [`methods`](crate::AuthBuilder::methods) has no such method or service.
    NeverMatches(RuleError),
    /// Methods without a rule, although [`AuthBuilder::every_method_ruled`](crate::AuthBuilder::every_method_ruled)
    /// is set.
    NotRuled(Vec<String>),
    /// [`AuthBuilder::every_method_ruled`](crate::AuthBuilder::every_method_ruled) needs
    /// [`AuthBuilder::methods`](crate::AuthBuilder::methods).
    NoMethods,
    /// A rule that no caller can satisfy.
    Rule {
        /// What the rule is for: `pkg.Svc/Method`, `pkg.Svc`, or `every other method`.
        of: String,
        /// What the rule requires.
        requires: String,
    },
    /// A realm or domain that a header can't contain: it is empty, or has `"`, `\` or characters that are not
    /// printable ASCII.
    Text(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverMatches(error) => error.fmt(f),
            Self::NotRuled(methods) => {
                write!(f, "no access rule for {}", methods.join(", "))
            }
            Self::NoMethods => f.write_str(
                "`every_method_ruled` requires `methods`: only a descriptor set lists all methods",
            ),
            Self::Rule { of, requires } => write!(f, "the rule for {of} requires {requires}"),
            Self::Text(text) => {
                write!(
                    f,
                    "{text:?} is not a valid realm or domain: a header can't contain it in quotes"
                )
            }
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NeverMatches(error) => Some(error),
            _ => None,
        }
    }
}
