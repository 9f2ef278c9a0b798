use std::fmt;
use std::sync::Arc;

use tonic_call::SideCheck;
use tower_layer::Layer;

use super::builder::CredentialsBuilder;
use super::service::Credentials;
use super::source::TokenSource;

/// Sends a bearer token with each call of a client.
///
/// ```no_run
/// # use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tonic::transport::Endpoint;
/// use tonic_auth_layer::{CredentialsLayer, TokenFile};
/// use tower::ServiceBuilder;
///
/// let endpoint = Endpoint::from_static("https://orders.example");
/// let token = TokenFile::open("/var/run/secrets/token")?;
/// let channel = ServiceBuilder::new()
///     .layer(CredentialsLayer::bearer(token).to(&endpoint)?)
///     .service(endpoint.connect_lazy());
/// let orders = OrderServiceClient::new(channel);
/// # Ok(())
/// # }
/// ```
///
/// A call that already has an `authorization` keeps it. Without a token, a call ends `UNAVAILABLE` (gRFC A97) and is
/// not sent.
#[derive(Clone)]
pub struct CredentialsLayer {
    source: Arc<dyn TokenSource>,
    plain_text: bool,
    side_check: Arc<SideCheck>,
}

impl CredentialsLayer {
    /// Sends `authorization: Bearer …` with a token from this source: a
    /// [`BearerToken`](crate::BearerToken), a function, or a [`TokenFile`](crate::TokenFile).
    pub fn bearer(source: impl TokenSource) -> CredentialsBuilder {
        CredentialsBuilder::new(source)
    }

    pub(super) fn new(source: Arc<dyn TokenSource>, plain_text: bool) -> Self {
        Self { source, plain_text, side_check: Arc::default() }
    }
}

impl<S> Layer<S> for CredentialsLayer {
    type Service = Credentials<S>;

    fn layer(&self, inner: S) -> Credentials<S> {
        Credentials {
            inner,
            source: Arc::clone(&self.source),
            plain_text: self.plain_text,
            side_check: Arc::clone(&self.side_check),
        }
    }
}

impl fmt::Debug for CredentialsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsLayer")
            .field("plain_text", &self.plain_text)
            .finish_non_exhaustive()
    }
}
