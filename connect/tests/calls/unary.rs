//! Unary calls by `POST`.

use prost::Message as _;
use serde_json::json;
use tonic_call_test_kit::v1::{Act, Ask, Note};

use crate::common::{layer, post, proto, serve};

#[tokio::test]
async fn json_is_answered_with_json() {
    let server = serve(layer());
    for request in [
        post("Unary", "application/json", r#"{"text":"hi"}"#),
        post("Unary", "application/json; charset=utf-8", r#"{"text":"hi"}"#),
        post("Peek", "application/json", r#"{"text":"hi"}"#),
    ] {
        let answer = server.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json")
        );
        assert_eq!(answer.json(), json!({"text": "hi"}));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert!(!answer.headers.contains_key("grpc-status"));
    }
}

#[tokio::test]
async fn protobuf_is_answered_with_protobuf_on_both_versions_of_http() {
    let server = serve(layer());
    let ask = Ask { text: "hi".to_owned(), ..Ask::default() };
    let request = || post("Unary", "application/proto", proto(&ask));
    for answer in [server.send(request()).await, server.send2(request()).await] {
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/proto")
        );
        let note = Note::decode(answer.body.clone()).unwrap();
        assert_eq!(note, Note { number: 0, text: "hi".to_owned() });
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    }
}

#[tokio::test]
async fn an_empty_body_is_an_empty_protobuf_message() {
    let server = serve(layer());
    let answer = server.post("Unary", "application/proto", "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), "0");
    assert_eq!(server.recorder.only().requests, [0]);
}

#[tokio::test]
async fn a_failure_has_the_http_status_of_its_code() {
    let server = serve(layer());
    for (code, name, http) in [
        (1, "canceled", 499),
        (2, "unknown", 500),
        (3, "invalid_argument", 400),
        (4, "deadline_exceeded", 504),
        (5, "not_found", 404),
        (6, "already_exists", 409),
        (7, "permission_denied", 403),
        (8, "resource_exhausted", 429),
        (9, "failed_precondition", 400),
        (10, "aborted", 409),
        (11, "out_of_range", 400),
        (12, "unimplemented", 501),
        (13, "internal", 500),
        (14, "unavailable", 503),
        (15, "data_loss", 500),
        (16, "unauthenticated", 401),
    ] {
        let ask = Ask { act: Act::Fail.into(), code, ..Ask::default() };
        let answer = server.post("Unary", "application/proto", proto(&ask)).await;
        assert_eq!(answer.status.as_u16(), http, "{name}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json(), json!({"code": name, "message": "on purpose"}));
    }
}

#[tokio::test]
async fn grpc_and_grpc_web_are_answered_as_without_the_layer() {
    use tonic_call_test_kit::v1::kinds_client::KindsClient;

    let server = serve(layer());
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address));
    let mut client = KindsClient::new(endpoint.unwrap().connect().await.unwrap());
    let ask = Ask { text: "hi".to_owned(), ..Ask::default() };
    let note = client.unary(ask.clone()).await.unwrap().into_inner();
    assert_eq!(note.text, "hi");

    let frame = tonic_call_test_kit::frame_of(&proto(&ask));
    let answer = server.post("Unary", "application/grpc-web+proto", frame).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/grpc-web"));
    assert!(String::from_utf8_lossy(&answer.body).contains("grpc-status:0"));
}
