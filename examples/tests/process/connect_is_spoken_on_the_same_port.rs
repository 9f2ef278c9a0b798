//! Connect, with the bounds of gRPC: unary and streaming calls in JSON, over HTTP/1.1 and HTTP/2.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use orders::v1::ListOrdersRequest;
use prost::Message;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::common::certificates::{Certificates, texts};
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::process::{Served, get, orders};
use crate::common::web::{Web, path, until_closed, whole};

fn ann() -> Value {
    json!({"customerEmail": "ann@example.org", "totalCents": "4711", "currency": "EUR"})
}

fn nothing() -> Value {
    json!({"id": "x"})
}

/// The log lines of the calls.
async fn calls_of(served: Served) -> Vec<Value> {
    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines.filter(|line| line["message"] == "finished call").collect()
}

#[track_caller]
fn has(line: &Value, expected: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} in {line:#}");
    }
}

#[tokio::test]
async fn a_unary_call_is_answered_in_json_logged_and_counted() {
    let mut served = Served::start(&["--log", "json", "--metrics", "127.0.0.1:0"]).await;
    let metrics = served.metrics_address().await;
    for web in [Web::http1(&served.address), Web::http2(&served.address)] {
        let created = web.call("CreateOrder", &[], &ann()).await;
        assert_eq!(created.status, 200, "{created:?}");
        has(&created.json(), &ann());
        let id = created.json()["id"].clone();
        let same = web.call("GetOrder", &[("x-request-id", "r-1")], &json!({"id": id})).await;
        assert_eq!(same.json(), created.json());

        let missing = web.call("GetOrder", &[], &nothing()).await;
        assert_eq!((missing.status.as_u16(), &missing.json()["code"]), (404, &json!("not_found")));
        let info = &missing.json()["details"][0];
        has(info, &json!({"type": "google.rpc.ErrorInfo"}));
        assert_eq!(info["debug"]["domain"], "orders.v1");

        let invalid = web.call("CreateOrder", &[], &json!({"currency": "euro"})).await;
        assert_eq!(invalid.status, 400);
        let details = invalid.json()["details"].as_array().unwrap().clone();
        let request = details.iter().find(|one| one["type"] == "google.rpc.BadRequest").unwrap();
        let violations = request["debug"]["fieldViolations"].as_array().unwrap();
        assert_eq!(violations.len(), 2, "{violations:?}");

        let (get, json) = (path("GetOrder"), [("content-type", "application/json")]);
        let malformed = whole(web.send(Method::POST, &get, &json, "{").await).await;
        assert_eq!(malformed.json()["code"], "invalid_argument");
    }
    let of = "grpc_type=\"unary\",grpc_service=\"orders.v1.OrderService\"";
    let (_, text) = get(&metrics, "/metrics").await;
    for (method, code, calls) in
        [("GetOrder", "NotFound", 2), ("GetOrder", "OK", 2), ("CreateOrder", "OK", 2)]
    {
        let count = text.lines().find(|line| {
            line.starts_with("grpc_server_handled_total{")
                && [of, method, code, "protocol=\"connect\""].iter().all(|part| line.contains(part))
        });
        let count = count.unwrap_or_else(|| panic!("{method} {code} in {text}"));
        assert!(count.ends_with(&format!("}} {calls}")), "{count}");
    }

    let lines = calls_of(served).await;
    assert_eq!(lines.len(), 10);
    has(
        &lines[1],
        &json!({"rpc.system.name": "connectrpc", "rpc.method": "orders.v1.OrderService/GetOrder",
            "rpc.response.status_code": "OK", "grpc.protocol": "connect", "request_id": "r-1",
            "grpc.request.messages": 1, "grpc.response.messages": 1,
            "network.peer.address": "127.0.0.1"}),
    );
    has(&lines[2], &json!({"rpc.response.status_code": "not_found", "order.id": "x"}));
    has(&lines[4], &json!({"rpc.response.status_code": "invalid_argument"}));
}

/// A server that trusts an issuer, and a token.
async fn start_with_token(more: &[&str]) -> (tempfile::TempDir, String, Served) {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::new());
    let file = folder.path().join("keys.json");
    std::fs::write(&file, issuer.keys()).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--metrics", "off"];
    let trust = ["--issuer", ISSUER, "--audience", "orders", "--jwks", file.to_str().unwrap()];
    let served = Served::spawn(orders(&[&serve[..], &trust, more].concat())).await;
    let token = issuer.token("orders", "orders.read orders.write");
    (folder, format!("Bearer {token}"), served)
}

#[tokio::test]
async fn refusals_have_the_http_status_and_headers_of_their_kind() {
    let limit = ["--limit", "orders.v1.OrderService/GetOrder=1/1:principal", "--log", "json"];
    let (_folder, token, served) = start_with_token(&limit).await;
    let web = Web::http1(&served.address);
    let stranger = web.call("GetOrder", &[], &nothing()).await;
    assert_eq!(stranger.status, 401);
    assert_eq!(stranger.headers["www-authenticate"], r#"Bearer realm="orders""#);
    has(&stranger.json(), &json!({"code": "unauthenticated"}));
    let mut refused = web.stream("WatchOrder", &[], &nothing()).await;
    let (flags, end) = refused.next().await.unwrap();
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("unauthenticated")));
    assert!(refused.next().await.is_none());

    let authorized = [("authorization", token.as_str())];
    assert_eq!(web.call("GetOrder", &authorized, &nothing()).await.status, 404);
    let limited = web.call("GetOrder", &authorized, &nothing()).await;
    assert_eq!(limited.status, 429);
    assert_eq!(limited.headers["retry-after"], "1");
    has(&limited.json(), &json!({"code": "resource_exhausted"}));

    let lines = calls_of(served).await;
    for (line, by) in [(0, "auth"), (1, "auth"), (3, "ratelimit")] {
        has(&lines[line], &json!({"grpc.refused_by": by, "grpc.protocol": "connect"}));
    }
}

/// Guards against: an answer with a body, which a stranger does not read, and so keeps its connection open.
#[tokio::test]
async fn a_refusal_that_nobody_reads_keeps_no_connection_open() {
    let (_folder, _, served) = start_with_token(&["--connections", "1"]).await;
    let socket = TcpStream::connect(&served.address).await.unwrap();
    let mut h2 = h2::client::Builder::new();
    let (client, connection) = h2.initial_window_size(0).handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("{}{}", served.url(), path("GetOrder")))
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    stream.send_data(Bytes::from_static(b"{}"), true).unwrap();
    let unread = crate::common::soon(response).await.unwrap();
    assert_eq!(unread.status(), 401);
    let next = Web::http1(&served.address).call("GetOrder", &[], &nothing()).await;
    assert_eq!(next.status, 401);
    drop(unread);
}

#[tokio::test]
async fn a_watch_is_a_stream_and_a_drain_ends_it() {
    for http2 in [false, true] {
        let served = Served::start(&["--drain-delay", "0"]).await;
        let address = &served.address;
        let web = if http2 { Web::http2(address) } else { Web::http1(address) };
        let id = web.call("CreateOrder", &[], &ann()).await.json()["id"].clone();
        let mut watch = web.stream("WatchOrder", &[], &json!({"id": id})).await;
        let (flags, event) = watch.next().await.unwrap();
        assert_eq!((flags, &event["eventType"]), (0, &json!("created")));
        // It passes each message when it is there.
        let ship = json!({"id": id, "stage": "ORDER_STAGE_SHIPPED"});
        assert_eq!(web.call("AdvanceOrder", &[], &ship).await.status, 200);
        let (_, event) = watch.next().await.unwrap();
        assert_eq!(event["eventType"], "shipped");

        served.signal(Signal::TERM);
        let (flags, end) = watch.next().await.unwrap();
        assert_eq!((flags, &end["error"]["code"]), (2, &json!("unavailable")));
        assert!(watch.next().await.is_none());
        drop((watch, web));
        let (status, _, log) = served.ended().await;
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("drained") && !log.contains("limit is reached"), "{log}");
    }
}

#[tokio::test]
async fn deadlines_hold_and_a_panic_is_internal() {
    let served = Served::start(&["--faults", "--default-deadline", "100ms"]).await;
    let web = Web::http1(&served.address);
    let slow = ("x-fault", "delay=1h");
    for headers in [&[slow, ("connect-timeout-ms", "50")][..], &[slow]] {
        let late = web.call("GetOrder", headers, &nothing()).await;
        assert_eq!(late.status, 504);
        has(&late.json(), &json!({"code": "deadline_exceeded"}));
    }
    let malformed = [("connect-timeout-ms", "1s")];
    assert_eq!(web.call("GetOrder", &malformed, &nothing()).await.status, 400);

    let panicked = web.call("GetOrder", &[("x-fault", "panic")], &nothing()).await;
    assert_eq!(panicked.status, 500);
    has(&panicked.json(), &json!({"code": "internal", "message": "internal error"}));

    let lines = calls_of(served).await;
    let ended: Vec<_> = lines.iter().map(|line| &line["grpc.ended_by"]).collect();
    assert_eq!((ended.len(), ended[3]), (4, &json!("panic")), "{lines:#?}");
}

/// It is bounded as a gRPC request is: by the deadline of the server, and before that by authentication.
#[tokio::test]
async fn a_body_that_never_ends_is_ended_by_the_bounds_of_grpc() {
    let served = Served::start(&["--default-deadline", "100ms"]).await;
    let head = |address: &str| {
        let path = path("GetOrder");
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{{"
        )
    };
    let mut socket = TcpStream::connect(&served.address).await.unwrap();
    socket.write_all(head(&served.address).as_bytes()).await.unwrap();
    let (answer, body) = until_closed(socket).await;
    assert!(answer.starts_with("http/1.1 504 "), "{answer}");
    assert!(answer.contains("connection: close") && body.contains("deadline_exceeded"), "{answer}");
    has(&calls_of(served).await[0], &json!({"rpc.response.status_code": "deadline_exceeded"}));

    let (_folder, _, served) = start_with_token(&["--default-deadline", "off"]).await;
    let mut socket = TcpStream::connect(&served.address).await.unwrap();
    socket.write_all(head(&served.address).as_bytes()).await.unwrap();
    let (answer, body) = until_closed(socket).await;
    assert!(answer.starts_with("http/1.1 401 "), "{answer}");
    assert!(answer.contains("connection: close") && body.contains("unauthenticated"), "{answer}");
}

#[tokio::test]
async fn health_and_reflection_answer_as_well_and_other_paths_are_no_calls() {
    let served = Served::start(&[]).await;
    let web = Web::http1(&served.address);
    let json = [("content-type", "application/json")];
    let check = web.send(Method::POST, "/grpc.health.v1.Health/Check", &json, "{}").await;
    assert_eq!(whole(check).await.json(), json!({"status": "SERVING"}));
    // Its streams go in both directions.
    let reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let stream = [("content-type", "application/connect+json")];
    let reflected = web.send(Method::POST, reflect, &stream, "").await;
    assert_eq!(reflected.status(), 505);
    let bogus = web.send(Method::POST, &path("Bogus"), &json, "{}").await;
    assert_eq!(bogus.status(), 404);
}

/// gRPC needs HTTP/2, and gRPC-Web is for the clients that have only HTTP/1.1.
#[tokio::test]
async fn grpc_web_is_served_and_grpc_over_http_1_is_refused() {
    let served = Served::start(&["--log", "json"]).await;
    let web = Web::http1(&served.address);
    let message = ListOrdersRequest::default().encode_to_vec();
    let frame = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
    let list = path("ListOrders");
    let called = |kind| {
        let body = match kind {
            "application/grpc-web-text" => STANDARD.encode(&frame).into_bytes(),
            _ => frame.clone(),
        };
        let (web, list) = (&web, &list);
        async move { web.send(Method::POST, list, &[("content-type", kind)], body).await }
    };
    for kind in ["application/grpc-web+proto", "application/grpc-web-text"] {
        let answer = whole(called(kind).await).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let trailers = b"grpc-status:0";
        assert!(answer.body.windows(trailers.len()).any(|part| part == trailers), "{answer:?}");
    }
    assert_eq!(called("application/grpc").await.status(), 400);

    let lines = calls_of(served).await;
    let protocols: Vec<_> = lines.iter().map(|line| &line["grpc.protocol"]).collect();
    assert_eq!(protocols, ["grpc-web", "grpc-web"]);
}

/// A client that has only HTTP/1.1, by ALPN.
#[tokio::test]
async fn over_tls_http_1_is_offered_as_well() {
    let certificates = Certificates::new();
    let served = Served::start(&texts(&certificates.serve())).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.path("ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = TcpStream::connect(&served.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\nconnection: close\r\n\r\n{{\"id\":\"x\"}}",
        path("GetOrder")
    );
    tls.write_all(request.as_bytes()).await.unwrap();
    let (head, body) = until_closed(tls).await;
    assert!(head.starts_with("http/1.1 404 ") && body.contains("not_found"), "{head} {body}");
}

#[tokio::test]
async fn pages_of_the_given_origins_may_call_and_a_preflight_is_no_call() {
    const SHOP: &str = "https://shop.example";
    let served = Served::start(&["--cors", SHOP, "--log", "json"]).await;
    let web = Web::http1(&served.address);
    let ask = |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        let web = &web;
        async move { web.send(Method::OPTIONS, &path("GetOrder"), &headers, "").await }
    };
    let allowed = ask(SHOP).await;
    assert_eq!(allowed.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(allowed.headers()["access-control-allow-headers"], "authorization,content-type");
    let other = ask("https://evil.example").await;
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    let answer = web.call("GetOrder", &[("origin", SHOP)], &nothing()).await;
    assert_eq!(answer.headers["access-control-allow-origin"], SHOP);
    assert_eq!(answer.headers["access-control-expose-headers"], "*");
    assert_eq!(calls_of(served).await.len(), 1);
}
