use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tonic_call::NetworkError;

use crate::jwt::keys::key::KeyError;

/// Why a [`Jwt`](crate::Jwt) can't be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum JwtError {
    /// There is no issuer.
    NoIssuer,
    /// The issuer was added twice.
    IssuerTwice(String),
    /// The issuer has no audience: its tokens for other services would be accepted.
    NoAudience(String),
    /// [`cognito`](crate::jwt::Issuer::cognito) without an app client, or with an empty name: tokens of all app
    /// clients of the user pool would be accepted.
    NoClients(String),
    /// [`tenants`](crate::jwt::Issuer::tenants) without a tenant: no token could pass.
    NoTenants(String),
    /// The issuer has no key, or no allowed algorithm.
    NoKeys(String),
    /// A key of the issuer is invalid.
    Key {
        /// The issuer.
        issuer: String,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The leeway is too large.
    Leeway {
        /// The issuer.
        issuer: String,
        /// The leeway.
        leeway: Duration,
    },
    /// A setting of the issuer is invalid.
    Setting {
        /// The issuer.
        issuer: String,
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The issuer is reached over `https`, and there is no TLS provider: neither of the features `tls-ring` and
    /// `tls-aws-lc` is on, and the process has no default provider of rustls.
    NoTls {
        /// The issuer.
        issuer: String,
    },
    /// jsonwebtoken panics when it verifies a signature: it has no back end, or two of them. Contains its message.
    NoCryptoProvider(String),
    /// [`failures_per_minute`](crate::jwt::JwtBuilder::failures_per_minute) of 0: use
    /// [`any_failures`](crate::jwt::JwtBuilder::any_failures) to disable the limit.
    NoFailures,
    /// A proxy's network is neither a network (`10.0.0.0/8`) nor an address.
    Network(NetworkError),
    /// `JwtBuilder::behind_mesh` trusts no proxy, or has an invalid name.
    #[cfg(feature = "mtls")]
    Mesh(crate::mtls::MtlsError),
    /// [`behind`](crate::jwt::JwtBuilder::behind) and [`client_address`](crate::jwt::JwtBuilder::client_address)
    /// are both set.
    TwoAddresses,
    /// A file can't be read, or has invalid content.
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
            Self::NoKeys(issuer) => write!(f, "the issuer {issuer:?} has no key or no algorithm"),
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
            Self::NoCryptoProvider(message) => write!(
                f,
                "jsonwebtoken panics: {message}; turn on exactly one of its features `aws_lc_rs` and \
                 `rust_crypto`, or install a `CryptoProvider` first"
            ),
            Self::NoFailures => f.write_str(
                "`failures_per_minute` is 0: set at least 1, or disable the limit with `any_failures`",
            ),
            Self::Network(error) => error.fmt(f),
            #[cfg(feature = "mtls")]
            Self::Mesh(error) => error.fmt(f),
            Self::TwoAddresses => f.write_str(
                "`behind` and `client_address` are both set: both define the client's address, use one",
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
            #[cfg(feature = "mtls")]
            Self::Mesh(error) => Some(error),
            _ => None,
        }
    }
}
