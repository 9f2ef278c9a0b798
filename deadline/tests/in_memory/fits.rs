//! The layers fit in every usual position.

use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::Code;
use tonic::transport::{Channel, Server};
use tonic_call::MethodKind;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{KINDS, ask, call, methods};
use tonic_deadline_layer::{DeadlineChannel, DeadlineLayer, MethodTable};
use tonic_web::{GrpcWebCall, GrpcWebClientLayer, GrpcWebClientService, GrpcWebLayer};
use tower::ServiceBuilder;

tonic_call_test_kit::fits! {
    server: DeadlineLayer::server(),
    client: DeadlineLayer::client(None),
    channel: DeadlineChannel<Channel>,
}

const MINUTE: Duration = Duration::from_secs(60);

/// The same with limits, whose calls run in another way.
mod limited {
    use super::*;

    tonic_call_test_kit::fits! {
        server: DeadlineLayer::server().methods(&methods()).default(MINUTE).stall(MINUTE),
        client: DeadlineLayer::client(MINUTE).methods(&methods()),
        channel: DeadlineChannel<Channel>,
    }
}

/// The same as an optional layer.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(DeadlineLayer::server())),
        client: option_layer(Some(DeadlineLayer::client(None))),
        channel: OptionService<DeadlineChannel<Channel>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(DeadlineLayer::server()).filter(|_| false)),
        client: option_layer(Some(DeadlineLayer::client(None)).filter(|_| false)),
        channel: OptionService<DeadlineChannel<Channel>, Channel>,
    }
}

/// A client's service that speaks gRPC-Web over HTTP/1.1.
type WebClient = GrpcWebClientService<Client<HttpConnector, GrpcWebCall<tonic::body::Body>>>;

fn web_client() -> WebClient {
    let http = Client::builder(TokioExecutor::new()).build_http();
    ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(http)
}

/// Serves with the layer outside or inside of tonic-web.
fn serve_web(is_outside: bool) -> http::Uri {
    let (incoming, endpoint) = tonic_call_test_kit::listen();
    let layer = || DeadlineLayer::server().stall(MINUTE);
    let server = Server::builder()
        .accept_http1(true)
        .layer(tonic_call::option_layer(is_outside.then(layer)))
        .layer(GrpcWebLayer::new())
        .layer(tonic_call::option_layer((!is_outside).then(layer)))
        .add_service(service());
    tokio::spawn(server.serve_with_incoming(incoming));
    endpoint.uri().clone()
}

#[tokio::test]
async fn on_a_server_with_tonic_web() {
    for is_outside in [true, false] {
        let mut client = KindsClient::with_origin(web_client(), serve_web(is_outside));
        for kind in KINDS {
            let ended =
                call(&mut client, kind, ask(Act::Hang, 2), &[("grpc-timeout", "50m")]).await;
            let seen = (ended.code, ended.message.as_str());
            assert_eq!(
                seen,
                (Code::DeadlineExceeded, "the caller's deadline has passed"),
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn on_a_client_with_tonic_web() {
    let limit = MethodTable::new(None).service("test.v1.Kinds", Some(Duration::from_millis(50)));
    let layer = DeadlineLayer::client(limit).methods(&methods());
    let channel = ServiceBuilder::new().layer(layer).service(web_client());
    let mut client = KindsClient::with_origin(channel, serve_web(true));
    let ended = call(&mut client, MethodKind::Unary, ask(Act::Hang, 2), &[]).await;
    assert_eq!(ended.code, Code::DeadlineExceeded);
    assert_eq!(ended.message, "the client's limit of 50ms for this call has passed");
}
