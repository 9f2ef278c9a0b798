use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tonic_call::{BoxError, Encrypted, sanitize};
use tower_service::Service;

use super::config::ClientReloader;

/// Connects over TLS, for [`Endpoint::connect_with_connector`](tonic::transport::Endpoint::connect_with_connector).
///
/// Made by [`TlsEndpoint::connector`](super::TlsEndpoint::connector). The address that it is asked for says only where
/// to connect, and can have any type that the connector [below](Self::over) takes; the server must have a certificate
/// for the name that the connector was made for. So it also serves a balancer that connects to addresses. Each
/// handshake runs under the newest configuration, may take 10 s, and must agree on HTTP/2.
#[derive(Clone)]
pub struct TlsConnector<C = HttpConnector> {
    tls: Arc<ClientReloader>,
    server: ServerName<'static>,
    inner: C,
}

/// The connections of a [`TlsConnector`].
pub type TlsIo<IO> = TokioIo<TlsStream<TokioIo<IO>>>;

/// The future of a [`TlsConnector`].
pub type ConnectFuture<IO> =
    Pin<Box<dyn Future<Output = Result<TlsIo<IO>, TlsConnectError>> + Send>>;

/// Why a [`TlsConnector`] has not connected.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsConnectError {
    /// There is no connection to the address.
    Connect(BoxError),
    /// The handshake failed, for example because the server's certificate is not good. The text has one line of at
    /// most 1 KiB, whatever names the certificate has.
    Handshake(io::Error),
    /// The handshake took more than 10 s.
    Timeout,
    /// The server does not offer HTTP/2.
    NotHttp2,
}

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl<C> TlsConnector<C> {
    pub(super) fn new(tls: Arc<ClientReloader>, server: ServerName<'static>, inner: C) -> Self {
        Self { tls, server, inner }
    }

    /// Makes the connections below TLS with another connector, for example one for Unix sockets.
    pub fn over<D>(self, inner: D) -> TlsConnector<D> {
        TlsConnector { tls: self.tls, server: self.server, inner }
    }
}

impl<C> Encrypted for TlsConnector<C> {}

impl<C, A> Service<A> for TlsConnector<C>
where
    C: Service<A>,
    C::Response: rt::Read + rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = TlsIo<C::Response>;
    type Error = TlsConnectError;
    type Future = ConnectFuture<C::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsConnectError>> {
        self.inner.poll_ready(cx).map_err(|error| TlsConnectError::Connect(error.into()))
    }

    fn call(&mut self, address: A) -> Self::Future {
        let connecting = self.inner.call(address);
        let (tls, server) = (Arc::clone(&self.tls), self.server.clone());
        Box::pin(async move {
            let connected = connecting.await;
            let io = connected.map_err(|error| TlsConnectError::Connect(error.into()))?;
            let connector = tokio_rustls::TlsConnector::from(tls.started_config());
            let handshake = connector.connect(server, TokioIo::new(io));
            let stream = timeout(HANDSHAKE_TIMEOUT, handshake)
                .await
                .map_err(|_| TlsConnectError::Timeout)?
                .map_err(|error| TlsConnectError::Handshake(one_line(error)))?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Ok(TokioIo::new(stream)),
                _ => Err(TlsConnectError::NotHttp2),
            }
        })
    }
}

/// The error, with a text that is safe to log: that of rustls contains the names of a server's certificate as they are.
fn one_line(error: io::Error) -> io::Error {
    let text = error.to_string();
    match sanitize(&text) {
        Cow::Borrowed(_) => error,
        Cow::Owned(safe) => io::Error::new(error.kind(), safe),
    }
}

impl<C> fmt::Debug for TlsConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").field("server", &self.server).finish_non_exhaustive()
    }
}

impl fmt::Display for TlsConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(_) => f.write_str("the connection failed"),
            Self::Handshake(_) => f.write_str("the TLS handshake failed"),
            Self::Timeout => f.write_str("the TLS handshake took too long"),
            Self::NotHttp2 => f.write_str("the server does not offer HTTP/2 (ALPN h2)"),
        }
    }
}

impl Error for TlsConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => Some(&**error),
            Self::Handshake(error) => Some(error),
            Self::Timeout | Self::NotHttp2 => None,
        }
    }
}
