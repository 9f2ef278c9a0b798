//! One handshake.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::{Error as RustlsError, HandshakeKind};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic_call::guarded;

use super::config::ServerReloader;
use crate::material::Validity;

/// A handshake failed: see [`TlsIncoming::on_failure`](super::TlsIncoming::on_failure).
#[derive(Debug)]
pub struct HandshakeError {
    peer: Option<SocketAddr>,
    failure: HandshakeFailure,
    source: Option<io::Error>,
}

/// Why a handshake failed. Fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The client's certificate is missing, or is not good.
    Certificate,
    /// The client resumed a session, and its certificate has expired since.
    Expired,
    /// What the client sent is not TLS, or does not fit: for example its version, or its protocols. Or the client has
    /// refused the certificate of the server.
    Protocol,
    /// The connection broke.
    Connection,
    /// The handshake took too long.
    Timeout,
    /// The handshake was the oldest of too many, and had to make room.
    Evicted,
}

impl HandshakeError {
    pub(super) fn new(failure: HandshakeFailure) -> Self {
        Self { peer: None, failure, source: None }
    }

    fn of(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
        let failure = match tls {
            Some(RustlsError::InvalidCertificate(_) | RustlsError::NoCertificatesPresented) => {
                HandshakeFailure::Certificate
            }
            Some(_) => HandshakeFailure::Protocol,
            None => HandshakeFailure::Connection,
        };
        Self { peer: None, failure, source: Some(error) }
    }

    /// The address of the client; `None` if it is not a TCP connection.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Why it failed.
    pub fn failure(&self) -> HandshakeFailure {
        self.failure
    }
}

impl HandshakeFailure {
    /// `certificate`, `expired`, `protocol`, `connection`, `timeout` or `evicted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Expired => "expired",
            Self::Protocol => "protocol",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Evicted => "evicted",
        }
    }
}

/// Does the handshake under the newest configuration.
pub(super) async fn accept<IO>(
    tls: &Arc<ServerReloader>,
    io: IO,
    limit: Duration,
) -> Result<TlsStream<IO>, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = TlsAcceptor::from(tls.started_config()).accept(io).into_fallible();
    let accepted = tokio::time::timeout(limit, handshake).await;
    let accepted = accepted.map_err(|_| HandshakeError::new(HandshakeFailure::Timeout))?;
    let stream = match accepted {
        Ok(stream) => stream,
        Err((error, io)) => {
            let error = HandshakeError::of(error);
            if let HandshakeFailure::Certificate | HandshakeFailure::Protocol = error.failure {
                linger(io).await;
            }
            return Err(error);
        }
    };
    if is_resumed_by_an_expired_certificate(&stream, tls) {
        return Err(HandshakeError::new(HandshakeFailure::Expired));
    }
    Ok(stream)
}

/// How long a refused client has to read why.
const LINGER: Duration = Duration::from_secs(1);

/// Waits until the client has read the alert and closes the connection. A client of TLS 1.3 already sends its calls when
/// its certificate is refused: if they were not read, closing the connection would reset it, and the alert be lost.
async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO) {
    let closed = async {
        io.shutdown().await?;
        let mut unread = [0; 1024];
        while io.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // After an error there is no client left.
    _ = tokio::time::timeout(LINGER, closed).await;
}

/// rustls verifies a certificate when a session begins, and not when it is resumed.
fn is_resumed_by_an_expired_certificate<IO>(stream: &TlsStream<IO>, tls: &ServerReloader) -> bool {
    let (_, session) = stream.get_ref();
    if session.handshake_kind() != Some(HandshakeKind::Resumed) {
        return false;
    }
    let Some(leaf) = session.peer_certificates().and_then(<[_]>::first) else { return false };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(tls.settings().now().as_secs());
    // It could be parsed when the session began.
    !Validity::of(leaf).is_ok_and(|validity| !validity.has_expired(now))
}

/// Reports failed handshakes.
#[derive(Clone, Default)]
pub(super) struct Failures(Option<Arc<Hook>>);

type Hook = dyn Fn(&HandshakeError) + Send + Sync;

impl Failures {
    pub(super) fn new(hook: impl Fn(&HandshakeError) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(super) fn report(&self, peer: Option<SocketAddr>, error: HandshakeError) {
        let error = HandshakeError { peer, ..error };
        // Not more than `DEBUG`: any client can cause it.
        tracing::debug!(
            target: "tonic_tls_reload",
            peer = peer.map(tracing::field::display),
            failure = error.failure.as_str(),
            error = error.source.as_ref().map(tracing::field::display),
            "a TLS handshake failed",
        );
        let Some(hook) = &self.0 else { return };
        if guarded(|| hook(&error)).is_err() {
            tracing::error!(target: "tonic_tls_reload", "the hook for failed TLS handshakes panicked");
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.failure) {
            (Some(source), _) => write!(f, "the TLS handshake failed: {source}"),
            (None, HandshakeFailure::Timeout) => f.write_str("the TLS handshake took too long"),
            (None, HandshakeFailure::Evicted) => {
                f.write_str("the TLS handshake was the oldest of too many")
            }
            (None, HandshakeFailure::Expired) => {
                f.write_str("the certificate of the resumed TLS session has expired")
            }
            (None, _) => f.write_str("the TLS handshake failed"),
        }
    }
}

impl StdError for HandshakeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref()?)
    }
}
