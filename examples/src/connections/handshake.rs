//! The TLS handshake of one connection, which is then served.

use http_body::Body as HttpBody;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};

use super::ConnectionLimits;
use super::admission::Slot;
use super::connection;
use super::metrics::CloseReason;
use crate::tls::Tls;

/// Does the handshake, which may take as long as the preface, and serves the connection. A connection has its place
/// before: those that never finish a handshake are closed to make room as those without a call are.
pub(super) async fn serve<S, B>(
    tls: Tls,
    tcp: TcpStream,
    service: S,
    slot: Slot,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<()>,
) where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let accepted = tokio::select! {
        accepted = tls.accept(tcp, limits.preface_timeout) => accepted,
        () = slot.activity().asked_to_close() => {
            limits.metrics.closed(CloseReason::MadeRoom);
            return;
        }
        // It has no call yet.
        _ = stop.changed() => return,
    };
    if let Some(io) = accepted {
        connection::serve(io, service, slot, limits, stop).await;
    }
}
