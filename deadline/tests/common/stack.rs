use std::future::{Future, pending};
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_call::{BoxChannel, BoxError, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::{Kinds, KindsServer};
use tonic_call_test_kit::{KindsService, Recorder, listen};
use tonic_deadline_layer::{ClientDeadlineLayer, DeadlineLayer};
use tower::util::MapFutureLayer;
use tower::{Layer, Service, ServiceBuilder};

/// A server of [`KindsService`] with an observer on either side of its deadline layer. It is stopped when this is
/// dropped.
pub(crate) struct Served {
    pub(crate) outside: Recorder,
    pub(crate) inside: Recorder,
    pub(crate) service: KindsService,
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

/// Starts a server with these layers, outermost first.
pub(crate) fn serve<L, B, K>(layers: L, kinds: K) -> (SocketAddr, JoinHandle<()>)
where
    K: Kinds,
    L: Layer<Routes> + Clone + Send + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
    <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    serve_with(Server::builder(), layers, kinds)
}

/// Starts this server with these layers, outermost first.
pub(crate) fn serve_with<L, B, K>(
    server: Server,
    layers: L,
    kinds: K,
) -> (SocketAddr, JoinHandle<()>)
where
    K: Kinds,
    L: Layer<Routes> + Clone + Send + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
    <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (incoming, _) = listen();
    let incoming = incoming.with_nodelay(Some(true));
    let address = incoming.local_addr().unwrap();
    // h2 closes a connection whose client has reset twenty streams that a busy server has not accepted yet. Deadlines
    // that pass do that, with the layer and without it.
    let server = server.http2_max_pending_accept_reset_streams(Some(10_000));
    let mut server = server.layer(layers);
    let server = server.add_service(KindsServer::new(kinds));
    let task = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    (address, task)
}

/// Does not return the response that the handler has made, if it `holds` it.
pub(crate) async fn hold<F: Future>(response: F, holds: bool) -> F::Output {
    let response = response.await;
    if holds {
        pending::<()>().await;
    }
    response
}

impl Served {
    pub(crate) fn start(layer: DeadlineLayer) -> Self {
        Self::start_holding(layer, false)
    }

    /// Starts a server; with `holds_heads`, no response leaves the handler.
    pub(crate) fn start_holding(layer: DeadlineLayer, holds_heads: bool) -> Self {
        let (outside, inside) = (Recorder::new(), Recorder::new());
        let service = KindsService::default();
        let layers = ServiceBuilder::new()
            .layer(ObserveLayer::server(outside.clone()))
            .layer(layer)
            .layer(ObserveLayer::server(inside.clone()))
            .layer(MapFutureLayer::new(
                move |response: <Routes as Service<Request<Body>>>::Future| {
                    hold(response, holds_heads)
                },
            ));
        let (address, task) = serve(layers, service.clone());
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self { outside, inside, service, endpoint, address, task }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client with an observer on either side of its deadline layer.
pub(crate) struct Client {
    pub(crate) outside: Recorder,
    pub(crate) inside: Recorder,
    pub(crate) kinds: KindsClient<BoxChannel>,
}

impl Client {
    pub(crate) fn new(layer: ClientDeadlineLayer, channel: Channel) -> Self {
        let (outside, inside) = (Recorder::new(), Recorder::new());
        let channel = ServiceBuilder::new()
            .layer(ObserveLayer::client(outside.clone()))
            .layer(layer)
            .layer(ObserveLayer::client(inside.clone()))
            .service(channel);
        Self { outside, inside, kinds: KindsClient::new(BoxChannel::new(channel)) }
    }
}
