//! The messages of one frame of a stream of requests go on in one frame, as far as they are right.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use tonic::{Code, Status};
use tonic_connect_layer::ConnectLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::common::{self, envelope, layer, post};

const JSON: &str = "application/connect+json";
const PROTO: &str = "application/connect+proto";

/// The frames that a service gets for this body, which arrives in one frame.
async fn frames(layer: ConnectLayer, method: &str, kind: &str, body: &[Bytes]) -> Vec<Bytes> {
    frames_and_failure(layer, method, kind, body).await.0
}

async fn frames_and_failure(
    layer: ConnectLayer,
    method: &str,
    kind: &str,
    body: &[Bytes],
) -> (Vec<Bytes>, Option<Status>) {
    let seen = Arc::new(Mutex::new((Vec::new(), None)));
    let service = service_fn(|request: Request<tonic::body::Body>| {
        let seen = Arc::clone(&seen);
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => seen.lock().unwrap().0.push(frame.into_data().unwrap()),
                    Err(status) => seen.lock().unwrap().1 = Some(status),
                }
            }
            let response = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0");
            Ok::<_, Status>(response.body(Empty::<Bytes>::new()).unwrap())
        }
    });
    layer.layer(service).oneshot(post(method, kind, body.concat())).await.unwrap();
    let mut seen = seen.lock().unwrap();
    (std::mem::take(&mut seen.0), seen.1.take())
}

#[tokio::test]
async fn messages_that_came_together_go_on_together() {
    let text = |text: &str| envelope(0, format!(r#"{{"text":"{text}"}}"#).as_bytes());
    let proto = |text: &str| envelope(0, &[&[0x1A, text.len() as u8], text.as_bytes()].concat());
    let expected = frames(layer(), "ClientStream", JSON, &[text("a"), text("bc")]).await;
    assert_eq!(expected.len(), 1);
    assert_eq!(common::envelopes(expected[0].clone()).len(), 2);

    let sent = [proto("a"), envelope(0, b""), proto("bc")];
    let found = frames(layer(), "ClientStream", PROTO, &sent).await;
    assert_eq!(found, [sent.concat()]);
}

#[tokio::test]
async fn messages_before_a_malformed_one_go_on_before_its_failure() {
    let good = envelope(0, b"{}");
    for (bad, code) in [
        (envelope(0, b"{"), Code::InvalidArgument),
        (envelope(4, b"{}"), Code::InvalidArgument),
        (envelope(0, &[b' '; 101]), Code::ResourceExhausted),
    ] {
        let layer = layer().max_received_bytes(100);
        let sent = [good.clone(), good.clone(), bad, good.clone()];
        let (found, failure) = frames_and_failure(layer, "ClientStream", JSON, &sent).await;
        assert_eq!(found, [Bytes::from_static(&[0; 10])]);
        assert_eq!(failure.unwrap().code(), code);
    }
}

#[tokio::test]
async fn protobuf_that_breaks_a_limit_does_not_go_on_with_the_messages_before() {
    let sent = [envelope(0, b"\x1A\x01a"), envelope(0, &[0; 101])];
    for layer in [layer().max_received_bytes(100), layer().max_decompressed_bytes(100)] {
        let (found, failure) = frames_and_failure(layer, "ClientStream", PROTO, &sent).await;
        assert_eq!(found, sent[..1]);
        assert_eq!(failure.unwrap().code(), Code::ResourceExhausted);
    }
}

#[tokio::test]
async fn the_only_message_of_a_method_goes_on_before_the_failure_of_another() {
    for (kind, message) in [(JSON, &b"{}"[..]), (PROTO, b"")] {
        let sent = [envelope(0, message), envelope(0, message)];
        let (found, failure) = frames_and_failure(layer(), "ServerStream", kind, &sent).await;
        assert_eq!(found, [Bytes::from_static(&[0; 5])]);
        assert_eq!(failure.unwrap().code(), Code::Unimplemented);
    }
}
