//! Unary calls by `GET`.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use prost::Message as _;
use serde_json::json;
use tonic::Code;
use tonic_call_test_kit::Script;
use tonic_call_test_kit::v1::{Ask, Note};

use crate::common::{get, layer, proto, serve};

#[tokio::test]
async fn every_form_of_the_query_is_read() {
    let server = serve(layer());
    let text = r#"{"text":"hi"}"#;
    let padded = URL_SAFE.encode(text).replace('=', "%3D");
    let bare = URL_SAFE_NO_PAD.encode(text);
    for query in [
        "connect=v1&encoding=json&message=%7B%22text%22%3A%22hi%22%7D".to_owned(),
        format!("connect=v1&base64=1&encoding=json&message={padded}"),
        format!("message={bare}&encoding=json&base64=1"),
        format!("other=1&connect=v1&compression=identity&encoding=json&base64=1&message={bare}"),
    ] {
        let answer = server.send(get("Peek", &query)).await;
        assert_eq!(answer.status, 200, "{query}: {:?}", answer.body);
        assert_eq!(answer.json(), json!({"text": "hi"}));
    }
    let ask = proto(&Ask { text: "hi".to_owned(), ..Ask::default() });
    let query = format!("connect=v1&encoding=proto&base64=1&message={}", URL_SAFE.encode(&ask));
    let answer = server.send(get("Peek", &query)).await;
    assert_eq!(answer.header("content-type"), "application/proto");
    assert_eq!(Note::decode(answer.body.clone()).unwrap().text, "hi");
    assert_eq!(answer.header("vary"), "accept-encoding");
}

#[tokio::test]
async fn malformed_queries_are_invalid_and_are_seen_inside() {
    let server = serve(layer());
    for (query, status) in [
        ("connect=v2&encoding=json&message=%7B%7D", 400),
        ("connect=v1&encoding=json&base64=1&message=***", 400),
        ("connect=v1&encoding=xml&message=a", 415),
        ("connect=v1&encoding=json&message=%7B", 400),
        ("connect=v1&compression=br&encoding=json&message=%7B%7D", 501),
    ] {
        let answer = server.send(get("Peek", query)).await;
        assert_eq!(answer.status, status, "{query}");
    }
    let recorded = server.recorder.until_ended(5).await;
    let codes: Vec<Code> = recorded.iter().map(|call| call.code).collect();
    let invalid = Code::InvalidArgument;
    assert_eq!(codes, [invalid, invalid, invalid, invalid, Code::Unimplemented]);
}

#[tokio::test]
async fn a_get_with_a_body_is_refused() {
    let server = serve(layer());
    let mut request = get("Peek", "connect=v1&encoding=json&message=%7B%7D");
    *request.body_mut() = "{}".into();
    assert_eq!(server.send(request).await.status, 415);
    // An empty frame is no body.
    let request = Request::get("/test.v1.Kinds/Peek?connect=v1&encoding=json&message=%7B%7D");
    let body = Script::new().pending().data(Bytes::new());
    assert_eq!(server.http2(request.body(body).unwrap()).await.status(), 200);
}

/// Nothing is left to read on the connection.
#[tokio::test]
async fn a_refused_get_does_not_close_the_connection() {
    let server = serve(layer());
    let answer = server.send(get("Peek", "connect=v1&encoding=xml&message=a")).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (415, ""));
}
