//! Authenticates callers by token, by client certificate or by both, and authorizes them per method.

use std::iter;
use std::time::Duration;

use tonic::codegen::http::Request;
use tonic_auth_layer::mtls::MtlsCaller;
use tonic_auth_layer::{Access, AuthLayer, Identity, Mtls, Outcome, all_of, authenticate_fn};
use tonic_call::{CallInfo, Methods};

use super::certificates::CertificateConfig;
use super::config::AuthConfig;
use super::verifier::{AuthConfigError, TokenVerifier};
use super::{metrics, scopes};
use crate::fields;
use crate::service::VERSIONS;
use crate::status::DOMAIN;

/// What callers need.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    tokens: Option<TokenVerifier>,
    certificates: Option<Mtls>,
}

impl Callers {
    /// Every caller may call every method.
    pub fn anyone() -> Self {
        Self::default()
    }

    /// Callers with these tokens, these certificates, or both if both are required. Tokens with a lifetime longer than
    /// `max_lifetime` are refused. `proxies` are the networks of trusted proxies: failed tokens count against the client
    /// that the proxy names.
    ///
    /// Must be called inside a Tokio runtime: it starts to fetch the keys, and does not wait for them.
    pub fn new(
        tokens: &AuthConfig,
        certificates: &CertificateConfig,
        max_lifetime: Duration,
        proxies: &[String],
    ) -> Result<Self, AuthConfigError> {
        let mtls = certificates.authenticator();
        let mtls = mtls.map_err(|error| AuthConfigError::Certificates(error.to_string()))?;
        let tokens = tokens.verifier(certificates, max_lifetime, proxies)?;
        Ok(Self { tokens, certificates: mtls })
    }

    /// The verifier of their tokens, if they need one.
    pub(crate) fn tokens(&self) -> Option<&TokenVerifier> {
        self.tokens.as_ref()
    }

    /// The layer around services with these methods.
    pub(crate) fn layer(&self, methods: &Methods) -> Result<AuthLayer, String> {
        let tokens = self.tokens.as_ref().map(TokenVerifier::jwt);
        let auth = match (tokens, self.certificates.clone()) {
            // The identity is that of the token, which has the scopes.
            (Some(jwt), Some(mtls)) => AuthLayer::new(all_of(jwt).and(mtls)),
            (Some(jwt), None) => AuthLayer::new(jwt),
            (None, Some(mtls)) => AuthLayer::new(mtls),
            (None, None) => return public_layer(),
        };
        metrics::describe();
        let auth = auth
            .methods(methods)
            .every_method_ruled()
            .public_health()
            .public_reflection()
            .end_streams_at_expiry()
            .remove_credentials()
            .domain(DOMAIN)
            .realm("orders")
            .on_decision(metrics::decision);
        let access = |scope| match self.tokens {
            Some(_) => Access::scope(scope),
            // Certificates have no scopes.
            None => Access::authenticated(),
        };
        let rules = VERSIONS.into_iter().flat_map(|service| {
            scopes::METHOD_SCOPES.into_iter().map(move |(method, scope)| (service, method, scope))
        });
        let auth = rules.fold(auth, |auth, (service, method, scope)| {
            auth.method(service, method, access(scope))
        });
        auth.build().map_err(|error| error.to_string())
    }
}

/// The layer without authentication: every method is public.
fn public_layer() -> Result<AuthLayer, String> {
    let anonymous = authenticate_fn(|_| Outcome::Absent);
    let auth = AuthLayer::new(anonymous).default_access(Access::public()).domain(DOMAIN);
    auth.build().map_err(|error| error.to_string())
}

/// Adds to the log line of a call the name in the caller's certificate, and where the name comes from. The caller of
/// the log line is that of the token, if there is one.
pub(crate) fn log_certificate<B>(request: Request<B>) -> Request<B> {
    let extensions = request.extensions();
    if let (Ok(identity), Some(info)) =
        (Identity::in_extensions(extensions), CallInfo::of(extensions))
    {
        let mut identities = iter::once(&identity).chain(identity.also());
        if let Some(caller) = identities.find_map(Identity::data::<MtlsCaller>) {
            info.add_field(fields::CERTIFICATE, caller.to_string());
            info.add_field(fields::CERTIFICATE_SOURCE, caller.source());
        }
    }
    request
}
