//! Streams of envelopes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use prost::Message as _;
use serde_json::json;
use tonic::Status;
use tonic_call_test_kit::v1::{Act, Ask, Note};
use tonic_call_test_kit::{Script, ask};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::common::{self, envelope, envelopes, layer, post, proto, serve};

const JSON: &str = "application/connect+json";
const PROTO: &str = "application/connect+proto";

#[tokio::test]
async fn a_server_stream_is_envelopes_with_the_end_in_the_last() {
    let server = serve(layer());
    let request = || post("ServerStream", JSON, envelope(0, br#"{"notes":2,"text":"hi"}"#));
    for answer in [server.send(request()).await, server.send2(request()).await] {
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, JSON));
        let notes = answer.envelopes();
        let texts: Vec<serde_json::Value> =
            notes.iter().map(|(_, note)| serde_json::from_slice(note).unwrap()).collect();
        assert_eq!(
            texts,
            [json!({"number": 1, "text": "hi"}), json!({"number": 2, "text": "hi"}), json!({})]
        );
        assert_eq!(notes.iter().map(|(flags, _)| *flags).collect::<Vec<_>>(), [0, 0, 2]);
    }
}

#[tokio::test]
async fn binary_streams_carry_the_same_messages() {
    let server = serve(layer());
    let answer =
        server.post("ServerStream", PROTO, envelope(0, &proto(&ask(Act::Unspecified, 3)))).await;
    assert_eq!(answer.header("content-type"), PROTO);
    let notes = answer.envelopes();
    let numbers: Vec<u32> =
        notes[..3].iter().map(|(_, note)| Note::decode(&**note).unwrap().number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(answer.end(), json!({}));
}

#[tokio::test]
async fn a_stream_that_fails_has_status_200_and_the_error_at_its_end() {
    let server = serve(layer());
    for (notes, method) in [(0, "ServerStream"), (2, "ServerStream"), (0, "ClientStream")] {
        let ask = Ask { code: 5, ..ask(Act::Fail, notes) };
        let answer = server.post(method, PROTO, envelope(0, &proto(&ask))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.envelopes().len(), notes as usize + 1);
        assert_eq!(answer.end(), json!({"error": {"code": "not_found", "message": "on purpose"}}));
    }
}

#[tokio::test]
async fn a_client_stream_is_read_message_by_message() {
    let server = serve(layer());
    let messages = [&b"{}"[..], br#"{"text":"a"}"#, br#"{"text":"last"}"#];
    let body: Vec<u8> = messages.iter().flat_map(|message| envelope(0, message)).collect();
    for cut in 0..body.len() {
        let (first, second) = body.split_at(cut);
        let script = Script::new()
            .data(Bytes::copy_from_slice(first))
            .pending()
            .data(Bytes::copy_from_slice(second));
        let request = Request::post("/test.v1.Kinds/ClientStream")
            .header("content-type", JSON)
            .body(script)
            .unwrap();
        let answer = common::Answer::of(server.http1(request).await).await;
        let note = serde_json::from_slice::<serde_json::Value>(&answer.envelopes()[0].1).unwrap();
        assert_eq!((note, answer.end()), (json!({"text": "last"}), json!({})), "cut at {cut}");
    }
}

#[tokio::test]
async fn messages_go_both_ways_while_a_stream_is_open() {
    use tokio::sync::mpsc;
    use tokio_stream::StreamExt as _;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    let server = serve(layer());
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    let frames = UnboundedReceiverStream::new(receiver)
        .map(|data| Ok::<_, std::io::Error>(Frame::data(data)));
    let request = Request::post("/test.v1.Kinds/BidiStream")
        .header("content-type", JSON)
        .body(http_body_util::StreamBody::new(frames))
        .unwrap();
    sender.send(envelope(0, br#"{"notes":1,"text":"a"}"#)).unwrap();
    let mut answer = server.http2(request).await.into_body();
    for text in ["a", "b", "c"] {
        let data = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        let (_, note) = envelopes(data).remove(0);
        let note: serde_json::Value = serde_json::from_slice(&note).unwrap();
        assert_eq!(note["text"], text);
        let next = match text {
            "a" => "b",
            _ => "c",
        };
        if text != "c" {
            let ask = format!(r#"{{"notes":1,"text":"{next}"}}"#);
            sender.send(envelope(0, ask.as_bytes())).unwrap();
        }
    }
    drop(sender);
    let end = answer.collect().await.unwrap().to_bytes();
    assert_eq!(envelopes(end), [(2, "{}".into())]);
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_handlers_stream() {
    let server = serve(layer());
    let request = post("ServerStream", PROTO, envelope(0, &proto(&ask(Act::Hang, 1))));
    let mut answer = server.http1(request).await.into_body();
    answer.frame().await.unwrap().unwrap();
    server.service.until_alive(1).await;
    drop(answer);
    server.service.until_alive(0).await;
}

#[tokio::test]
async fn malformed_envelopes_are_invalid() {
    let server = serve(layer());
    let cases: [(&str, Bytes, &str, &str); 8] = [
        ("ServerStream", envelope(2, b"{}"), "invalid_argument", "end-of-stream"),
        ("ServerStream", envelope(4, b"{}"), "invalid_argument", "flags"),
        ("ServerStream", envelope(0x80, b"{}"), "invalid_argument", "flags"),
        ("ServerStream", envelope(1, b"{}"), "internal", "connect-content-encoding"),
        ("ServerStream", Bytes::from_static(b"\0\0\0\0\x05{}"), "invalid_argument", "inside"),
        ("ClientStream", Bytes::from_static(b"\0\0\0"), "invalid_argument", "inside"),
        ("ServerStream", Bytes::new(), "unimplemented", "there is none"),
        (
            "ServerStream",
            [envelope(0, b"{}"), envelope(0, b"{}")].concat().into(),
            "unimplemented",
            "there are more",
        ),
    ];
    for (method, body, code, part) in cases {
        let answer = server.post(method, JSON, body.clone()).await;
        assert_eq!(answer.status, 200, "{body:?}");
        let error = &answer.end()["error"];
        assert_eq!(error["code"], code, "{body:?}");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_message_that_is_announced_as_too_large_is_not_read() {
    let server = serve(layer().max_received_bytes(100));
    // The rest of the message never comes.
    let body = Script::new().data(Bytes::from_static(&[0, 0, 0, 0, 101])).stall();
    let request = Request::post("/test.v1.Kinds/ClientStream")
        .header("content-type", JSON)
        .body(body)
        .unwrap();
    let response = server.http1(request).await;
    assert_eq!(response.headers()["connection"], "close");
    let answer = common::Answer::of(response).await;
    assert_eq!(answer.end()["error"]["code"], "resource_exhausted");
}

/// A body that always has a message, and counts them.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(envelope(0, b"")))))
    }
}

#[tokio::test]
async fn no_message_is_produced_before_the_one_before_was_taken() {
    let produced = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|_: Request<tonic::body::Body>| {
        let response = Response::builder().header("content-type", "application/grpc");
        let response = response.body(Endless(Arc::clone(&produced))).unwrap();
        std::future::ready(Ok::<_, Status>(response))
    });
    let request = post("ServerStream", JSON, envelope(0, b"{}"));
    let mut answer = layer().layer(service).oneshot(request).await.unwrap().into_body();
    for taken in 0..5 {
        assert_eq!(produced.load(Ordering::SeqCst), taken);
        let data = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(envelopes(data), [(0, "{}".into())]);
    }
}
