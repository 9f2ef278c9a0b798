//! A layer fits wherever one would put it. That this compiles is the test.
#![allow(clippy::unwrap_used, dead_code)]

use tonic::service::{LayerExt as _, Routes};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};
use tonic_call::BoxChannel;
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_recovery_layer::{Recover, RecoveryLayer};
use tower::ServiceBuilder;

fn channel() -> Channel {
    Endpoint::from_static("http://localhost:1").connect_lazy()
}

fn server() -> RecoveryLayer {
    RecoveryLayer::server()
}

fn client() -> RecoveryLayer {
    RecoveryLayer::client()
}

fn service() -> KindsServer<KindsService> {
    KindsServer::new(KindsService::default())
}

#[allow(clippy::unnecessary_wraps)]
fn intercept(request: Request<()>) -> Result<Request<()>, Status> {
    Ok(request)
}

fn around_a_server() {
    let (incoming, _) = tonic_call_test_kit::listen();
    let _serve = Server::builder()
        .layer(server())
        .layer(server())
        .add_service(service())
        .serve_with_incoming(incoming);
}

fn around_one_service() {
    let _ = Server::builder().add_service(server().named_layer(service()));
    let _ = Routes::new(server().named_layer(server().named_layer(service())));
}

fn around_a_channel() {
    use tower::Layer as _;

    let _unary = async || KindsClient::new(client().layer(channel())).unary(Ask::default()).await;
    let _intercepted = async || {
        KindsClient::with_interceptor(client().layer(channel()), intercept)
            .unary(Ask::default())
            .await
    };
}

fn in_a_stack() {
    let stack = ServiceBuilder::new().layer(client()).layer(client());
    let _unary = async || {
        let channel = stack.service(channel());
        KindsClient::with_interceptor(channel, intercept).unary(Ask::default()).await
    };
}

fn in_an_axum_router() {
    let router: axum::Router =
        Routes::new(service()).into_axum_router().layer(server()).layer(server());
    let _ = axum::Router::new().merge(router).fallback_service(server().named_layer(service()));
}

/// A layered client has a name.
struct Billing {
    orders: KindsClient<BoxChannel>,
    exactly: KindsClient<Recover<Channel>>,
}

#[tokio::test]
async fn a_layered_client_fits_in_a_struct() {
    use tower::Layer as _;

    let layered = ServiceBuilder::new().layer(client()).layer(client()).service(channel());
    let mut billing = Billing {
        orders: KindsClient::new(BoxChannel::new(layered)),
        exactly: KindsClient::new(client().layer(channel())),
    };
    assert_eq!(
        billing.orders.unary(Ask::default()).await.unwrap_err().code(),
        tonic::Code::Unavailable
    );
    assert_eq!(
        billing.exactly.unary(Ask::default()).await.unwrap_err().code(),
        tonic::Code::Unavailable
    );
}
