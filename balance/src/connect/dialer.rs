//! One attempt to connect to one address.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper::rt;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic_call::BoxError;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt as _, service_fn};
use tower_service::Service;

use super::BoxIo;
use super::channels::Channels;
use super::lifecycle::Lifecycle;
use super::wire::Wire;
use crate::Address;

/// A connector of any type.
pub(crate) type BoxConnector = BoxCloneSyncService<Address, BoxIo, BoxError>;

/// Boxes a connector.
pub(crate) fn box_connector<C>(connector: C) -> BoxConnector
where
    C: Service<Address> + Clone + Send + Sync + 'static,
    C::Response: rt::Read + rt::Write + Send + Unpin + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    let connector =
        connector.map_response(|io| -> BoxIo { Box::new(TokioIo::new(io)) }).map_err(Into::into);
    BoxCloneSyncService::new(connector)
}

/// A connection to one address. When all of these are dropped, it closes after its running calls.
pub(crate) struct Connection {
    pub(crate) address: Address,
    /// Has this connection only: its connector works once.
    pub(crate) channels: Channels,
    pub(crate) lifecycle: Lifecycle,
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    connector: BoxConnector,
    timeout: Duration,
}

/// gRPC's minimum for an attempt ("Connection Backoff Protocol").
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint, connector: BoxConnector) -> Self {
        // The clock cannot add more than some centuries.
        let timeout = endpoint.get_connect_timeout().unwrap_or(CONNECT_TIMEOUT).min(MAX_TIMEOUT);
        Self { endpoint, connector, timeout }
    }

    /// Connects, and waits for the SETTINGS of the server: some accept connections and never answer.
    pub(crate) async fn connect(self: Arc<Self>, address: Address) -> Result<Connection, BoxError> {
        let end = Instant::now() + self.timeout;
        let lifecycle = Lifecycle::new();
        let Ok(channel) = timeout_at(end, self.open(address.clone(), lifecycle.clone())).await
        else {
            return Err(format!("not connected within {:?}", self.timeout).into());
        };
        let channel = channel?;
        match timeout_at(end, lifecycle.until_open()).await {
            Ok(Ok(())) => Ok(Connection { address, channels: Channels::new(channel), lifecycle }),
            Ok(Err(reason)) => {
                Err(format!("the connection ended before it was ready: {reason}").into())
            }
            Err(_) => {
                Err(format!("connected, but the server sent no SETTINGS within {:?}", self.timeout)
                    .into())
            }
        }
    }

    async fn open(&self, address: Address, lifecycle: Lifecycle) -> Result<Channel, BoxError> {
        let io = self.connector.clone().oneshot(address).await?;
        // tonic adds its TLS exactly if the scheme of the endpoint is `https`.
        let wire = match self.endpoint.uri().scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => Wire::encrypted(io, lifecycle),
            _ => Wire::plain(io, lifecycle),
        };
        let mut wire = Some(TokioIo::new(wire));
        // The URI of the endpoint stays: tonic takes the `:authority` and the name for TLS from it.
        let once = service_fn(move |_: Uri| -> Ready<Result<_, io::Error>> {
            ready(wire.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
        });
        Ok(self.endpoint.connect_with_connector(once).await?)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("uri", self.endpoint.uri()).finish_non_exhaustive()
    }
}
