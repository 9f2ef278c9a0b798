//! gzip of whole bodies and of envelopes.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::common::{envelope, layer, post, serve};

fn gzip(data: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap().into()
}

fn gunzip(data: &[u8]) -> serde_json::Value {
    let mut text = String::new();
    GzDecoder::new(data).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn unary_messages_are_compressed_both_ways() {
    let server = serve(layer().compress_from(1));
    let mut request = post("Unary", "application/json", gzip(br#"{"text":"hi"}"#));
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    request.headers_mut().insert("accept-encoding", "br, gzip".parse().unwrap());
    let answer = server.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (200, "gzip"));
    assert_eq!(answer.header("accept-encoding"), "gzip");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(gunzip(&answer.body), json!({"text": "hi"}));
}

#[tokio::test]
async fn envelopes_are_compressed_both_ways() {
    let server = serve(layer().compress_from(1));
    let body = [
        envelope(1, &gzip(br#"{"text":"first"}"#)),
        envelope(0, br#"{"text":"plain"}"#),
        envelope(1, b""),
        envelope(1, &gzip(br#"{"text":"last"}"#)),
    ];
    let mut request = post("ClientStream", "application/connect+json", body[..2].concat());
    *request.body_mut() = [&body[0][..], &body[1], &body[3]].concat().into();
    request.headers_mut().insert("connect-content-encoding", "gzip".parse().unwrap());
    request.headers_mut().insert("connect-accept-encoding", "gzip".parse().unwrap());
    let answer = server.send(request).await;
    assert_eq!(answer.header("connect-content-encoding"), "gzip");
    let (flags, note) = answer.envelopes().remove(0);
    assert_eq!((flags, gunzip(&note)), (1, json!({"text": "last"})));
    assert_eq!(answer.end(), json!({}));
}

#[tokio::test]
async fn nothing_is_compressed_that_is_small_or_was_not_asked_for() {
    let server = serve(layer());
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(2_000));
    for (accepts, text, compressed) in
        [("gzip", &*long, true), ("gzip", r#"{"text":"hi"}"#, false), ("br", &long, false)]
    {
        let mut request = post("Unary", "application/json", text.to_owned());
        request.headers_mut().insert("accept-encoding", accepts.parse().unwrap());
        let answer = server.send(request).await;
        assert_eq!(answer.header("content-encoding") == "gzip", compressed, "{accepts}");
    }
}

#[tokio::test]
async fn an_unknown_compression_is_unimplemented() {
    let server = serve(layer());
    let mut unary = post("Unary", "application/json", "{}");
    unary.headers_mut().insert("content-encoding", "br".parse().unwrap());
    let answer = server.send(unary).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (501, &json!("unimplemented")));
    assert!(answer.json()["message"].as_str().unwrap().contains("gzip and identity"));

    for name in ["connect-content-encoding", "content-encoding"] {
        let mut stream = post("ServerStream", "application/connect+json", envelope(0, b"{}"));
        stream.headers_mut().insert(name, "br".parse().unwrap());
        assert_eq!(server.send(stream).await.end()["error"]["code"], "unimplemented");
    }
}

#[tokio::test]
async fn compression_can_be_turned_off() {
    let server = serve(layer().compression(false).compress_from(0));
    let mut request = post("Unary", "application/json", gzip(b"{}"));
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let answer = server.send(request).await;
    assert_eq!(answer.status, 501);
    let mut request = post("Unary", "application/json", "{}");
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let answer = server.send(request).await;
    assert_eq!((answer.header("content-encoding"), answer.header("accept-encoding")), ("", ""));
}

#[tokio::test]
async fn sizes_are_limited_before_and_after_decompression() {
    let server = serve(layer().max_received_bytes(200).max_decompressed_bytes(1_000));
    let json = |len: usize| format!(r#"{{"text":"{}"}}"#, "x".repeat(len - 11)).into_bytes();
    for (body, compressed, status) in [
        (Bytes::from(json(200)), false, 200),
        (json(201).into(), false, 429),
        (gzip(&json(1_000)), true, 200),
        (gzip(&json(1_001)), true, 429),
        (gzip(&vec![b'x'; 1_000_000]), true, 429),
    ] {
        let mut unary = post("Unary", "application/json", body.clone());
        let mut stream =
            post("ClientStream", "application/connect+json", envelope(compressed.into(), &body));
        if compressed {
            unary.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            stream.headers_mut().insert("connect-content-encoding", "gzip".parse().unwrap());
        }
        let answer = server.send(unary).await;
        assert_eq!(answer.status, status);
        let end = server.send(stream).await.end();
        let code = if status == 200 { json!(null) } else { json!("resource_exhausted") };
        assert_eq!(end["error"]["code"], code);
    }
}
