//! Serves the connections of an incoming, each until its age.

use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic_call::{BoxError, GrpcService};
use tower_layer::Layer;
use tower_service::Service;

use super::calls::AgedService;
use super::config::ConnectionAge;
use super::connection;
use crate::accept::{AcceptErrors, PAUSE};

impl ConnectionAge {
    /// Serves `service`, such as tonic's `Routes`, with the settings and layers of `server`, on the
    /// connections of `incoming`, until `shutdown` completes. Then it drops `incoming`, sends each connection a
    /// GOAWAY, and waits for their last calls.
    ///
    /// tonic's own `max_connection_age` is better not set: its grace sends no GOAWAY.
    pub async fn serve<L, S, B, I, IO, E>(
        self,
        server: Server<L>,
        service: S,
        incoming: I,
        shutdown: impl Future<Output = ()>,
    ) where
        L: Layer<AgedService<S>> + Clone + Send + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send + 'static,
        S: GrpcService + Clone + Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        I: Stream<Item = Result<IO, E>>,
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        E: Into<BoxError>,
    {
        let (stop, stopped) = watch::channel(());
        {
            let accepting = self.accept(server, service, incoming, &stopped);
            tokio::select! {
                biased;
                () = shutdown => {}
                () = accepting => {}
            }
        }
        // An error: there are no connections.
        _ = stop.send(());
        drop(stopped);
        stop.closed().await;
    }

    async fn accept<L, S, B, I, IO, E>(
        self,
        server: Server<L>,
        service: S,
        incoming: I,
        stopped: &watch::Receiver<()>,
    ) where
        L: Layer<AgedService<S>> + Clone + Send + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send + 'static,
        S: GrpcService + Clone + Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        I: Stream<Item = Result<IO, E>>,
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        E: Into<BoxError>,
    {
        let mut incoming = pin!(incoming);
        let mut errors = AcceptErrors::default();
        while let Some(accepted) = incoming.next().await {
            match accepted {
                Ok(io) => {
                    let (server, service) = (server.clone(), service.clone());
                    tokio::spawn(connection::serve(server, service, io, self, stopped.clone()));
                }
                Err(error) => {
                    if errors.must_pause(&error.into()) {
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }
}
