//! Over a real socket, with tonic's own server and client, on both sides.

use std::time::Duration;

use http::Request;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_call::{CODES, MethodKind, Observe, Side, code_name};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KINDS, KindsService, ask, call, listen, method_of, silence_panics};
use tonic_logging_layer::{Logging, LoggingLayer, default_level};
use tonic_recovery_layer::RecoveryLayer;
use tower::Layer as _;
use tracing::Level;

use crate::common::{self, HANDLER, Lines, Seen, TARGET, described};

struct Pair {
    lines: Lines,
    service: KindsService,
    kinds: KindsClient<Observe<Channel, Logging>>,
}

async fn pair() -> Pair {
    let lines = Lines::listen();
    let service = KindsService::default();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(described(Side::Server))
            .layer(RecoveryLayer::server())
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let channel = endpoint.connect().await.unwrap();
    let kinds = KindsClient::new(described(Side::Client).layer(channel));
    Pair { lines, service, kinds }
}

impl Pair {
    /// Takes the two lines of the only call: the server's, then the client's.
    async fn both(&self) -> [Seen; 2] {
        self.lines.until_finished(2).await;
        let mut all = self.lines.take();
        all.retain(|seen| seen.target == TARGET);
        all.sort_by_key(|line| line.side() == "client");
        let [server, client] = <[Seen; 2]>::try_from(all).unwrap();
        assert_eq!((server.side(), client.side()), ("server", "client"));
        [server, client]
    }
}

#[tokio::test]
async fn every_code_of_every_kind_is_one_line_on_each_side() {
    let mut pair = pair().await;
    for kind in KINDS {
        for code in CODES {
            let act = if code == Code::Ok { Act::Unspecified } else { Act::Fail };
            let ask = Ask { code: code as i32, ..ask(act, 3) };
            assert_eq!(call(&mut pair.kinds, kind, ask, &[]).await.code, code);
            let lines = pair.both().await;
            for (line, side) in lines.iter().zip(common::SIDES) {
                let case = format!("{side:?} {kind:?} {code:?}");
                assert_eq!(line.ending(), (code_name(code), "service"), "{case}");
                assert_eq!(line.level, default_level(side, code), "{case}");
                assert_eq!(line.text("rpc.method"), Some(method_of(kind)));
                assert_eq!(line.text("grpc.method_type"), Some(kind.as_str()));
                let message = (code != Code::Ok).then_some("on purpose");
                assert_eq!(line.text("grpc.status_message"), message, "{case}");
                let requests = if kind == MethodKind::ClientStream { 2 } else { 1 };
                let responses = match (kind.has_one_response(), code) {
                    (true, Code::Ok) => 1,
                    (true, _) => 0,
                    (false, _) => 3,
                };
                assert_eq!(line.messages(), (requests, responses), "{case}");
            }
            let [server, client] = lines;
            for key in ["grpc.request.bytes", "grpc.response.bytes"] {
                assert_eq!(server.number(key), client.number(key));
            }
        }
    }
}

#[tokio::test]
async fn a_servers_line_tells_who_called_and_a_clients_does_not() {
    let pair = pair().await;
    let mut request = tonic::Request::new(ask(Act::Unspecified, 0));
    request.set_timeout(Duration::from_secs(5));
    request.metadata_mut().insert("x-request-id", "8f14e45f".parse().unwrap());
    let response = pair.kinds.clone().unary(request).await.unwrap();
    drop(response);
    let [server, client] = pair.both().await;
    assert_eq!(server.text("network.peer.address"), Some("127.0.0.1"));
    assert!((1_024..=65_535).contains(&server.number("network.peer.port").unwrap()));
    assert!(server.text("user_agent.original").unwrap().starts_with("tonic/"));
    for key in ["network.peer.address", "network.peer.port", "user_agent.original"] {
        assert!(!client.fields.contains_key(key), "{key}");
    }
    for line in [&server, &client] {
        assert_eq!(line.number("grpc.timeout_ms"), Some(5_000));
        assert_eq!(line.text("request_id"), Some("8f14e45f"));
    }
}

#[tokio::test]
async fn a_call_that_its_caller_cancels_is_one_line_on_each_side() {
    let mut pair = pair().await;

    // Before the head.
    let mut other = pair.kinds.clone();
    let running = tokio::spawn(async move { other.unary(ask(Act::Hang, 0)).await });
    pair.service.until_alive(1).await;
    running.abort();
    for line in pair.both().await {
        assert_eq!(line.ending(), ("CANCELLED", "caller"));
        assert_eq!(line.messages(), (1, 0));
    }

    // In the middle of the stream.
    let mut notes = pair.kinds.server_stream(ask(Act::Hang, 2)).await.unwrap().into_inner();
    for _ in 0..2 {
        notes.message().await.unwrap().unwrap();
    }
    drop(notes);
    for line in pair.both().await {
        assert_eq!((line.ending(), line.messages()), (("CANCELLED", "caller"), (1, 2)));
    }

    // While the caller is still sending.
    let (sender, receiver) = mpsc::channel(1);
    let mut other = pair.kinds.clone();
    let running =
        tokio::spawn(async move { other.client_stream(ReceiverStream::new(receiver)).await });
    sender.send(ask(Act::Unspecified, 0)).await.unwrap();
    pair.service.until_alive(1).await;
    running.abort();
    for line in pair.both().await {
        assert_eq!(line.ending(), ("CANCELLED", "caller"));
    }

    // The response body is never read.
    let response = pair.kinds.server_stream(ask(Act::Hang, 1)).await.unwrap();
    drop(response);
    for line in pair.both().await {
        assert_eq!(line.ending(), ("CANCELLED", "caller"));
    }
}

#[tokio::test]
async fn a_panic_in_a_handler_or_a_stream_is_one_line_on_each_side() {
    silence_panics();
    let mut pair = pair().await;
    for kind in KINDS {
        for act in [Act::PanicInHandler, Act::Panic] {
            call(&mut pair.kinds, kind, ask(act, 0), &[]).await;
            let [server, client] = pair.both().await;
            assert_eq!(server.ending(), ("INTERNAL", "panic"), "{kind:?} {act:?}");
            assert_eq!(server.level, Level::ERROR);
            assert_eq!(client.ending(), ("INTERNAL", "service"), "{kind:?} {act:?}");
            assert_eq!(client.text("grpc.status_message"), Some("internal error"));
        }
    }
}

#[tokio::test]
async fn a_call_that_its_server_times_out_was_ended_by_its_deadline() {
    let lines = Lines::listen();
    let (incoming, _) = listen();
    let address = incoming.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .layer(described(Side::Server))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    // A client without its own timer.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method("POST")
        .uri("http://localhost/test.v1.Kinds/ClientStream")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "50m")
        .body(())
        .unwrap();
    let (response, _body) = client.send_request(request, false).unwrap();
    response.await.unwrap();
    let line = lines.until_finished(1).await.remove(0);
    assert_eq!(line.ending(), ("DEADLINE_EXCEEDED", "deadline"));
    assert_eq!((line.level, line.number("grpc.timeout_ms")), (Level::WARN, Some(50)));
}

#[tokio::test]
async fn a_refused_connection_is_unavailable_and_says_so_in_words() {
    let lines = Lines::listen();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut kinds = KindsClient::new(LoggingLayer::client().layer(channel));
    kinds.unary(Ask::default()).await.unwrap_err();
    let line = lines.take_only();
    assert_eq!((line.code(), line.level), ("UNAVAILABLE", Level::WARN));
    let message = line.text("grpc.status_message").unwrap();
    assert!(message.contains("error"), "{message}");
}

/// Regression: the message was only `transport error`.
#[tokio::test]
async fn a_refused_connection_says_that_it_was_refused() {
    let lines = Lines::listen();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut kinds = KindsClient::new(LoggingLayer::client().layer(channel));
    kinds.unary(Ask::default()).await.unwrap_err();
    let line = lines.take_only();
    let message = line.text("grpc.status_message").unwrap();
    assert!(message.to_lowercase().contains("refused"), "{message}");
}

#[tokio::test]
async fn a_path_that_is_not_served_is_info_and_told_as_it_came() {
    let lines = Lines::listen();
    for layer in [LoggingLayer::server(), described(Side::Server)] {
        let (incoming, _) = listen();
        let address = incoming.local_addr().unwrap();
        tokio::spawn(
            Server::builder()
                .layer(layer)
                .add_service(KindsServer::new(KindsService::default()))
                .serve_with_incoming(incoming),
        );
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for (path, told) in
            [("/a.B/C", "a.B/C"), ("/.env", "/.env"), ("/test.v1.Kinds/No?q=1", "test.v1.Kinds/No")]
        {
            let request = Request::builder()
                .method("POST")
                .uri(format!("http://localhost{path}"))
                .header("content-type", "application/grpc")
                .body(())
                .unwrap();
            let mut client = client.clone().ready().await.unwrap();
            client.send_request(request, true).unwrap().0.await.unwrap();
            lines.until_finished(1).await;
            let line = lines.take_only();
            assert_eq!((line.code(), line.level), ("UNIMPLEMENTED", Level::INFO));
            assert_eq!(line.text("rpc.method"), Some(told));
        }
    }
}

#[tokio::test]
async fn what_a_real_handler_says_carries_the_calls_fields() {
    let lines = Lines::listen();
    let (incoming, endpoint) = listen();
    let speaks = tower::layer::layer_fn(|inner| {
        tower::util::MapRequest::new(inner, |request: Request<tonic::body::Body>| {
            tracing::info!("in the service");
            request
        })
    });
    tokio::spawn(
        Server::builder()
            .layer(described(Side::Server))
            .layer(speaks)
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let mut kinds = KindsClient::new(endpoint.connect().await.unwrap());
    for kind in KINDS {
        let metadata = [("x-request-id", kind.as_str())];
        call(&mut kinds, kind, ask(Act::Unspecified, 1), &metadata).await;
        lines.until_finished(1).await;
        let events = lines.take();
        let said = events.iter().find(|seen| seen.message() == "in the service").unwrap();
        let [span] = &said.spans[..] else { panic!("one span, not {:#?}", said.spans) };
        assert_eq!(span.target, HANDLER);
        assert_eq!(span.fields["rpc.method"], method_of(kind));
        assert_eq!(span.fields["request_id"], kind.as_str());
    }
}
