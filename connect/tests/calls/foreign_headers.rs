//! Headers that mean something to the layers inside, or to HTTP, and that the other side must not choose.

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Code;
use tonic_call_test_kit::Script;

use crate::common::{envelope, layer, post, through};

const UNARY: (&str, &str) = ("Unary", "application/json");
const STREAM: (&str, &str) = ("ServerStream", "application/connect+json");

fn request((method, kind): (&str, &str)) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body = if method == "Unary" { "{}".into() } else { envelope(0, b"{}") };
    post(method, kind, body)
}

#[tokio::test]
async fn headers_of_grpc_and_of_the_connection_do_not_come_inside() {
    for kind in [UNARY, STREAM] {
        let mut request = request(kind);
        for (name, value) in [
            ("grpc-timeout", "1n"),
            ("grpc-encoding", "gzip"),
            ("grpc-accept-encoding", "gzip"),
            ("grpc-message-type", "x"),
            ("te", "gzip"),
            ("connection", "x-own"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("trailer", "grpc-status"),
            ("connect-protocol-version", "1"),
            ("connect-timeout-ms", "5"),
            ("x-own", "kept"),
            ("trailer-x", "kept"),
        ] {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let respond = Script::new().message(b"").trailers(Code::Ok).respond();
        let (answer, mut seen) = through(layer(), request, respond).await;
        assert_eq!(answer.status, 200);
        let timeouts = Vec::from_iter(seen.head.headers.get_all("grpc-timeout"));
        assert!(timeouts.len() == 1 && timeouts[0] != "1n", "{timeouts:?}");
        seen.head.headers.remove("grpc-timeout");
        let expected = [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("x-own", "kept"),
            ("trailer-x", "kept"),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert_eq!(seen.head.headers, HeaderMap::from_iter(expected));
    }
}

/// A caller that has no timeout cannot set one by another name.
#[tokio::test]
async fn a_grpc_timeout_alone_is_not_read() {
    let mut request = request(UNARY);
    request.headers_mut().append("grpc-timeout", HeaderValue::from_static("1n"));
    let respond = Script::new().message(b"").trailers(Code::Ok).respond();
    let (_, seen) = through(layer(), request, respond).await;
    assert!(!seen.head.headers.contains_key("grpc-timeout"));
}

/// They would change how the answer is read: its length, its compression, and where it ends.
#[tokio::test]
async fn metadata_of_an_answer_do_not_change_how_it_is_read() {
    let metadata = [
        ("connection", "close, x-own"),
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
        ("content-encoding", "br"),
        ("connect-content-encoding", "br"),
        ("keep-alive", "timeout=1"),
        ("proxy-connection", "close"),
        ("content-type", "text/html"),
        ("upgrade", "h2c"),
        ("trailer", "x"),
        ("te", "gzip"),
        ("x-own", "kept"),
    ];
    let metadata = metadata
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    for code in [Code::Ok, Code::NotFound] {
        for kind in [UNARY, STREAM] {
            let mut trailers = HeaderMap::from_iter(metadata.clone());
            trailers.insert("grpc-status", HeaderValue::from(code as i32));
            let mut respond = Script::new().message(b"").trailers_of(trailers).respond();
            respond.headers_mut().extend(HeaderMap::from_iter(metadata.clone()));
            respond.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            let (answer, _) = through(layer(), request(kind), respond).await;
            assert_eq!(answer.header("x-own"), "kept");
            for name in
                metadata.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "x-own")
            {
                let own = match name {
                    "content-type" => kind.1,
                    "content-length" if kind == UNARY => &answer.body.len().to_string(),
                    _ => "",
                };
                assert_eq!(answer.header(name), own, "{name} of {code:?} {kind:?}");
                assert_eq!(answer.header(&format!("trailer-{name}")), "", "{code:?} {kind:?}");
            }
            if kind == STREAM {
                let end = answer.end();
                let names: Vec<&String> = end["metadata"].as_object().unwrap().keys().collect();
                assert_eq!(names, ["x-own"]);
            } else {
                assert_eq!(answer.header("trailer-x-own"), "kept");
            }
        }
    }
}

/// Guards against: an answer that is split in two by what a message contains.
#[tokio::test]
async fn the_text_of_an_error_is_only_in_the_body() {
    let text = "a\r\nset-cookie: b=c\r\n\r\n<script>\u{2028}é\0\"";
    let trailers = {
        let mut trailers = HeaderMap::new();
        let encoded = "a%0D%0Aset-cookie: b=c%0D%0A%0D%0A<script>%E2%80%A8%C3%A9%00\"";
        trailers.insert("grpc-status", HeaderValue::from_static("5"));
        trailers.insert("grpc-message", HeaderValue::from_static(encoded));
        trailers
    };
    for kind in [UNARY, STREAM] {
        let respond = Script::new().trailers_of(trailers.clone()).respond();
        let (answer, _) = through(layer(), request(kind), respond).await;
        assert_eq!(answer.header("set-cookie"), "");
        let message = match kind {
            UNARY => answer.json()["message"].clone(),
            _ => answer.end()["error"]["message"].clone(),
        };
        assert_eq!(message, text);
        for value in answer.headers.values() {
            assert!(!value.as_bytes().starts_with(b"a\r\n"));
        }
    }
}
