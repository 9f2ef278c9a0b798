use http::{Request, Response, Uri};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_call::BoxError;
use tonic_call_test_kit::listen;
use tonic_connect_layer::ConnectLayer;
use tower::layer::layer_fn;
use tower::layer::util::Identity;
use tower::{Layer, Service};

use super::shop::v1::shop_server::ShopServer;
use super::subject::Through;
use super::{peer, shop};

/// Serves on loopback, over HTTP/1.1 and HTTP/2, until the runtime ends. Each is served by tonic's server, so that
/// only the services differ. Returns the address.
///
/// # Panics
///
/// Outside a tokio runtime, or if there is no free port.
pub fn serve(through: Through) -> Uri {
    match through {
        Through::Direct => listen_with(Identity::new()),
        Through::Layer => {
            listen_with(ConnectLayer::new(shop::FILE_DESCRIPTOR_SET).expect("it is one"))
        }
        Through::Connectrpc => listen_with(layer_fn(|_: Routes| peer::service())),
    }
}

fn listen_with<L, B>(layer: L) -> Uri
where
    L: Layer<Routes> + Clone + Send + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
    <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (incoming, endpoint) = listen();
    let serve = tonic::transport::Server::builder()
        .accept_http1(true)
        .layer(layer)
        .add_service(ShopServer::new(shop::AtOnce::default()))
        .serve_with_incoming(incoming.with_nodelay(Some(true)));
    tokio::spawn(serve);
    endpoint.uri().clone()
}
