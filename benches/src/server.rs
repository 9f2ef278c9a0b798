use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call::{BoxError, ObserveLayer};
use tonic_call_test_kit::listen;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_recovery_layer::RecoveryLayer;
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::nothing::Nothing;
use crate::service::AtOnce;

/// A server on loopback, bare or behind a layer. It serves until its runtime ends.
#[derive(Debug)]
pub struct Server {
    /// What stands around its service.
    pub name: &'static str,
    /// How to call it.
    pub endpoint: Endpoint,
}

/// Bare first; then each layer, followed by what one would use instead.
///
/// # Panics
///
/// Outside a tokio runtime, or if there is no free port.
pub fn servers() -> Vec<Server> {
    let observe = || ObserveLayer::server(Nothing);
    let three = tower::ServiceBuilder::new().layer(observe()).layer(observe()).layer(observe());
    vec![
        Server::new("bare", Identity::new()),
        Server::new("1 observer", observe()),
        Server::new("3 observers", three.into_inner()),
        Server::new("recovery", RecoveryLayer::server()),
        Server::new("tower-http catch-panic", tower_http::catch_panic::CatchPanicLayer::new()),
    ]
}

impl Server {
    fn new<L, B>(name: &'static str, layer: L) -> Self
    where
        L: Layer<Routes> + Clone + Send + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (incoming, endpoint) = listen();
        let serve = tonic::transport::Server::builder()
            .layer(layer)
            .add_service(KindsServer::new(AtOnce))
            .serve_with_incoming(incoming);
        tokio::spawn(serve);
        Self { name, endpoint }
    }
}
