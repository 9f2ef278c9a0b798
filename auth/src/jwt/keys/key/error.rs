use std::error::Error;
use std::fmt;

use crate::jwt::token::algorithm::Algorithm;

/// Why a key isn't taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It can't be read.
    Malformed(&'static str),
    /// Its type is not one that tokens are verified with.
    Unsupported(&'static str),
    /// It is not a key for that algorithm.
    Mismatch {
        /// The algorithm that was asked for, by the caller or by the key's own `alg`.
        algorithm: Algorithm,
    },
    /// The issuer may not use its algorithm.
    NotAllowed {
        /// The algorithm it is for.
        algorithm: Algorithm,
    },
    /// Its `use` or its `key_ops` say that it is for something else.
    OtherUse,
    /// A secret that is shorter than the hash it is used with.
    Short {
        /// How long it is.
        bytes: usize,
        /// How long it would have to be.
        least: usize,
    },
    /// A key that is too weak to be believed.
    Weak(&'static str),
    /// A secret or a private key, in a set that others can read.
    Secret,
    /// Another key of the set has the same `kid`, so that none of them can be told by it.
    DuplicateId,
    /// Another key that was given is for that algorithm, too, and neither has a `kid`: no token could say
    /// which of them it is signed with.
    NoId {
        /// The algorithm that both are for.
        algorithm: Algorithm,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) | Self::Unsupported(what) | Self::Weak(what) => f.write_str(what),
            Self::Mismatch { algorithm } => write!(f, "not a key for {algorithm}"),
            Self::NotAllowed { algorithm } => write!(f, "the issuer is not allowed {algorithm}"),
            Self::OtherUse => f.write_str("its `use` or `key_ops` are not those of a signature"),
            Self::Short { bytes, least } => {
                write!(f, "a secret of {bytes} bytes, where at least {least} are needed")
            }
            Self::Secret => f.write_str("a secret or private key, where others can read it"),
            Self::DuplicateId => f.write_str("its `kid` is that of another key too"),
            Self::NoId { algorithm } => {
                write!(
                    f,
                    "it has no `kid`, and nor has another one for {algorithm}: name them (`Key::with_id`), as \
                     tokens then must"
                )
            }
        }
    }
}

impl Error for KeyError {}
