use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::time::Duration;

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
use super::connection;
use crate::accept::{AcceptErrors, PAUSE};

/// Serves connections that end at an age, so that clients come back, and are balanced, verified and served by a new
/// certificate anew.
///
/// ```no_run
/// # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
/// # async fn serve(tls: tonic_tls_reload::ServerTls) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use tonic::service::Routes;
/// use tonic::transport::Server;
/// use tonic::transport::server::TcpIncoming;
/// use tonic_tls_reload::ConnectionAge;
///
/// let server = Server::builder(); // with its settings and layers
/// let routes = Routes::new(OrderServiceServer::new(Orders::default()));
/// let incoming = tls.incoming(TcpIncoming::bind("[::]:8443".parse()?)?);
/// let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
///
/// ConnectionAge::after(Duration::from_secs(30 * 60))
///     .serve(server, routes, incoming, shutdown)
///     .await;
/// # Ok(())
/// # }
/// ```
///
/// At its age, a connection gets a GOAWAY: it accepts no further calls, and ends with its last one. Clients connect
/// anew for further calls. Each connection draws its own age, up to 10 % more or less, so that clients that came
/// together don't come back together.
///
/// A call that crosses the GOAWAY can fail at its client, unseen by the server, and can be repeated: a tonic client that
/// has an open stream fails its next call with `CANCELLED` ("operation was canceled"). gRPC clients elsewhere repeat
/// such calls by themselves.
///
/// The layers of the server are applied once per connection, so what they count must be in the layer: tower's
/// `GlobalConcurrencyLimitLayer`, and not its `ConcurrencyLimitLayer`.
///
/// Calls that are open at that time go on, so a watch may live for ever. With a [`grace`](Self::grace), they end
/// `UNAVAILABLE`, and logs and metrics say that the server ended them.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionAge {
    age: Duration,
    pub(super) grace: Option<Duration>,
}

/// What part of an age is more or less: 1/10.
const JITTER: u32 = 10;

impl ConnectionAge {
    /// Ends connections at this age.
    pub fn after(age: Duration) -> Self {
        Self { age, grace: None }
    }

    /// Ends the calls that are open this long after the GOAWAY. Default: they go on.
    ///
    /// Their callers get `UNAVAILABLE`. Five seconds later, the connection is closed, even if the caller has not read
    /// that. With a grace, each call costs a few allocations more, as with a deadline.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Serves `service`, such as [`Routes`](tonic::service::Routes), with the settings and layers of `server`, on the
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
                    let age = Self { age: self.drawn(RandomState::new().hash_one(0)), ..self };
                    tokio::spawn(connection::serve(server, service, io, age, stopped.clone()));
                }
                Err(error) => {
                    if errors.must_pause(&error.into()) {
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    /// Returns when the connection has reached its age.
    pub(super) async fn reached(self) {
        sleep(self.age).await;
    }

    /// The age of one connection.
    fn drawn(self, random: u64) -> Duration {
        let least = self.age - self.age / JITTER;
        // The upper half of the bits, as a fraction of 1.
        let fraction = f64::from((random >> 32) as u32) / f64::from(u32::MAX);
        least + (self.age / JITTER * 2).mul_f64(fraction)
    }
}

/// For the type of an error that can't be.
pub(super) type Accepted<IO> = Result<IO, Infallible>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_to_both_sides() {
        let age = ConnectionAge::after(Duration::from_secs(100));
        assert_eq!(age.drawn(0).as_secs(), 90);
        assert_eq!(age.drawn(u64::MAX / 2).as_secs(), 99);
        assert_eq!(age.drawn(u64::MAX).as_secs(), 110);
        ConnectionAge::after(Duration::MAX).drawn(0);
    }
}
