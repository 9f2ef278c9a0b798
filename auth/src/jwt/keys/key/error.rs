use std::error::Error;
use std::fmt;

use crate::jwt::token::algorithm::Algorithm;

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The key is malformed.
    Malformed(&'static str),
    /// The key's type, curve or algorithm is not supported.
    Unsupported(&'static str),
    /// The key is not for that algorithm.
    Mismatch {
        /// The required algorithm, or the key's own `alg`.
        algorithm: Algorithm,
    },
    /// The key's algorithm is not allowed for the issuer.
    NotAllowed {
        /// The key's algorithm.
        algorithm: Algorithm,
    },
    /// The key's `use` or `key_ops` is for something else.
    OtherUse,
    /// The secret is shorter than its hash.
    Short {
        /// Its length.
        bytes: usize,
        /// The minimum length.
        least: usize,
    },
    /// The key is weak.
    Weak(&'static str),
    /// A secret or private key in a public key set.
    Secret,
    /// A different key of the set has the same `kid`.
    DuplicateId,
    /// Two given keys are for that algorithm, and neither has a `kid`.
    NoId {
        /// The algorithm of both.
        algorithm: Algorithm,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) | Self::Unsupported(what) | Self::Weak(what) => f.write_str(what),
            Self::Mismatch { algorithm } => write!(f, "not a key for {algorithm}"),
            Self::NotAllowed { algorithm } => {
                write!(f, "{algorithm} is not allowed for the issuer")
            }
            Self::OtherUse => f.write_str("its `use` or `key_ops` is not for verifying signatures"),
            Self::Short { bytes, least } => {
                write!(f, "a secret of {bytes} bytes, where at least {least} are needed")
            }
            Self::Secret => f.write_str("a secret or private key in a public key set"),
            Self::DuplicateId => f.write_str("another key has the same `kid`"),
            Self::NoId { algorithm } => {
                write!(
                    f,
                    "two keys for {algorithm} have no `kid`: set one on each (`Key::with_id`)"
                )
            }
        }
    }
}

impl Error for KeyError {}
