//! Checks that credentials are sent over TLS.

use std::any::TypeId;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tonic::transport::Endpoint;
use tower_layer::Layer;

use super::layer::CredentialsLayer;
use super::service::Credentials;
use super::source::TokenSource;

/// Builds a [`CredentialsLayer`] for an endpoint.
#[derive(Clone)]
#[must_use = "call `to(&endpoint)` to get the layer"]
pub struct CredentialsBuilder {
    source: Arc<dyn TokenSource>,
}

/// The connection is not encrypted, so the credentials could be read on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotEncrypted {
    /// The endpoint is not `https`.
    Endpoint,
    /// The endpoint is `https`, but tonic is built without TLS, and would connect without it.
    Tonic,
}

impl CredentialsBuilder {
    pub(super) fn new(source: impl TokenSource) -> Self {
        Self { source: Arc::new(source) }
    }

    /// Builds the layer for the channel of this endpoint.
    ///
    /// # Errors
    ///
    /// If the connection would not be encrypted (RFC 6750 §5.3).
    pub fn to(self, endpoint: &Endpoint) -> Result<CredentialsLayer, NotEncrypted> {
        if endpoint.uri().scheme() != Some(&http::uri::Scheme::HTTPS) {
            return Err(NotEncrypted::Endpoint);
        }
        if !tonic_has_tls() {
            return Err(NotEncrypted::Tonic);
        }
        Ok(CredentialsLayer::new(self.source, false))
    }

    /// Builds the layer without checking for TLS: for a sidecar on loopback, a Unix socket, or a custom connector
    /// that encrypts.
    pub fn allow_unencrypted(self) -> CredentialsLayer {
        CredentialsLayer::new(self.source, true)
    }
}

/// Whether tonic is built with TLS. Without it, tonic treats `https` as `http`.
fn tonic_has_tls() -> bool {
    /// A method with the name of one that only tonic with TLS has, and that takes precedence over this one.
    trait WithoutTls {
        fn tls_config() {}
    }

    impl WithoutTls for Endpoint {}

    fn id<T: 'static>(_: T) -> TypeId {
        TypeId::of::<T>()
    }

    id(Endpoint::tls_config) != id(<Endpoint as WithoutTls>::tls_config)
}

/// Implemented by no channel, so that the compiler reports a forgotten [`to`](CredentialsBuilder::to).
#[diagnostic::on_unimplemented(
    message = "a `CredentialsBuilder` is not a layer yet: call `.to(&endpoint)?` to get the \
               `CredentialsLayer`",
    label = "a `.to(&endpoint)?` is missing on a `CredentialsBuilder`",
    note = "`to` checks that the connection is encrypted; `allow_unencrypted` does without"
)]
pub trait Addressed {}

impl<S: Addressed> Layer<S> for CredentialsBuilder {
    type Service = Credentials<S>;

    fn layer(&self, _: S) -> Credentials<S> {
        unreachable!("no channel is `Addressed`")
    }
}

impl fmt::Debug for CredentialsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsBuilder")
    }
}

impl fmt::Display for NotEncrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoint => {
                "credentials are not sent in plain text: the endpoint is not https; \
                 `allow_unencrypted` sends them anyway"
            }
            Self::Tonic => {
                "credentials are not sent in plain text: tonic is built without TLS, and https is then \
                 not encrypted; enable its feature tls-aws-lc or tls-ring, or call `allow_unencrypted`"
            }
        })
    }
}

impl Error for NotEncrypted {}
