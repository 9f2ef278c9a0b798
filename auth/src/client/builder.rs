//! Checks that credentials are sent over TLS.

use std::any::TypeId;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tonic::transport::Endpoint;
use tonic_call::Encrypted;
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

    /// Builds the layer for the channel of an endpoint: tonic's `Endpoint`, or whatever is [`Encrypted`], such as
    /// the endpoint and the connector of the crate `tonic-tls-reload`.
    ///
    /// # Errors
    ///
    /// If the connection would not be encrypted (RFC 6750 §5.3). What is [`Encrypted`] never fails.
    pub fn to<K>(self, endpoint: &impl Destination<K>) -> Result<CredentialsLayer, NotEncrypted> {
        endpoint.check()?;
        Ok(CredentialsLayer::new(self.source, false))
    }

    /// Builds the layer without checking for TLS: for a sidecar on loopback, a Unix socket, or a custom connector
    /// that encrypts but is not [`Encrypted`].
    pub fn allow_unencrypted(self) -> CredentialsLayer {
        CredentialsLayer::new(self.source, true)
    }
}

/// Where [`CredentialsBuilder::to`] sends credentials: tonic's `Endpoint`, or anything that is [`Encrypted`].
///
/// A connector that does not encrypt does not compile:
///
/// ```compile_fail,E0277
/// # fn token() -> tonic_auth_layer::BearerToken { unimplemented!() }
/// use tonic_auth_layer::CredentialsLayer;
///
/// struct PlainConnector;
///
/// CredentialsLayer::bearer(token()).to(&PlainConnector);
/// ```
///
/// The parameter only keeps the two implementations apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not show that it encrypts, so no credentials are sent to it",
    label = "neither tonic's `Endpoint` nor `tonic_call::Encrypted`",
    note = "`allow_unencrypted` sends credentials without TLS"
)]
pub trait Destination<K> {
    #[doc(hidden)]
    fn check(&self) -> Result<(), NotEncrypted>;
}

/// The kind of a [`Destination`] that is checked when the layer is built.
#[derive(Debug)]
pub enum Checked {}

/// The kind of a [`Destination`] whose type shows that it encrypts.
#[derive(Debug)]
pub enum Proven {}

impl Destination<Checked> for Endpoint {
    fn check(&self) -> Result<(), NotEncrypted> {
        if self.uri().scheme() != Some(&http::uri::Scheme::HTTPS) {
            return Err(NotEncrypted::Endpoint);
        }
        if tonic_has_tls() { Ok(()) } else { Err(NotEncrypted::Tonic) }
    }
}

impl<T: Encrypted> Destination<Proven> for T {
    fn check(&self) -> Result<(), NotEncrypted> {
        Ok(())
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
