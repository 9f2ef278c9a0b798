//! Serves one connection until its age.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic_call::{BoxError, GrpcService, option_layer};
use tower_layer::Layer;
use tower_service::Service;

use super::calls::{AgedService, OpenCalls};
use super::config::ConnectionAge;
use super::io::{AgedConnection, Control};

/// How long the callers have to read that their calls were cut, and a client to begin HTTP/2: before, it gets no GOAWAY.
const LINGER: Duration = Duration::from_secs(5);

/// Serves a connection by a server of its own, which shuts down at the age of the connection: this sends the GOAWAY.
pub(super) async fn serve<L, S, B, IO>(
    server: Server<L>,
    service: S,
    io: IO,
    age: ConnectionAge,
    stopped: watch::Receiver<()>,
) where
    L: Layer<AgedService<S>> + Clone + Send + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
    <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send + 'static,
    S: GrpcService + Clone + Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let calls = age.grace.map(|_| OpenCalls::default());
    let service = option_layer(calls.clone()).layer(service);
    let (io, control) = AgedConnection::new(io);
    let (goaway, shutdown) = oneshot::channel::<()>();
    // It would shut down at the end of the stream.
    let one = tokio_stream::once(Ok::<_, Infallible>(io)).chain(tokio_stream::pending());
    let shutdown = async { _ = shutdown.await };
    let mut serving = pin!(server.serve_with_incoming_shutdown(service, one, shutdown));
    tokio::select! {
        // It fails only if a connection can't be made to a service, which can't be.
        _ = &mut serving => {}
        () = end(control, goaway, age, calls, stopped) => { _ = serving.await; }
    }
}

/// Ends the connection at its age. Returns when there is nothing more to do but to wait for its end.
async fn end(
    control: Control,
    goaway: oneshot::Sender<()>,
    age: ConnectionAge,
    calls: Option<OpenCalls>,
    mut stopped: watch::Receiver<()>,
) {
    let Control { intact, begun, gone } = control;
    let aged = tokio::select! {
        () = sleep(age.draw()) => true,
        _ = stopped.changed() => false,
        // Without a GOAWAY, the server of this connection would wait for it.
        _ = gone => false,
    };
    drop(goaway);
    let cut = async {
        let (true, Some(grace), Some(calls)) = (aged, age.grace, calls) else {
            return std::future::pending().await;
        };
        sleep(grace).await;
        let cut = calls.end_all();
        tracing::debug!(target: "tonic_tls_reload", calls = cut, "a connection is past its age and grace: its calls were ended");
        sleep(LINGER).await;
    };
    let silent = async {
        if timeout(LINGER, begun).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = cut => {}
        () = silent => {}
    }
    drop(intact);
    std::future::pending::<()>().await;
}
