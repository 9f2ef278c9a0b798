use std::error::Error;
use std::fmt;

use tonic_call::SpiffeIdError;

/// Why an [`Mtls`](crate::Mtls) can't be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MtlsError {
    /// No caller is allowed.
    NoCallers,
    /// The name is not that of a trust domain, such as `prod.example`.
    TrustDomain(String),
    /// The text is not a SPIFFE ID.
    SpiffeId {
        /// The text.
        text: String,
        /// What is wrong with it.
        error: SpiffeIdError,
    },
    /// The SPIFFE ID has no path: use [`trust_domain`](crate::MtlsBuilder::trust_domain) to allow the whole domain.
    NoPath(String),
    /// The text is not a DNS name, or has a wildcard.
    DnsName(String),
    /// [`MeshProxies`](crate::mtls::MeshProxies) without a network, Unix socket or SPIFFE ID that is trusted.
    NoProxies,
}

impl fmt::Display for MtlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCallers => f.write_str(
                "no caller is allowed: call `trust_domain`, `path_prefix`, `spiffe_id` or `dns_name`",
            ),
            Self::TrustDomain(name) => {
                write!(f, "{name:?} is not the name of a trust domain, such as prod.example")
            }
            Self::SpiffeId { text, error } => write!(f, "{text:?} is not a SPIFFE ID: {error}"),
            Self::NoPath(text) => {
                write!(f, "{text:?} has no path: use `trust_domain` to allow the whole domain")
            }
            Self::NoProxies => f.write_str(
                "no proxy is trusted: call `networks`, `unix_socket` or `spiffe_id` of `MeshProxies`",
            ),
            Self::DnsName(name) => write!(f, "{name:?} is not a DNS name without a wildcard"),
        }
    }
}

impl Error for MtlsError {}
