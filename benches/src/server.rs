use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call::BoxError;
use tonic_call_test_kit::listen;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_deadline_layer::DeadlineLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::layer::util::Identity;
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;

use crate::configured::{
    logging, metrics, metrics_and_logging, observe, tonic_prometheus, tonic_tracing_opentelemetry,
    trace, tracing,
};
use crate::deadlines::HOUR;
use crate::limits::{BURST, ByPeer, EACH, by_peer, governor, ours, three};
use crate::listener::Listener;
use crate::service::AtOnce;
use crate::tokens::Issuer;

/// A server on loopback, bare or behind a layer. It serves until its runtime ends.
#[derive(Debug)]
pub struct Server {
    /// The name of the layer around the service.
    pub name: &'static str,
    /// The endpoint to connect to.
    pub endpoint: Endpoint,
    /// The deadline that its calls have.
    pub timeout: Option<Duration>,
}

/// The bare server first, then each layer followed by its alternative. The selection depends on the
/// subscriber.
///
/// # Panics
///
/// Outside a tokio runtime, or if there is no free port.
pub fn servers(listener: Listener) -> Vec<Server> {
    let bare = Server::new("bare", Identity::new());
    match listener {
        Listener::Nobody => {
            let observers =
                ServiceBuilder::new().layer(observe()).layer(observe()).layer(observe());
            vec![
                bare,
                Server::new("1 observer", observe()),
                Server::new("3 observers", observers.into_inner()),
                Server::new("recovery", RecoveryLayer::server()),
                Server::new("tower-http catch-panic", CatchPanicLayer::new()),
                Server::new("metrics", metrics()),
                Server::new("tonic_prometheus_layer", tonic_prometheus()),
                Server::new("logging", logging()),
                Server::new("tower-http trace", trace()),
                Server::new("ratelimit by peer", ours(by_peer())),
                Server::new("ratelimit, three quotas", ours(three())),
                Server::new("tower_governor by peer", governor(ByPeer, EACH, BURST)),
                Server::new("deadline, no deadline", DeadlineLayer::server()),
                Server::new("deadline", DeadlineLayer::server()).with_timeout(HOUR),
                Server::new("deadline, stall", DeadlineLayer::server().stall(HOUR)),
                Server::new("tower timeout", TimeoutLayer::new(HOUR)),
            ]
        }
        Listener::Json => {
            let peers = ServiceBuilder::new().layer(tonic_prometheus()).layer(trace());
            vec![
                bare,
                Server::new("logging", logging()),
                Server::new("tower-http trace", trace()),
                Server::new("metrics, logging in one", metrics_and_logging()),
                Server::new("their two peers", peers.into_inner()),
            ]
        }
        Listener::Spans => vec![
            bare,
            Server::new("tracing", tracing()),
            Server::new("tonic-tracing-opentelemetry", tonic_tracing_opentelemetry()),
        ],
    }
}

/// The bare server, which accepts every call; our layer with its defaults, our layer without a limit of failures,
/// and the alternative.
///
/// # Panics
///
/// Outside a tokio runtime, or if there is no free port.
pub fn verifying_servers(issuer: &Issuer) -> Vec<Server> {
    vec![
        Server::new("bare", Identity::new()),
        Server::new("auth", issuer.limiting_layer()),
        Server::new("auth, any failures", issuer.layer(10_000)),
        Server::new("jsonwebtoken", issuer.interceptor()),
    ]
}

/// The endpoints of this many bare servers.
///
/// # Panics
///
/// Outside a tokio runtime, or if there are not enough free ports.
pub fn bare_servers(count: usize) -> Vec<Endpoint> {
    (0..count).map(|_| Server::new("bare", Identity::new()).endpoint).collect()
}

impl Server {
    pub(crate) fn new<L, B>(name: &'static str, layer: L) -> Self
    where
        L: Layer<Routes> + Clone + Send + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (incoming, endpoint) = listen();
        // tonic sets this on its own listeners. Without it, a short response may wait 40 ms for the client's
        // acknowledgement of the previous one.
        let incoming = incoming.with_nodelay(Some(true));
        let serve = tonic::transport::Server::builder()
            .layer(layer)
            .add_service(KindsServer::new(AtOnce))
            .serve_with_incoming(incoming);
        tokio::spawn(serve);
        Self { name, endpoint, timeout: None }
    }

    fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}
