//! An optional layer, over a real socket: with `None`, calls work as without the layer.

use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic_call::{BoxChannel, ObserveLayer, OptionService, option_layer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KINDS, KindsService, Outcome, Recorder, ask, call, listen};
use tower::{Layer as _, ServiceBuilder};

type Service = KindsServer<KindsService>;

/// A client and a server with such layers, and what the layers recorded.
async fn pair(is_on: bool) -> (KindsClient<BoxChannel>, Recorder, Recorder) {
    let (server, client) = (Recorder::new(), Recorder::new());
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(option_layer(is_on.then(|| ObserveLayer::server(server.clone()))))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let channel = ServiceBuilder::new()
        .layer(option_layer(is_on.then(|| ObserveLayer::client(client.clone()))))
        .service(endpoint.connect().await.unwrap());
    (KindsClient::new(BoxChannel::new(channel)), server, client)
}

#[tokio::test]
async fn calls_of_every_kind_end_the_same_with_and_without_the_layer() {
    for is_on in [true, false] {
        let (mut kinds, server, client) = pair(is_on).await;
        for kind in KINDS {
            let notes = if kind.has_one_response() { 1 } else { 3 };
            let outcome = call(&mut kinds, kind, ask(Act::Unspecified, 3), &[]).await;
            assert_eq!(outcome, Outcome::ok(notes), "{kind:?}, {is_on}");
            let fails = Ask { code: 5, ..ask(Act::Fail, 2) };
            let outcome = call(&mut kinds, kind, fails, &[]).await;
            assert_eq!(outcome.code, Code::NotFound, "{kind:?}, {is_on}");
        }
        let seen = if is_on { 2 * KINDS.len() } else { 0 };
        // The server ends its calls before the client does.
        for (side, recorder) in [("server", &server), ("client", &client)] {
            assert_eq!(recorder.ended().len(), seen, "{side}, {is_on}");
        }
    }
}

#[tokio::test]
async fn a_dropped_stream_ends_the_same_with_and_without_the_layer() {
    for is_on in [true, false] {
        let service = KindsService::default();
        let (incoming, endpoint) = listen();
        let layer = option_layer(is_on.then(|| ObserveLayer::server(Recorder::new())));
        tokio::spawn(
            Server::builder()
                .layer(layer)
                .add_service(KindsServer::new(service.clone()))
                .serve_with_incoming(incoming),
        );
        let mut kinds = KindsClient::new(endpoint.connect().await.unwrap());
        let mut notes = kinds.server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
        notes.next().await.unwrap().unwrap();
        service.until_alive(1).await;
        drop(notes);
        service.until_alive(0).await;
    }
}

#[test]
fn one_service_keeps_its_name() {
    fn name<S: NamedService>(_: &S) -> &'static str {
        S::NAME
    }
    let one = || KindsServer::new(KindsService::default());
    for layer in [Some(ObserveLayer::server(Recorder::new())), None] {
        let service: OptionService<_, Service> = option_layer(layer).layer(one());
        assert_eq!(name(&service), Service::NAME);
        let _ = Server::builder().add_service(service);
    }
}
