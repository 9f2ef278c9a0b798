//! Calls by gRPC-Web and by the Connect protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use prost::Message as _;
use tonic::Code;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{ask, frame_of};

use crate::client::KNOWN;
use crate::observed::{Layers, Log, stable};
use crate::raw::{http1, status_in};
use crate::server::{MAX_REQUEST, Server};
use crate::table::{Row, Section};

/// Sends this body by HTTP/1.1, as a known caller or not.
async fn post(
    server: &Server<'_>,
    method: &str,
    kind: &str,
    is_known: bool,
    body: Bytes,
) -> Response<Bytes> {
    let mut request = Request::post(format!("http://{}/test.v1.Kinds/{method}", server.address()))
        .header("content-type", kind);
    if is_known {
        request = request.header(KNOWN.0, KNOWN.1);
    }
    http1(request.body(Full::new(body)).unwrap()).await
}

/// The frames of a gRPC-Web or Connect stream: flags and payload.
fn frames(mut body: Bytes) -> Vec<(u8, Bytes)> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let prefix = body.split_to(5);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        frames.push((prefix[0], body.split_to(length as usize)));
    }
    frames
}

fn messages(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "1 message, ".to_owned(),
        count => format!("{count} messages, "),
    }
}

/// What a gRPC-Web caller reads.
fn web_answer(answer: &Response<Bytes>) -> String {
    let http = answer.status().as_u16();
    if let Some(status) = status_in(answer.headers()) {
        return format!("HTTP {http}, in the headers {status}");
    }
    let text = answer.headers()["content-type"].to_str().unwrap().contains("text");
    let body = match text {
        true => STANDARD.decode(answer.body()).unwrap().into(),
        false => answer.body().clone(),
    };
    let frames = frames(body);
    let count = frames.iter().filter(|(flags, _)| *flags == 0).count();
    let Some((_, trailers)) = frames.iter().find(|(flags, _)| *flags == 0x80) else {
        return format!("HTTP {http}, {}no status", messages(count));
    };
    let lines = std::str::from_utf8(trailers).unwrap().lines();
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| {
        (name.parse::<http::HeaderName>().unwrap(), value.trim().parse().unwrap())
    });
    let status = status_in(&headers.collect()).unwrap();
    format!("HTTP {http}, {}in the body's trailers {status}", messages(count))
}

async fn by_web(server: Server<'_>, ending: &str, method: &str, is_known: bool, ask: Ask) -> Row {
    let body = frame_of(&ask.encode_to_vec());
    let answer = post(&server, method, "application/grpc-web+proto", is_known, body).await;
    server.row(ending, web_answer(&answer)).await
}

async fn by_web_text(server: Server<'_>, ending: &str, method: &str, ask: Ask) -> Row {
    let body = STANDARD.encode(frame_of(&ask.encode_to_vec())).into();
    let answer = post(&server, method, "application/grpc-web-text+proto", true, body).await;
    server.row(ending, web_answer(&answer)).await
}

pub(crate) async fn web(log: &Log, layers: Layers) -> Section {
    let usual = || Server::usual(log, layers);
    let fails = |notes| Ask { code: Code::DataLoss as i32, ..ask(Act::Fail, notes) };
    let well = ask(Act::Unspecified, 0);
    let rows = vec![
        by_web(usual().await, "a unary call ends well", "Unary", true, well.clone()).await,
        by_web_text(usual().await, "a unary call in Base64 ends well", "Unary", well.clone()).await,
        by_web(usual().await, "a unary handler fails", "Unary", true, fails(0)).await,
        by_web(usual().await, "a stream fails after two messages", "ServerStream", true, fails(2))
            .await,
        by_web_text(
            usual().await,
            "a stream in Base64 fails after two messages",
            "ServerStream",
            fails(2),
        )
        .await,
        by_web(usual().await, "no credentials", "Unary", false, well).await,
        by_web(
            usual().await,
            "a panic in the stream, after a message",
            "ServerStream",
            true,
            ask(Act::Panic, 1),
        )
        .await,
    ];
    Section {
        title: "gRPC-Web",
        about: "By HTTP/1.1, as a browser calls. The status is in the headers, or in a last frame of the body.",
        rows,
    }
}

/// What a Connect caller reads: the error of a unary call, or the end of a stream.
fn connect_answer(answer: &Response<Bytes>) -> String {
    let http = answer.status().as_u16();
    let error = |error: &serde_json::Value| {
        let code = error["code"].as_str().unwrap();
        let message = stable(error["message"].as_str().unwrap_or_default());
        format!("`{code}` “{message}”")
    };
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap());
    if kind.is_some_and(|kind| kind.starts_with("application/connect+")) {
        let frames = frames(answer.body().clone());
        let count = frames.iter().filter(|(flags, _)| flags & 2 == 0).count();
        let (_, end) = frames.iter().find(|(flags, _)| flags & 2 == 2).expect("an end");
        let end: serde_json::Value = serde_json::from_slice(end).unwrap();
        let status = end.get("error").map_or("no error".to_owned(), error);
        return format!("HTTP {http}, {}at the end {status}", messages(count));
    }
    if http == 200 {
        return format!("HTTP {http}, 1 message");
    }
    match serde_json::from_slice(answer.body()) {
        Ok(body) => format!("HTTP {http}, {}", error(&body)),
        Err(_) => format!("HTTP {http}, no JSON"),
    }
}

async fn by_json(
    server: Server<'_>,
    ending: &str,
    method: &str,
    is_known: bool,
    json: &str,
) -> Row {
    let body = json.to_owned().into();
    let answer = post(&server, method, "application/json", is_known, body).await;
    server.row(ending, connect_answer(&answer)).await
}

async fn by_stream(server: Server<'_>, ending: &str, is_known: bool, json: &str) -> Row {
    let body = frame_of(json.as_bytes());
    let kind = "application/connect+json";
    let answer = post(&server, "ServerStream", kind, is_known, body).await;
    server.row(ending, connect_answer(&answer)).await
}

/// Sends a request with these headers.
async fn by_headers(
    server: Server<'_>,
    ending: &str,
    method: &str,
    headers: &[(&str, &str)],
) -> Row {
    let mut request = Request::post(format!("http://{}/test.v1.Kinds/{method}", server.address()))
        .header(KNOWN.0, KNOWN.1);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = http1(request.body(Full::new("{}".into())).unwrap()).await;
    server.row(ending, connect_answer(&answer)).await
}

pub(crate) async fn connect(log: &Log, layers: Layers) -> Section {
    let usual = || Server::usual(log, layers);
    let fails = r#"{"act": "ACT_FAIL", "code": 15, "notes": 2}"#;
    let panics = r#"{"act": "ACT_PANIC", "notes": 1}"#;
    let large = format!(r#"{{"text": "{}"}}"#, "x".repeat(MAX_REQUEST));
    let rows = vec![
        by_json(usual().await, "a unary call ends well", "Unary", true, "{}").await,
        by_json(usual().await, "a unary handler fails", "Unary", true, fails).await,
        by_json(usual().await, "no credentials", "Unary", false, "{}").await,
        by_json(usual().await, "a scope is missing", "Peek", true, "{}").await,
        by_json(usual().await, "a panic in a unary handler", "Unary", true, panics).await,
        by_json(usual().await, "a request that is not JSON", "Unary", true, "{").await,
        by_json(
            usual().await,
            "a field that the message does not have",
            "Unary",
            true,
            r#"{"no": 1}"#,
        )
        .await,
        by_json(usual().await, "a request message over the server's limit", "Unary", true, &large)
            .await,
        by_headers(
            usual().await,
            "a deadline that has passed on arrival",
            "Unary",
            &[("content-type", "application/json"), ("connect-timeout-ms", "0")],
        )
        .await,
        by_stream(usual().await, "a stream ends well", true, r#"{"notes": 2}"#).await,
        by_stream(usual().await, "a stream fails after two messages", true, fails).await,
        by_stream(usual().await, "a stream without credentials", false, "{}").await,
        by_stream(usual().await, "a panic in the stream, after a message", true, panics).await,
    ];
    Section {
        title: "Connect",
        about: "JSON by HTTP/1.1, as `curl` calls. The layers see a gRPC call, and the caller reads the error as JSON.",
        rows,
    }
}
