//! Requests that break a rule in their head.

use http::{Request, Version};
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_call_test_kit::{Ended, Script, trailers_only};

use crate::common::{self, Answer, get, layer, post, serve, through};

#[tokio::test]
async fn other_media_types_are_answered_with_415_and_the_accepted_ones() {
    let server = serve(layer());
    for (method, kind) in [
        ("Unary", "application/xml"),
        ("Unary", "application/connect+json"),
        ("Unary", "application/json; charset=latin1"),
        ("Unary", ""),
        ("ServerStream", "application/json"),
        ("ClientStream", "text/plain"),
    ] {
        let answer = server.post(method, kind, "{}").await;
        assert_eq!(answer.status, 415, "{method} {kind}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert!(answer.body.starts_with(b"unsupported content type, use application/"));
        let accepted = answer.header("accept-post");
        let stream = if method == "Unary" { "application/" } else { "application/connect+" };
        assert!(accepted.contains(&format!("{stream}json")), "{accepted}");
        assert!(accepted.contains(&format!("{stream}proto")), "{accepted}");
        assert!(accepted.contains("application/grpc"), "{accepted}");
        assert_eq!(answer.header("connection"), "close");
    }
}

#[tokio::test]
async fn other_http_methods_are_answered_with_405_and_the_allowed_ones() {
    let server = serve(layer());
    for (verb, method, allowed) in [
        ("GET", "Unary", "POST"),
        ("PUT", "Unary", "POST"),
        ("DELETE", "Peek", "GET, POST"),
        ("GET", "ServerStream", "POST"),
        ("OPTIONS", "Unary", "POST"),
    ] {
        let mut request = post(method, "application/json", "");
        *request.method_mut() = verb.parse().unwrap();
        let answer = server.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, allowed),
            "{verb} {method}"
        );
        assert_eq!(answer.body, format!("the HTTP method is not allowed, use {allowed}"));
    }
}

#[tokio::test]
async fn unknown_methods_are_answered_with_404() {
    let server = serve(layer());
    for (path, marker) in [
        ("/test.v1.Kinds/Nope", None),
        ("/test.v1.Kinds/unary", None),
        ("/test.v1.Kinds/Unary/", None),
        ("/other.v1.Service/Method", Some("1")),
    ] {
        let mut request = Request::post(path).header("content-type", "application/json");
        if let Some(version) = marker {
            request = request.header("connect-protocol-version", version);
        }
        let answer = server.send(request.body(Full::from("{}")).unwrap()).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.text(), "there is no such method");
    }
}

#[tokio::test]
async fn requests_to_other_routes_pass_untouched() {
    for request in [
        Request::get("/metrics"),
        Request::post("/api/orders").header("content-type", "application/json"),
        Request::post("/other.v1.Service/Method").header("content-type", "application/json"),
        Request::options("/test.v1.Kinds/Unary")
            .header("origin", "https://example.org")
            .header("access-control-request-method", "POST"),
    ] {
        let request = request.version(Version::HTTP_11).body(Full::from("own")).unwrap();
        let (verb, path) = (request.method().clone(), request.uri().clone());
        let response = http::Response::builder().status(299).header("x-own", "1");
        let body = Script::new().data("answer".into());
        let (answer, seen) = through(layer(), request, response.body(body).unwrap()).await;
        assert_eq!((seen.head.method, seen.head.uri), (verb, path));
        assert_eq!((seen.head.version, seen.body.unwrap()), (Version::HTTP_11, "own".into()));
        assert_eq!((answer.status.as_u16(), answer.body), (299, "answer".into()));
        assert_eq!(answer.headers.len(), 1);
    }
}

#[tokio::test]
async fn bidirectional_streams_need_http_2() {
    let server = serve(layer());
    let request = post("BidiStream", "application/connect+json", common::envelope(0, b"{}"));
    let answer = server.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (505, "close"));
    assert!(answer.text().contains("HTTP/2"));
}

#[tokio::test]
async fn malformed_connect_headers_are_invalid() {
    let server = serve(layer());
    for (name, value) in [
        ("connect-timeout-ms", "soon"),
        ("connect-timeout-ms", "12345678901"),
        ("connect-timeout-ms", "-1"),
        ("connect-protocol-version", "2"),
        ("connect-protocol-version", ""),
    ] {
        let mut unary = post("Unary", "application/json", "{}");
        unary.headers_mut().insert(name, value.parse().unwrap());
        let answer = server.send(unary).await;
        assert_eq!(answer.status, 400, "{name}: {value}");
        assert_eq!(answer.json()["code"], "invalid_argument");
        assert!(answer.json()["message"].as_str().unwrap().contains(name), "{name}: {value}");

        let mut stream =
            post("ServerStream", "application/connect+json", common::envelope(0, b"{}"));
        stream.headers_mut().insert(name, value.parse().unwrap());
        let answer = server.send(stream).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/connect+json")
        );
        assert_eq!(answer.end()["error"]["code"], "invalid_argument");
    }
}

#[tokio::test]
async fn the_protocol_version_can_be_required() {
    let server = serve(layer().require_protocol_version(true));
    let answer = server.post("Unary", "application/json", "{}").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!("invalid_argument")));
    let mut request = post("Unary", "application/json", "{}");
    request.headers_mut().insert("connect-protocol-version", "1".parse().unwrap());
    assert_eq!(server.send(request).await.status, 200);

    let query = |version| get("Peek", &format!("{version}encoding=json&message=%7B%7D"));
    assert_eq!(server.send(query("")).await.status, 400);
    assert_eq!(server.send(query("connect=v1&")).await.status, 200);
}

#[tokio::test]
async fn a_refusal_is_a_call_for_the_layers_inside() {
    let server = serve(layer());
    let answer = server.post("Unary", "application/xml", "<a/>").await;
    assert_eq!(answer.status, 415);
    let recorded = server.recorder.only();
    assert_eq!((&*recorded.rpc, recorded.code), ("test.v1.Kinds/Unary", Code::InvalidArgument));
    assert_eq!(recorded.ended, Ended::Status);
    assert!(recorded.message.unwrap().contains("unsupported content type"));
}

#[tokio::test]
async fn a_layer_inside_that_refuses_earlier_is_what_the_caller_sees() {
    use tower::{Layer as _, ServiceExt as _, service_fn};

    let deny = service_fn(|_: Request<tonic::body::Body>| async {
        Ok::<_, Status>(trailers_only(&Status::unauthenticated("who are you?")))
    });
    for request in [
        post("Unary", "application/xml", "<a/>"),
        post("Nope", "application/json", "{}"),
        post("Unary", "application/json", "{}"),
    ] {
        let response = layer().layer(deny).oneshot(request).await.unwrap();
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json(), json!({"code": "unauthenticated", "message": "who are you?"}));
    }
}

#[tokio::test]
async fn a_service_that_does_not_read_its_request_is_not_taken_at_its_word() {
    use tower::{Layer as _, ServiceExt as _, service_fn};

    let ok = service_fn(|_: Request<tonic::body::Body>| async {
        Ok::<_, Status>(Script::new().messages(2).trailers(Code::Ok).respond())
    });
    let request = post("ClientStream", "application/json", "{}");
    let response = layer().layer(ok).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 415);
}

/// tonic answers an unknown path in gRPC, whatever the request is.
#[tokio::test]
async fn an_unknown_path_is_not_found_in_http() {
    for request in [
        Request::get("/"),
        Request::post("/other.v1.Service/Method").header("content-type", "application/json"),
    ] {
        let request = request.body(Full::from("{}")).unwrap();
        let unknown = trailers_only(&Status::unimplemented(""));
        let (answer, _) = through(layer(), request, unknown).await;
        assert_eq!(answer.status, 404);
        assert!(answer.header("content-type").starts_with("text/plain"));
    }
}

/// hyper closes such a connection at once, and the client's system then drops the answer.
#[tokio::test]
async fn the_rest_of_a_refused_http_1_request_is_read_so_that_the_answer_arrives() {
    let server = serve(layer());
    for (kind, status) in [("text/plain", "415"), ("application/grpc-web-unknown", "400")] {
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST /test.v1.Kinds/Unary HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n\
             content-length: 200000\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        connection.read_exact(&mut answer).await.unwrap();
        for _ in 0..200 {
            connection.write_all(&[b'x'; 1_000]).await.expect("the connection is still read");
            tokio::task::yield_now().await;
        }
        connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
}
