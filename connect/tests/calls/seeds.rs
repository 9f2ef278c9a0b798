//! Unusual and malformed messages and envelopes: each has its code in `seeds/`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use prost_reflect::prost::Message as _;
use tonic::{Code, Status};
use tonic_call_test_kit::{Script, trailers_only};
use tonic_connect_layer::ConnectLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::common::{self, Answer, layer, post};

fn seeds(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[tokio::test]
async fn every_body_of_envelopes_has_its_code() {
    let server = common::serve(layer());
    let mut count = 0;
    for seed in seeds(include_str!("../seeds/envelopes.txt")) {
        let mut words = seed.split(' ').peekable();
        let code = words.next().unwrap();
        let gzip = words.next_if_eq(&"gzip").is_some();
        let digits: String = words.collect();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let body: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let mut request = post("ClientStream", "application/connect+proto", body);
        if gzip {
            request.headers_mut().insert("connect-content-encoding", "gzip".parse().unwrap());
        }
        let end = server.send2(request).await.end();
        assert_eq!(end["error"]["code"].as_str().unwrap_or("ok"), code, "{seed}: {end}");
        count += 1;
    }
    assert_eq!(server.recorder.until_ended(count).await.len(), count);
    server.service.until_alive(0).await;
}

/// The layer for a method that takes the message of `json.proto` which has a field of every type.
fn layer_of_all() -> ConnectLayer {
    use prost_reflect::prost_types::{
        FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto,
    };

    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/json");
    let mut files = protox::compile(["json.proto"], [root]).unwrap();
    let all = || Some(".test.json.All".to_owned());
    let method = MethodDescriptorProto {
        name: Some("Take".to_owned()),
        input_type: all(),
        output_type: all(),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Seeds".to_owned()),
        method: vec![method],
        ..ServiceDescriptorProto::default()
    };
    files.file.push(FileDescriptorProto {
        name: Some("seeds.proto".to_owned()),
        package: Some("test.json".to_owned()),
        dependency: vec!["json.proto".to_owned()],
        service: vec![service],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    });
    ConnectLayer::new(&files.encode_to_vec()).unwrap()
}

/// Answers with the messages of the request, or with the status that its body fails with.
async fn echo(request: Request<tonic::body::Body>) -> Result<Response<Script>, Status> {
    Ok(match request.into_body().collect().await {
        Ok(body) => Script::new().data(body.to_bytes()).trailers(Code::Ok).respond(),
        Err(status) => trailers_only(&status),
    })
}

/// Sends a message in JSON to a service that answers with the same.
async fn take(layer: &ConnectLayer, json: Bytes) -> (u16, serde_json::Value) {
    let mut request = post("Unary", "application/json", json);
    *request.uri_mut() = "/test.json.Seeds/Take".parse().unwrap();
    let response = layer.layer(service_fn(echo)).oneshot(request).await.unwrap();
    let answer = Answer::of(response).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn every_message_in_json_has_its_code() {
    let layer = layer_of_all();
    for seed in seeds(include_str!("../seeds/json.txt")) {
        let (code, json) = seed.split_once(' ').unwrap();
        let (status, answer) = take(&layer, Bytes::copy_from_slice(json.as_bytes())).await;
        let found = if status == 200 { "ok" } else { answer["code"].as_str().unwrap() };
        assert_eq!(found, code, "{seed}: {answer}");
    }
}

/// Guards against: a stack that overflows, which ends the process.
#[tokio::test]
async fn json_that_is_nested_too_deeply_is_invalid() {
    let layer = layer_of_all();
    for (open, close) in [
        (r#"{"child":"#, "}"),
        (r#"{"unknown":"#, "}"),
        (r#"{"children":["#, "]}"),
        ("[", "]"),
        (r#"{"unknown":["#, "]}"),
    ] {
        for depth in [1_000, 300_000] {
            let close = if depth == 1_000 { close.repeat(depth) } else { String::new() };
            let json = format!("{}{{}}{close}", open.repeat(depth));
            let (status, answer) = take(&layer, json.into()).await;
            assert_eq!((status, &answer["code"]), (400, &"invalid_argument".into()), "{open}");
            assert!(answer.to_string().len() < 500, "{answer}");
        }
    }
}

/// Bytes that are not UTF-8, at each place where text can be.
#[tokio::test]
async fn json_that_is_not_utf_8_is_invalid() {
    let layer = layer_of_all();
    for (before, behind) in [
        ("", "{}"),
        ("{\"", "\":1}"),
        ("{\"aString\":\"", "\"}"),
        ("{\"unknown\":\"", "\"}"),
        ("{}", ""),
    ] {
        for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"] {
            let json = [before.as_bytes(), bytes, behind.as_bytes()].concat();
            let (status, answer) = take(&layer, json.clone().into()).await;
            assert_eq!((status, &answer["code"]), (400, &"invalid_argument".into()), "{json:?}");
        }
    }
}
