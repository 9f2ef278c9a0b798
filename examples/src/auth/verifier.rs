//! Verifies the tokens of callers.

use std::fmt;
use std::time::Duration;

use tonic_auth_layer::jwt::{Jwt, Readiness};

use super::certificates::CertificateConfig;
use super::config::{AuthConfig, KeySet};
use super::dev_key::DevKey;
use super::metrics;
use super::no_dev_key::NoDevKey;

/// How often the gauges of the issuer's keys are set.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// Verifies the tokens of callers.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    jwt: Jwt,
}

/// Why callers cannot be verified, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthConfigError {
    /// The development key cannot be used.
    DevKey(NoDevKey),
    /// The issuer, its audience or its keys are invalid.
    Issuer(String),
    /// The allowed certificates are invalid.
    Certificates(String),
}

impl AuthConfig {
    /// The verifier; `None` if no token is required. Tokens with a lifetime longer than `max_lifetime` are
    /// refused. `proxies` are the networks of trusted proxies: failed tokens count against the client that
    /// the proxy names.
    pub(super) fn verifier(
        &self,
        certificates: &CertificateConfig,
        max_lifetime: Duration,
        proxies: &[String],
    ) -> Result<Option<TokenVerifier>, AuthConfigError> {
        let issuer = match self {
            Self::Off => return Ok(None),
            Self::Issuer { issuer, audience, keys } => {
                let issuer = match keys {
                    None => Jwt::discover(issuer),
                    Some(KeySet::Url(url)) => Jwt::jwks_url(issuer, url),
                    Some(KeySet::File(path)) => Jwt::jwks_file(issuer, path),
                };
                issuer.audience(audience)
            }
            Self::DevKey(path) => {
                DevKey::read_or_make(path).map_err(AuthConfigError::DevKey)?.issuer()
            }
        };
        let issuer = issuer.max_lifetime(max_lifetime);
        let jwt = Jwt::builder().issuer(issuer).behind(proxies).on_keys(metrics::fetched);
        let jwt = match certificates.mesh() {
            Some(mesh) => jwt.behind_mesh(mesh),
            None if certificates.verified => jwt.certificate_bound(),
            None => jwt,
        };
        let jwt = jwt.build().map_err(|error| AuthConfigError::Issuer(error.to_string()))?;
        Ok(Some(TokenVerifier { jwt }))
    }
}

impl TokenVerifier {
    pub(super) fn jwt(&self) -> Jwt {
        self.jwt.clone()
    }

    /// Whether it has the issuer's keys, now and later.
    pub(crate) fn readiness(&self) -> Readiness {
        self.jwt.readiness()
    }

    /// Waits until `readiness` changes, and sets the gauges of the keys meanwhile.
    pub(crate) async fn readiness_changed(&self, readiness: &mut Readiness) -> bool {
        let mut gauges = tokio::time::interval(GAUGE_INTERVAL);
        loop {
            tokio::select! {
                ready = readiness.changed() => {
                    metrics::set_keys(&self.jwt);
                    return ready;
                }
                _ = gauges.tick() => metrics::set_keys(&self.jwt),
            }
        }
    }
}

impl fmt::Display for AuthConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DevKey(error) => error.fmt(f),
            Self::Issuer(error) => {
                write!(f, "cannot verify tokens: {error}; check --issuer, --audience and --jwks")
            }
            Self::Certificates(error) => {
                write!(
                    f,
                    "cannot verify client certificates: {error}; check --allow-spiffe and --trust-xfcc"
                )
            }
        }
    }
}

impl std::error::Error for AuthConfigError {}
