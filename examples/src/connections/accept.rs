//! Accepts connections. Errors do not end the server.

use std::io::{self, ErrorKind};
use std::time::Duration;

use http_body::Body as HttpBody;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};

use super::ConnectionLimits;
use super::admission::Admission;
use super::metrics::CloseReason;
use super::{connection, handshake};
use crate::tls::Tls;

/// Pause after an error that concerns every connection, such as too many open files: without it, accepting again
/// would use a whole core.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The pause if idle connections were asked to close.
const SHORT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// How long a connection may be silent before the kernel probes whether its peer is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// Interval of the probes. After several without an answer, 9 on Linux, the connection is closed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Minimum interval of warnings, so that clients cannot fill the log.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Serves `service` on the connections of `listener` until `stop` completes; then closes the listener, so that
/// further clients are refused at once, and waits for the open connections. With `tls`, each begins with a handshake.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    tls: Option<Tls>,
    service: S,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    limits.metrics.describe();
    let (stop_sender, stop_receiver) = watch::channel(());
    tokio::select! {
        biased;
        () = stop => {}
        never = accept(&listener, tls.as_ref(), service, &limits, &stop_receiver) => match never {},
    }
    drop((listener, stop_receiver));
    // An error: there are no connections.
    _ = stop_sender.send(());
    stop_sender.closed().await;
}

async fn accept<S, B>(
    listener: &TcpListener,
    tls: Option<&Tls>,
    service: S,
    limits: &ConnectionLimits,
    stop: &watch::Receiver<()>,
) -> std::convert::Infallible
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let admission = Admission::new(limits.max_connections, limits.metrics);
    let (mut warned_full, mut warned_error) = (None, None);
    loop {
        let connection = accept_next(listener, &admission, &mut warned_error).await;
        let Some(slot) = admission.acquire().await else {
            limits.metrics.closed(CloseReason::Full);
            if is_due(&mut warned_full, WARN_INTERVAL) {
                let max = limits.max_connections;
                tracing::warn!(
                    max,
                    "too many connections, all of them with calls: new connections are closed"
                );
            }
            continue;
        };
        let (service, limits, stop) = (service.clone(), limits.clone(), stop.clone());
        match tls.cloned() {
            None => tokio::spawn(connection::serve(connection, service, slot, limits, stop)),
            Some(tls) => {
                tokio::spawn(handshake::serve(tls, connection, service, slot, limits, stop))
            }
        };
    }
}

async fn accept_next(
    listener: &TcpListener,
    admission: &Admission,
    warned: &mut Option<Instant>,
) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                // Messages are small and must be sent at once. If it fails, they are sent with a delay.
                _ = connection.set_nodelay(true);
                // HTTP/1.1 has no pings. If it fails, a watch of a dead peer lasts until its next event.
                _ = SockRef::from(&connection).set_tcp_keepalive(&keepalive());
                return connection;
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                let pause = if admission.make_room() > 0 { SHORT_RETRY_DELAY } else { RETRY_DELAY };
                if is_due(warned, RETRY_DELAY) {
                    tracing::warn!(%error, "cannot accept connections; trying again in {pause:?}");
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME);
    #[cfg(any(unix, windows))]
    let keepalive = keepalive.with_interval(KEEPALIVE_INTERVAL);
    keepalive
}

/// Whether the last warning is at least `every` old.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

/// Whether the error concerns one connection, whose peer has disappeared.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
