//! Which tokens are accepted.

use std::path::PathBuf;

use clap::ValueEnum;

/// Whether callers must send a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// They must
    On,
    /// They need none
    Off,
}

/// Which tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthConfig {
    /// No token is required.
    Off,
    /// Tokens of this issuer.
    Issuer {
        /// Their `iss`.
        issuer: String,
        /// The audience that they must have.
        audience: String,
        /// Where the issuer's keys are; by default found by OpenID Connect discovery.
        keys: Option<KeySet>,
    },
    /// Tokens signed with the development key in this file, which is created if it does not exist.
    DevKey(PathBuf),
}

/// Where a JSON Web Key Set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySet {
    /// At this URL.
    Url(String),
    /// In this file, which is read again when it changes.
    File(PathBuf),
}
