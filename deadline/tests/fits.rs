//! The layers fit in every usual position.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::Code;
use tonic::transport::{Channel, Server};
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{KINDS, ask, call, methods};
use tonic_deadline_layer::{DeadlineChannel, DeadlineLayer};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
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

/// The deadline ends the calls of a gRPC-Web client whose server has the layer outside and inside of tonic-web.
#[tokio::test]
async fn with_tonic_web() {
    let layer = DeadlineLayer::server().stall(MINUTE);
    for is_outside in [true, false] {
        let (incoming, endpoint) = tonic_call_test_kit::listen();
        let (outer, inner) =
            (is_outside.then(|| layer.clone()), (!is_outside).then(|| layer.clone()));
        let server = Server::builder()
            .accept_http1(true)
            .layer(tonic_call::option_layer(outer))
            .layer(GrpcWebLayer::new())
            .layer(tonic_call::option_layer(inner))
            .add_service(service());
        tokio::spawn(server.serve_with_incoming(incoming));

        let http = Client::builder(TokioExecutor::new()).build_http();
        let channel = ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(http);
        let mut client = KindsClient::with_origin(channel, endpoint.uri().clone());
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
