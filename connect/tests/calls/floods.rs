//! Bodies and streams that are meant to fill the server.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Script, ask, silence_panics};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::common::{self, Answer, envelope, layer, post, proto, serve};

const JSON: &str = "application/connect+json";
const PROTO: &str = "application/connect+proto";

fn request<B>(method: &str, kind: &str, body: B) -> Request<B> {
    let path = format!("/test.v1.Kinds/{method}");
    Request::post(path).header("content-type", kind).body(body).unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// The message never comes. The server must neither wait for it nor allocate its length.
#[tokio::test]
async fn a_length_of_4_gib_is_refused_at_its_prefix() {
    let server = serve(layer());
    for method in ["ClientStream", "ServerStream", "BidiStream"] {
        for (kind, flags) in [(JSON, 0), (PROTO, 0), (JSON, 1), (PROTO, 1)] {
            let prefix = Bytes::copy_from_slice(&[flags, 255, 255, 255, 255]);
            let mut request = request(method, kind, Script::new().data(prefix).stall());
            request.headers_mut().insert("connect-content-encoding", "gzip".parse().unwrap());
            let answer = Answer::of(server.http2(request).await).await;
            assert_eq!(answer.end()["error"]["code"], "resource_exhausted", "{method} {kind}");
        }
    }
    server.service.until_alive(0).await;
}

#[tokio::test]
async fn each_of_many_empty_messages_is_a_message() {
    const MANY: usize = 20_000;
    let server = serve(layer());
    let body = envelope(0, b"").repeat(MANY);
    let answer = server.send2(post("ClientStream", PROTO, body)).await;
    assert_eq!(answer.end(), serde_json::json!({}));
    assert_eq!(server.recorder.until_ended(1).await[0].requests.len(), MANY);

    let answer = server.send2(post("ServerStream", PROTO, envelope(0, b"").repeat(MANY))).await;
    assert_eq!(answer.end()["error"]["code"], "unimplemented");
}

#[tokio::test]
async fn gzip_that_expands_is_cut_off_wherever_it_is() {
    let server = serve(layer().max_decompressed_bytes(1_000_000));
    let bomb = gzip(&vec![b' '; 50_000_000]);
    let members = gzip(&[b' '; 1_000]).repeat(1_001);
    for bomb in [bomb, members] {
        let mut unary = post("Unary", "application/json", bomb.clone());
        unary.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        let answer = server.send2(unary).await;
        assert_eq!(answer.json()["code"], "resource_exhausted");

        let mut stream = post("ClientStream", JSON, envelope(1, &bomb));
        stream.headers_mut().insert("connect-content-encoding", "gzip".parse().unwrap());
        assert_eq!(server.send2(stream).await.end()["error"]["code"], "resource_exhausted");
    }
}

#[tokio::test]
async fn a_body_that_arrives_byte_by_byte_is_one_message() {
    let server = serve(layer());
    let bytes = |body: &[u8]| {
        let each = body.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
        each.fold(Script::new(), |script, byte| script.data(byte).pending().data(Bytes::new()))
    };
    let unary = || request("Unary", "application/json", bytes(br#"{"text":"slow"}"#));
    for response in [server.http1(unary()).await, server.http2(unary()).await] {
        assert_eq!(Answer::of(response).await.json()["text"], "slow");
    }
    let stream = request("ServerStream", PROTO, bytes(&envelope(0, &proto(&ask(Act::Fail, 1)))));
    assert_eq!(Answer::of(server.http2(stream).await).await.envelopes().len(), 2);
}

/// A body that always has a message, and counts those that were taken.
struct Endless(Arc<AtomicUsize>, Bytes);

impl Body for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(self.1.clone()))))
    }
}

#[tokio::test]
async fn no_more_of_a_body_is_read_than_the_service_takes() {
    for (method, kind, taken, message) in [
        ("ClientStream", JSON, 3, envelope(0, b"{}")),
        ("ClientStream", PROTO, 3, envelope(0, b"")),
        ("ClientStream", JSON, 0, envelope(0, b"{}")),
        ("Unary", "application/json", 0, Bytes::from_static(b" ")),
        ("Unary", "text/plain", 0, Bytes::from_static(b" ")),
    ] {
        let read = Arc::new(AtomicUsize::new(0));
        let service = service_fn(|request: Request<tonic::body::Body>| async move {
            let mut body = request.into_body();
            for _ in 0..taken {
                body.frame().await.unwrap()?;
            }
            Ok::<_, Status>(Script::new().messages(1).trailers(Code::Ok).respond())
        });
        let request = request(method, kind, Endless(Arc::clone(&read), message));
        layer().layer(service).oneshot(request).await.unwrap();
        assert_eq!(read.load(Ordering::SeqCst), taken, "{method} {kind}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_read_up_to_the_limit() {
    for kind in ["application/json", "application/proto"] {
        let read = Arc::new(AtomicUsize::new(0));
        let service = service_fn(|request: Request<tonic::body::Body>| async {
            let refused = request.into_body().collect().await.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
            Err::<http::Response<Script>, _>(refused)
        });
        let body = Endless(Arc::clone(&read), Bytes::from_static(&[b' '; 100]));
        let service = layer().max_received_bytes(1_000).layer(service);
        service.oneshot(request("Unary", kind, body)).await.unwrap_err();
        assert_eq!(read.load(Ordering::SeqCst), 11, "{kind}");
    }
}

/// A connection of HTTP/2 whose client has no room for data.
async fn connection_without_window(address: std::net::SocketAddr) -> http2::SendRequest<Script> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Guards against: a stream of answers that is made and kept while its caller reads nothing.
#[tokio::test]
async fn a_caller_that_reads_nothing_stops_the_service() {
    const STREAMS: usize = 100;
    let server = serve(layer());
    let mut sender = connection_without_window(server.address).await;
    let endless = Ask { text: "x".repeat(1_000), ..ask(Act::Unspecified, u32::MAX) };
    let json = br#"{"notes":4294967295,"text":"XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"}"#;
    let mut open = Vec::new();
    for number in 0..STREAMS {
        let (kind, message) = match number % 2 {
            0 => (JSON, Bytes::from_static(json)),
            _ => (PROTO, proto(&endless)),
        };
        let script = Script::new().data(envelope(0, &message)).says_end();
        let mut call = request("ServerStream", kind, script);
        *call.uri_mut() = format!("http://a{}", call.uri()).parse().unwrap();
        sender.ready().await.unwrap();
        open.push(sender.send_request(call).await.unwrap());
    }
    server.service.until_alive(STREAMS).await;
    drop((open, sender));
    for recorded in server.recorder.until_ended(STREAMS).await {
        let made: u32 = recorded.responses.iter().sum();
        // What tonic puts into one frame, and one message more.
        assert!(made <= 2 * 32 * 1_024, "{made} bytes");
    }
    server.service.until_alive(0).await;
}

/// Guards against: calls that the layers inside never see end.
#[tokio::test]
async fn a_call_is_reported_wherever_its_caller_leaves() {
    let hang = |kind: &str| match kind {
        "application/json" => Bytes::from_static(br#"{"act":"ACT_HANG"}"#),
        _ => envelope(0, br#"{"notes":1,"act":"ACT_HANG"}"#),
    };
    let server = serve(layer());
    let mut calls = 0;
    for (method, kind) in [
        ("Unary", "application/json"),
        ("ClientStream", JSON),
        ("ServerStream", JSON),
        ("BidiStream", JSON),
    ] {
        let whole = hang(kind);
        let cuts = [0, 1, whole.len() / 2, whole.len()];
        for (cut, is_http2) in cuts.into_iter().flat_map(|cut| [(cut, true), (cut, false)]) {
            if method == "BidiStream" && !is_http2 {
                continue;
            }
            let body = Script::new().data(whole.slice(..cut));
            let body = if cut == whole.len() { body.says_end() } else { body.stall() };
            let call = request(method, kind, body);
            let call: Pin<Box<dyn Future<Output = _> + Send + '_>> = match is_http2 {
                true => Box::pin(server.http2(call)),
                false => Box::pin(server.http1(call)),
            };
            let call = async {
                let mut response = call.await;
                while response.body_mut().frame().await.is_some() {}
            };
            calls += 1;
            tokio::select! {
                () = call => panic!("{method} cut at {cut} has ended"),
                () = begun(&server, calls) => {}
            }
            assert_eq!(server.recorder.until_ended(calls).await.len(), calls, "{method} {cut}");
        }
    }
    server.service.until_alive(0).await;
}

/// Guards against: calls that are begun and reset faster than they are answered, of which something is left.
#[tokio::test]
async fn nothing_is_left_of_streams_that_are_reset_at_once() {
    let server = serve(layer());
    let mut sender = connection_without_window(server.address).await;
    let mut whole = true;
    for (method, kind) in [("Unary", "application/json"), ("BidiStream", JSON)].repeat(200) {
        whole = !whole;
        let script = Script::new().data("{}".into());
        let script = if whole { script.says_end() } else { script.stall() };
        let mut call = request(method, kind, script);
        *call.uri_mut() = format!("http://a{}", call.uri()).parse().unwrap();
        if sender.ready().await.is_err() {
            // The server may close a connection with many resets.
            sender = connection_without_window(server.address).await;
            continue;
        }
        let response = tokio::spawn(sender.send_request(call));
        tokio::task::yield_now().await;
        response.abort();
    }
    drop(sender);
    let answer = server.send2(post("Unary", "application/json", "{}")).await;
    assert_eq!(answer.status, 200);
    server.service.until_alive(0).await;
    server.recorder.until_ended(server.recorder.begun()).await;
}

#[tokio::test]
async fn a_panic_ends_its_call_and_not_the_server() {
    silence_panics();
    let server = serve(layer());
    let panics = [
        ("Unary", "application/json", Bytes::from_static(br#"{"act":"ACT_PANIC"}"#)),
        ("ServerStream", JSON, envelope(0, br#"{"act":"ACT_PANIC_IN_HANDLER"}"#)),
        ("ServerStream", JSON, envelope(0, br#"{"notes":1,"act":"ACT_PANIC"}"#)),
    ];
    for (number, (method, kind, body)) in panics.into_iter().enumerate() {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut call = request(method, kind, Script::new().data(body).says_end());
        *call.uri_mut() = format!("http://a{}", call.uri()).parse().unwrap();
        // Without a `RecoveryLayer`, the caller gets an error of HTTP.
        if let Ok(response) = sender.send_request(call).await {
            response.into_body().collect().await.unwrap_err();
        }
        let recorded = server.recorder.until_ended(2 * number + 1).await;
        assert_eq!(recorded[2 * number].unwound, 1, "{method}");
        let good = server.send2(post("Unary", "application/json", "{}")).await;
        assert_eq!(good.status, 200);
    }
    server.service.until_alive(0).await;
}

async fn begun(server: &common::Served, calls: usize) {
    while server.recorder.begun() < calls {
        tokio::task::yield_now().await;
    }
}

/// Guards against: a panic while a request is dropped.
#[test]
fn a_runtime_without_timers_drops_an_unread_request() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refuse = service_fn(|_: Request<tonic::body::Body>| async {
        Err::<http::Response<Script>, _>(Status::unavailable("not now"))
    });
    let call = request("Unary", "application/json", Script::new().data("{".into()).stall());
    let refused = runtime.block_on(layer().layer(refuse).oneshot(call));
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
}
