use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tonic_call::NetworkError;

use crate::jwt::keys::key::KeyError;

/// Why a verifier can't be built as it was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum JwtError {
    /// There is no issuer to believe.
    NoIssuer,
    /// The issuer is there twice: which keys and rules are its own?
    IssuerTwice(String),
    /// The issuer has no audience: it would be believed what it says to others.
    NoAudience(String),
    /// [`cognito`](crate::jwt::Issuer::cognito) without an app client, or with one that has no name: any app of
    /// the user pool would be let in.
    NoClients(String),
    /// [`tenants`](crate::jwt::Issuer::tenants) without a tenant: no token would ever pass.
    NoTenants(String),
    /// The issuer has no key, or may use no algorithm.
    NoKeys(String),
    /// A key of the issuer's.
    Key {
        /// The issuer.
        issuer: String,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The issuer's clock may not be that far off.
    Leeway {
        /// The issuer.
        issuer: String,
        /// The leeway that was asked for.
        leeway: Duration,
    },
    /// What was said of the issuer.
    Setting {
        /// The issuer.
        issuer: String,
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The issuer is reached over `https`, and there is no cryptography for TLS: neither of the features
    /// `tls-ring` and `tls-aws-lc` is on, and the process has no default provider of rustls.
    NoTls {
        /// The issuer.
        issuer: String,
    },
    /// [`failures_per_minute`](crate::jwt::JwtBuilder::failures_per_minute) of 0: is it none or any that is
    /// meant?
    NoFailures,
    /// A proxy's network that is neither a network (`10.0.0.0/8`) nor an address.
    Network(NetworkError),
    /// [`behind`](crate::jwt::JwtBuilder::behind) and [`client_address`](crate::jwt::JwtBuilder::client_address)
    /// both say which address is the caller's.
    TwoAddresses,
    /// A file that can't be read, or has not in it what it should.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIssuer => f.write_str("no issuer is given"),
            Self::IssuerTwice(issuer) => write!(f, "the issuer {issuer:?} is given twice"),
            Self::NoAudience(issuer) => write!(f, "the issuer {issuer:?} has no audience"),
            Self::NoClients(issuer) => {
                write!(f, "the issuer {issuer:?} has no app client, or one without a name")
            }
            Self::NoTenants(issuer) => write!(f, "the issuer {issuer:?} has no tenant"),
            Self::NoKeys(issuer) => write!(f, "the issuer {issuer:?} has no key and no algorithm"),
            Self::Key { issuer, error } => write!(f, "a key of the issuer {issuer:?}: {error}"),
            Self::Leeway { issuer, leeway } => {
                write!(f, "a leeway of {leeway:?} for the issuer {issuer:?}: at most 10 min")
            }
            Self::Setting { issuer, setting, problem } => {
                write!(f, "`{setting}` of the issuer {issuer:?}: {problem}")
            }
            Self::NoTls { issuer } => write!(
                f,
                "the issuer {issuer:?} is reached over https, and there is no TLS provider: turn on \
                 the feature `tls-ring` or `tls-aws-lc` of tonic-auth-layer, or install a default \
                 `CryptoProvider` of rustls first"
            ),
            Self::NoFailures => f.write_str(
                "`failures_per_minute` of 0: say how many bad tokens an address may have, or with \
                 `any_failures` that they are not counted",
            ),
            Self::Network(error) => error.fmt(f),
            Self::TwoAddresses => f.write_str(
                "`behind` and `client_address` both say which address is the caller's: leave one out",
            ),
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
        }
    }
}

impl Error for JwtError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Key { error, .. } => Some(error),
            Self::Network(error) => Some(error),
            _ => None,
        }
    }
}
