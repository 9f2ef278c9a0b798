//! Verifies tokens, and authorizes callers per method.

use std::fmt;
use std::time::Duration;

use tonic::server::NamedService;
use tonic_auth_layer::jwt::{Jwt, Readiness};
use tonic_auth_layer::{Access, AuthLayer, Outcome, authenticate_fn};
use tonic_call::Methods;

use super::config::{AuthConfig, KeySet};
use super::dev_key::DevKey;
use super::no_dev_key::NoDevKey;
use super::{metrics, scopes};
use crate::service::Orders;
use crate::status::DOMAIN;
use crate::v1::order_service_server::OrderServiceServer;

/// How often the gauges of the issuer's keys are set.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// Verifies the tokens of callers.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    jwt: Jwt,
}

/// Why tokens cannot be verified, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthConfigError {
    /// The development key cannot be used.
    DevKey(NoDevKey),
    /// The issuer, its audience or its keys are invalid.
    Issuer(String),
}

impl AuthConfig {
    /// The verifier; `None` if no token is required. Tokens with a lifetime longer than `max_lifetime` are
    /// refused. `proxies` are the networks of trusted proxies: failed tokens count against the client that
    /// the proxy names.
    ///
    /// Must be called inside a Tokio runtime: it starts to fetch the keys, and does not wait for them.
    pub fn verifier(
        &self,
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
        let jwt = Jwt::builder().issuer(issuer).behind(proxies).on_keys(metrics::fetched).build();
        let jwt = jwt.map_err(|error| AuthConfigError::Issuer(error.to_string()))?;
        Ok(Some(TokenVerifier { jwt }))
    }
}

impl TokenVerifier {
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

    /// The layer around services with these methods.
    pub(crate) fn layer(&self, methods: &Methods) -> Result<AuthLayer, String> {
        metrics::describe();
        let auth = AuthLayer::new(self.jwt.clone())
            .methods(methods)
            .every_method_ruled()
            .public_health()
            .public_reflection()
            .end_streams_at_expiry()
            .remove_credentials()
            .domain(DOMAIN)
            .realm("orders")
            .on_decision(metrics::decision);
        let service = <OrderServiceServer<Orders> as NamedService>::NAME;
        let auth = scopes::METHOD_SCOPES
            .into_iter()
            .fold(auth, |auth, (method, scope)| auth.method(service, method, Access::scope(scope)));
        auth.build().map_err(|error| error.to_string())
    }
}

/// The layer without authentication: every method is public.
pub(crate) fn public_layer() -> Result<AuthLayer, String> {
    let anonymous = authenticate_fn(|_| Outcome::Absent);
    let auth = AuthLayer::new(anonymous).default_access(Access::public()).domain(DOMAIN);
    auth.build().map_err(|error| error.to_string())
}

impl fmt::Display for AuthConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DevKey(error) => error.fmt(f),
            Self::Issuer(error) => {
                write!(f, "cannot verify tokens: {error}; check --issuer, --audience and --jwks")
            }
        }
    }
}

impl std::error::Error for AuthConfigError {}
