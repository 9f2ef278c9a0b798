use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic_call::BoxError;

use super::config::ServerReloader;
use super::handshake::{Failures, HandshakeError};
use super::handshakes::Handshakes;
use crate::accept::{AcceptErrors, PAUSE};

/// Connections over TLS, for `serve_with_incoming` and its relatives.
///
/// Each handshake runs in a task of its own, under the configuration that is the newest when it begins. It may take
/// [10 s](Self::handshake_timeout), and [1,024](Self::max_handshakes) may be under way: then the oldest one gives
/// way, if it has had 2 s. A handshake that fails ends nothing but itself.
///
/// The stream never yields an error: when accepting fails, for example because there are too many open files, it
/// logs a warning and tries again. When it is dropped, as by a server that shuts down, the handshakes under way end.
///
/// Requests have tonic's `TlsConnectInfo<TcpConnectInfo>`, which `Request::remote_addr`, `Request::peer_certs` and
/// [`client_certificates`](crate::client_certificates) read. With tonic's own TLS, they also have the `TcpConnectInfo`
/// by itself; here it is only inside the other.
#[pin_project]
pub struct TlsIncoming<I, IO = TcpStream> {
    #[pin]
    incoming: I,
    /// `incoming` is at its end.
    ended: bool,
    handshakes: Handshakes<IO>,
    /// Accepted, and waits for room.
    waiting: Option<IO>,
    tls: Arc<ServerReloader>,
    timeout: Duration,
    max: usize,
    failures: Failures,
    /// Until accepting is tried again.
    pause: Option<Pin<Box<Sleep>>>,
    accept_errors: AcceptErrors,
}

/// As tonic suggests, and Envoy's default.
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HANDSHAKES: usize = 1024;

impl<I, IO: 'static> TlsIncoming<I, IO> {
    pub(super) fn new(incoming: I, tls: Arc<ServerReloader>) -> Self {
        Self {
            incoming,
            ended: false,
            handshakes: Handshakes::new(),
            waiting: None,
            tls,
            timeout: TIMEOUT,
            max: MAX_HANDSHAKES,
            failures: Failures::default(),
            pause: None,
            accept_errors: AcceptErrors::default(),
        }
    }

    /// How long a handshake may take. Default: 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many handshakes may be under way. Default: 1,024; at least 1.
    pub fn max_handshakes(mut self, max: usize) -> Self {
        self.max = max.max(1);
        self
    }

    /// Calls `hook` for each handshake that fails, for example to count them.
    pub fn on_failure(mut self, hook: impl Fn(&HandshakeError) + Send + Sync + 'static) -> Self {
        self.failures = Failures::new(hook);
        self
    }
}

impl<I, IO, E> Stream for TlsIncoming<I, IO>
where
    I: Stream<Item = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<BoxError>,
{
    type Item = io::Result<TlsStream<IO>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            match this.handshakes.poll_connected(cx) {
                Poll::Ready(Some(stream)) => return Poll::Ready(Some(Ok(stream))),
                Poll::Ready(None) if *this.ended && this.waiting.is_none() => {
                    return Poll::Ready(None);
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            if this.waiting.is_some() {
                ready!(this.handshakes.poll_room(cx, *this.max));
                if let Some(io) = this.waiting.take() {
                    let peer = peer(&io);
                    this.handshakes.begin(io, peer, (this.tls, *this.timeout), this.failures);
                }
                continue;
            }
            if *this.ended {
                return Poll::Pending;
            }
            if let Some(pause) = this.pause {
                ready!(pause.as_mut().poll(cx));
                *this.pause = None;
            }
            match ready!(this.incoming.as_mut().poll_next(cx)) {
                Some(Ok(io)) => *this.waiting = Some(io),
                Some(Err(error)) => {
                    if this.accept_errors.must_pause(&error.into()) {
                        *this.pause = Some(Box::pin(sleep(PAUSE)));
                    }
                }
                None => *this.ended = true,
            }
        }
    }
}

/// The address of a TCP peer.
fn peer<IO: Connected>(io: &IO) -> Option<SocketAddr> {
    let info = io.connect_info();
    (&info as &dyn Any).downcast_ref::<TcpConnectInfo>()?.remote_addr()
}

impl<I: fmt::Debug, IO> fmt::Debug for TlsIncoming<I, IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIncoming")
            .field("incoming", &self.incoming)
            .field("handshake_timeout", &self.timeout)
            .field("max_handshakes", &self.max)
            .finish_non_exhaustive()
    }
}
