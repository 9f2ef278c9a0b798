//! Which party ended a failed call, over real sockets: the service, its caller, the transport, or the server's
//! own limits.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};
use tonic_call::{EndedBy, Observe, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Ended, KindsService, Recorded, Recorder, ask, listen};
use tower::Layer as _;

type Client = KindsClient<Observe<Channel, Recorder>>;

fn client(address: &str) -> (Client, Recorder) {
    let recorder = Recorder::new();
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    (KindsClient::new(ObserveLayer::client(recorder.clone()).layer(channel)), recorder)
}

async fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn served() -> String {
    let (listener, address) = bound().await;
    let kinds = KindsServer::new(KindsService::default());
    let server = Server::builder().add_service(kinds);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

fn long() -> Ask {
    Ask { text: "x".repeat(1_000), ..Ask::default() }
}

async fn only(recorder: &Recorder) -> Recorded {
    recorder.until_ended(1).await.remove(0)
}

#[tokio::test]
async fn a_refused_connection_is_the_transports() {
    let (listener, address) = bound().await;
    drop(listener);
    let (mut client, recorder) = client(&address);
    let status = client.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let call = only(&recorder).await;
    assert_eq!((call.code, call.by), (Code::Unavailable, EndedBy::Transport));
}

#[tokio::test]
async fn a_connection_that_is_reset_is_the_transports() {
    let (listener, address) = bound().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            // The call has arrived; the connection ends without a response.
            let _call = connection.accept().await;
            connection.abrupt_shutdown(h2::Reason::INTERNAL_ERROR);
            let _ = std::future::poll_fn(|cx| connection.poll_closed(cx)).await;
        }
    });
    let (mut client, recorder) = client(&address);
    client.unary(Ask::default()).await.unwrap_err();
    let call = only(&recorder).await;
    assert_eq!((call.code, call.by), (Code::Unavailable, EndedBy::Transport), "{call:?}");
}

#[tokio::test]
async fn a_tcp_reset_during_a_call_is_the_transports() {
    let (listener, address) = bound().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // The kernel sends RST if unread data is left when a socket is closed.
        stream.readable().await.unwrap();
        drop(stream);
    });
    let (mut client, recorder) = client(&address);
    client.server_stream(Ask::default()).await.unwrap_err();
    let call = only(&recorder).await;
    assert_eq!((call.code, call.by), (Code::Unavailable, EndedBy::Transport), "{call:?}");
}

#[tokio::test]
async fn a_proxys_answer_is_the_transports() {
    let (listener, address) = bound().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let head = Response::builder().status(StatusCode::BAD_GATEWAY);
            let head = head.header("content-type", "text/html").body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(b"<html>"), true).unwrap();
        }
    });
    let (mut client, recorder) = client(&address);
    // tonic reads the page as a message, and returns `INTERNAL`.
    client.unary(Ask::default()).await.unwrap_err();
    let call = only(&recorder).await;
    assert_eq!((call.ended, call.code), (Ended::Missing, Code::Unavailable));
    assert_eq!(call.by, EndedBy::Transport);
}

#[tokio::test]
async fn a_services_answer_is_the_services() {
    let (mut client, recorder) = client(&served().await);
    let fails = Ask { code: Code::Unavailable as i32, ..ask(Act::Fail, 0) };
    client.unary(fails).await.unwrap_err();
    let call = only(&recorder).await;
    assert_eq!((call.code, call.by), (Code::Unavailable, EndedBy::Service));
}

#[tokio::test]
async fn a_message_over_the_clients_own_limit_is_the_callers_and_its_error_says_why() {
    let (client, recorder) = client(&served().await);
    let mut client = client.max_encoding_message_size(100);
    let status = client.unary(long()).await.unwrap_err();
    let call = only(&recorder).await;
    assert_eq!((call.ended, call.code, call.by), (Ended::Error, Code::OutOfRange, EndedBy::Caller));
    let text = call.message.unwrap();
    assert!(text.contains("encoded message length too large"), "{text}; caller: {status:?}");

    // In a stream, after messages that were short enough.
    let asks = tokio_stream::iter([Ask::default(), Ask::default(), long()]);
    let stream = client.bidi_stream(asks).await;
    if let Ok(notes) = stream {
        let mut notes = notes.into_inner();
        while let Ok(Some(_)) = notes.message().await {}
    }
    let call = recorder.until_ended(2).await.remove(1);
    assert_eq!((call.code, call.by), (Code::OutOfRange, EndedBy::Caller), "{call:?}");
}

/// A server with tonic's own timeout, and a client without one.
async fn times_out(layer: ObserveLayer<Recorder>) -> KindsClient<Channel> {
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .timeout(Duration::from_millis(50))
        .layer(layer)
        .add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(server.serve_with_incoming(incoming));
    KindsClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn a_call_that_the_servers_timeout_ends_is_a_deadline_if_the_timeout_is_set() {
    let recorder = Recorder::new();
    let layer = ObserveLayer::server(recorder.clone()).server_timeout(Duration::from_millis(50));
    let client = times_out(layer).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = client.clone();
        calls.spawn(async move { client.unary(ask(Act::Hang, 0)).await });
    }
    let answers: Vec<Status> =
        calls.join_all().await.into_iter().map(|answer| answer.unwrap_err()).collect();
    assert!(answers.iter().all(|status| status.message() == "Timeout expired"), "{answers:?}");
    for call in recorder.until_ended(20).await {
        assert_eq!((call.code, call.by), (Code::DeadlineExceeded, EndedBy::Deadline), "{call:?}");
        assert_eq!(call.ended, Ended::Dropped { responded: false });
        assert!(call.message.unwrap().contains("server's own timeout"));
    }
}

#[tokio::test]
async fn a_server_timeout_that_is_not_set_looks_like_a_caller_that_left() {
    let recorder = Recorder::new();
    let mut client = times_out(ObserveLayer::server(recorder.clone())).await;
    client.unary(ask(Act::Hang, 0)).await.unwrap_err();
    let call = only(&recorder).await;
    assert_eq!((call.code, call.by), (Code::Cancelled, EndedBy::Caller));
}

#[tokio::test]
async fn a_caller_that_leaves_early_or_mid_stream_is_not_a_server_timeout() {
    let recorder = Recorder::new();
    let service = KindsService::default();
    let (incoming, endpoint) = listen();
    let layer = ObserveLayer::server(recorder.clone()).server_timeout(Duration::from_secs(3_600));
    let server = Server::builder().layer(layer).add_service(KindsServer::new(service.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut client = KindsClient::new(endpoint.connect().await.unwrap());
    let mut other = client.clone();
    let call = tokio::spawn(async move { other.unary(ask(Act::Hang, 0)).await });
    service.until_alive(1).await;
    call.abort();
    assert_eq!(only(&recorder).await.by, EndedBy::Caller);

    // The timeout covers only the time to the head; a stream may last longer.
    let short = ObserveLayer::server(recorder.clone()).server_timeout(Duration::from_nanos(1));
    let (incoming, endpoint) = listen();
    let server = Server::builder().layer(short).add_service(KindsServer::new(service));
    tokio::spawn(server.serve_with_incoming(incoming));
    client = KindsClient::new(endpoint.connect().await.unwrap());
    let mut notes = client.server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    drop(notes);
    let call = recorder.until_ended(2).await.remove(1);
    assert_eq!((call.code, call.by), (Code::Cancelled, EndedBy::Caller));
}

#[tokio::test]
async fn inner_layers_agree_on_the_servers_timeout() {
    let (outer, inner) = (Recorder::new(), Recorder::new());
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .timeout(Duration::from_millis(50))
        .layer(ObserveLayer::server(outer.clone()).server_timeout(Duration::from_millis(50)))
        .layer(ObserveLayer::server(inner.clone()))
        .add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut client = KindsClient::new(endpoint.connect().await.unwrap());
    client.unary(ask(Act::Hang, 0)).await.unwrap_err();
    for recorder in [outer, inner] {
        let call = only(&recorder).await;
        assert_eq!((call.code, call.by), (Code::DeadlineExceeded, EndedBy::Deadline));
    }
}
