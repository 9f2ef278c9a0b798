//! Requests that no client library would send, written by hand on an HTTP/1.1 connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_call_test_kit::Recorded;

use crate::common::{Served, layer, serve};

const LINE: &str = "test.v1.Kinds/Unary HTTP/1.1\r\nhost: a\r\n";

/// A call that succeeds.
const GOOD: &str = "POST /test.v1.Kinds/Unary HTTP/1.1\r\nhost: a\r\n\
                    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// A connection on which these bytes were sent.
async fn sent(server: &Served, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    connection.write_all(bytes.as_ref()).await.unwrap();
    connection
}

/// All that the server sends until it closes the connection.
async fn until_closed(mut connection: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset ends it, too.
    while matches!(connection.read_buf(&mut answer).await, Ok(1..)) {}
    String::from_utf8_lossy(&answer).into_owned()
}

/// The answers to these requests. The last one closes the connection.
async fn answers(server: &Served, requests: impl AsRef<str>) -> String {
    let (before, last) = requests.as_ref().rsplit_once("host: a\r\n").unwrap();
    until_closed(sent(server, format!("{before}host: a\r\nconnection: close\r\n{last}")).await)
        .await
}

fn statuses(answers: &str) -> Vec<u16> {
    let codes = answers.match_indices("HTTP/1.1 ").map(|(at, name)| at + name.len());
    codes.map(|at| answers[at..at + 3].parse().unwrap()).collect()
}

#[tokio::test]
async fn requests_that_follow_each_other_at_once_are_answered_in_order() {
    let server = serve(layer());
    let requests = [
        (200, GOOD.to_owned()),
        (405, format!("HEAD /{LINE}\r\n")),
        (
            200,
            "GET /test.v1.Kinds/Peek?encoding=json&message=%7B%7D HTTP/1.1\r\nhost: a\r\n\r\n"
                .into(),
        ),
        (400, "GET /test.v1.Kinds/Peek HTTP/1.1\r\nhost: a\r\n\r\n".into()),
        (415, format!("POST /{LINE}\r\n")),
        (400, format!("POST /{LINE}content-type: application/json\r\ncontent-length: 1\r\n\r\n{{")),
        (
            200,
            "POST /test.v1.Kinds/ServerStream HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\
             content-type: application/connect+json\r\n\r\n\0\0\0\0\x02{}"
                .into(),
        ),
        (200, GOOD.to_owned()),
    ];
    let (expected, bytes): (Vec<u16>, Vec<String>) = requests.into_iter().unzip();
    let answers = answers(&server, bytes.concat()).await;
    assert_eq!(statuses(&answers), expected, "{answers}");
    assert_eq!(server.recorder.begun(), expected.len());
}

/// Guards against: request smuggling.
#[tokio::test]
async fn the_body_of_a_refused_request_is_not_the_next_request() {
    let server = serve(layer());
    let rest = format!("content-length: {}\r\n\r\n{GOOD}", GOOD.len());
    for (status, head) in [
        (415, format!("POST /{LINE}content-type: text/plain\r\n")),
        (405, format!("PUT /{LINE}content-type: application/json\r\n")),
        (400, format!("POST /{LINE}content-type: application/json\r\nconnect-timeout-ms: x\r\n")),
        (404, "POST /test.v1.Kinds/Nope HTTP/1.1\r\nhost: a\r\n".to_owned()),
    ] {
        let before = server.recorder.begun();
        let answers = until_closed(sent(&server, head + &rest).await).await;
        assert_eq!(statuses(&answers), [status], "{answers}");
        assert!(answers.contains("connection: close\r\n"), "{answers}");
        assert_eq!(server.recorder.begun(), before + 1);
    }
}

/// The bytes that did arrive are a whole protobuf message, but not the one that was sent.
#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_is_no_message() {
    let server = serve(layer());
    for (kind, body) in [
        ("application/json", "content-length: 9\r\n\r\n{}"),
        ("application/proto", "content-length: 9\r\n\r\n\x08\x01"),
        ("application/proto", "transfer-encoding: chunked\r\n\r\n2\r\n\x08\x01\r\n"),
        ("application/proto", "transfer-encoding: chunked\r\n\r\n2\r\n\x08\x01\r\nzz\r\n"),
    ] {
        let head = format!("POST /{LINE}content-type: {kind}\r\n");
        let before = server.recorder.ended().len();
        let mut connection = sent(&server, head + body).await;
        connection.shutdown().await.unwrap();
        let answers = until_closed(connection).await;
        assert!(!statuses(&answers).contains(&200), "{body:?}: {answers}");
        let recorded = server.recorder.until_ended(before + 1).await;
        let recorded: &Recorded = &recorded[before];
        assert!(recorded.requests.is_empty() && recorded.code != Code::Ok, "{recorded:?}");
    }
    let two = format!("POST /{LINE}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}");
    assert_eq!(statuses(&answers(&server, two).await), [400]);
    server.service.until_alive(0).await;
}

#[tokio::test]
async fn a_body_behind_expect_100_continue_is_only_requested_if_it_is_read() {
    let server = serve(layer());
    let head = |kind: &str, length: usize| {
        format!(
            "POST /{LINE}content-type: {kind}\r\nexpect: 100-continue\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    for (status, refused) in [
        (415, head("text/plain", 2)),
        (429, head("application/json", 99_999_999)),
        (404, head("application/json", 2).replace("Unary", "Nope")),
    ] {
        let answers = until_closed(sent(&server, refused).await).await;
        assert_eq!(statuses(&answers), [status], "{answers}");
    }

    let waiting = head("application/json", 2).replace("expect", "connection: close\r\nexpect");
    let mut connection = sent(&server, waiting).await;
    let mut interim = [0; 25];
    connection.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_all(b"{}").await.unwrap();
    assert_eq!(statuses(&until_closed(connection).await), [200]);
}

#[tokio::test]
async fn no_verb_but_post_runs_a_method_that_may_have_side_effects() {
    let server = serve(layer());
    let verbs = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X"];
    for verb in verbs {
        let answers = answers(&server, GOOD.replacen("POST", verb, 1)).await;
        assert_eq!(statuses(&answers)[0], 405, "{verb}: {answers}");
    }
    for recorded in server.recorder.until_ended(verbs.len()).await {
        assert!(recorded.requests.is_empty(), "{recorded:?}");
    }
}

/// A browser sends these without a preflight (Fetch, "CORS-safelisted request-header").
#[tokio::test]
async fn what_a_foreign_page_can_post_without_a_preflight_is_no_message() {
    let server = serve(layer());
    let kinds = [
        "",
        "content-type: text/plain\r\n",
        "content-type: text/plain; x=application/json\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=application/connect+json\r\n",
    ];
    let methods = ["Unary", "Peek", "ServerStream", "ClientStream"];
    for method in methods {
        for kind in kinds {
            let head = format!("POST /{LINE}{kind}").replace("Unary", method);
            let request = format!("{head}content-length: 7\r\n\r\n\0\0\0\0\x02{{}}");
            let answers = answers(&server, request).await;
            assert_eq!(statuses(&answers), [415], "{method} {kind}");
        }
    }
    for recorded in server.recorder.until_ended(kinds.len() * methods.len()).await {
        assert!(recorded.requests.is_empty(), "{recorded:?}");
    }
}

#[tokio::test]
async fn only_the_exact_path_names_a_method() {
    let server = serve(layer());
    for path in ["/test.v1.Kinds/%55nary", "//test.v1.Kinds/Unary", "/x/test.v1.Kinds/Unary"] {
        let answers = answers(&server, GOOD.replace("/test.v1.Kinds/Unary", path)).await;
        assert!(matches!(statuses(&answers)[0], 400 | 404), "{path}: {answers}");
    }
    for recorded in server.recorder.ended() {
        assert!(recorded.requests.is_empty(), "{recorded:?}");
    }
}

#[tokio::test]
async fn a_header_that_contradicts_itself_is_refused() {
    let server = serve(layer());
    for (status, twice) in [
        (415, ["content-type: application/proto", "content-type: application/json"]),
        (501, ["content-encoding: identity", "content-encoding: gzip"]),
        (400, ["connect-timeout-ms: 1000", "connect-timeout-ms: 9999"]),
        (400, ["connect-protocol-version: 1", "connect-protocol-version: 2"]),
    ] {
        let twice = format!("host: a\r\n{}\r\n", twice.join("\r\n"));
        let answers = answers(&server, GOOD.replace("host: a\r\n", &twice)).await;
        assert_eq!(statuses(&answers)[0], status, "{answers}");
    }
    for recorded in server.recorder.ended() {
        assert!(recorded.requests.is_empty(), "{recorded:?}");
    }
}

/// hyper limits a URI to 64 KiB.
#[tokio::test]
async fn a_query_has_a_limit() {
    let server = serve(layer());
    for (length, status) in [(10_000, 200), (100_000, 414)] {
        let query = format!("encoding=json&message=%7B%22text%22:%22{}%22%7D", "a".repeat(length));
        let request = format!("GET /test.v1.Kinds/Peek?{query} HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(statuses(&answers(&server, request).await), [status], "{length}");
    }
}
