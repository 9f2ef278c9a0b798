//! Every code, on both sides: the exact attributes of its span.

use opentelemetry::Value;
use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use opentelemetry_sdk::trace::SpanData;
use tonic::Code::{self, *};
use tonic::Status;
use tonic::transport::Server;
use tonic_call::{MAX_TEXT_BYTES, MethodKind, ObserveLayer, Side};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    KINDS, KindsService, Recorder, ask, call as call_kind, listen, method_of,
};
use tower::ServiceBuilder;

use crate::common::*;

/// OpenTelemetry's semantic conventions for gRPC, "gRPC Status". For each code: its name, whether it makes a server
/// span an error, and whether it makes a client span an error.
const CODES: [(Code, &str, bool, bool); 17] = [
    (Ok, "OK", false, false),
    (Cancelled, "CANCELLED", false, true),
    (Unknown, "UNKNOWN", true, true),
    (InvalidArgument, "INVALID_ARGUMENT", false, true),
    (DeadlineExceeded, "DEADLINE_EXCEEDED", true, true),
    (NotFound, "NOT_FOUND", false, true),
    (AlreadyExists, "ALREADY_EXISTS", false, true),
    (PermissionDenied, "PERMISSION_DENIED", false, true),
    (ResourceExhausted, "RESOURCE_EXHAUSTED", false, true),
    (FailedPrecondition, "FAILED_PRECONDITION", false, true),
    (Aborted, "ABORTED", false, true),
    (OutOfRange, "OUT_OF_RANGE", false, true),
    (Unimplemented, "UNIMPLEMENTED", true, true),
    (Internal, "INTERNAL", true, true),
    (Unavailable, "UNAVAILABLE", true, true),
    (DataLoss, "DATA_LOSS", true, true),
    (Unauthenticated, "UNAUTHENTICATED", false, true),
];

/// Asserts that the span is exactly the one that the conventions define for this method and ending.
#[track_caller]
fn assert_span(
    span: &SpanData,
    side: Side,
    kind: MethodKind,
    code: &str,
    failed: bool,
    description: &str,
    server: &[(&str, Value)],
) {
    let case = format!("{side:?} {kind:?} {code}");
    assert_eq!(span.name, method_of(kind), "{case}");
    let span_kind = match side {
        Side::Server => SpanKind::Server,
        Side::Client => SpanKind::Client,
    };
    assert_eq!(span.span_kind, span_kind, "{case}");
    let status = match failed {
        true => SpanStatus::error(description.to_owned()),
        false => SpanStatus::Unset,
    };
    assert_eq!(span.status, status, "{case}");
    let mut expected = vec![
        ("rpc.method", Value::from(method_of(kind))),
        ("rpc.response.status_code", code.to_owned().into()),
        ("rpc.system.name", "grpc".into()),
    ];
    expected.extend_from_slice(server);
    if failed {
        expected.push(("error.type", code.to_owned().into()));
    }
    expected.sort_by_key(|(key, _)| *key);
    let found = attributes(span).into_iter().collect::<Vec<_>>();
    let expected: Vec<_> =
        expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    assert_eq!(found, expected, "{case}");
    assert!(span.events.events.is_empty(), "{case}: {:?}", span.events);
    assert!(span.links.links.is_empty(), "{case}: {:?}", span.links);
}

/// The server attributes of the scripted requests.
fn server_of(side: Side) -> Vec<(&'static str, Value)> {
    match side {
        Side::Server => vec![],
        Side::Client => {
            vec![("server.address", "orders.svc".into()), ("server.port", 8080.into())]
        }
    }
}

#[tokio::test]
async fn each_code_makes_exactly_the_span_that_the_conventions_say() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.described(side);
        for (code, name, server_failed, client_failed) in CODES {
            let failed = match side {
                Side::Server => server_failed,
                Side::Client => client_failed,
            };
            for kind in KINDS {
                for in_head in [false, true] {
                    // As gRPC sends it: a failure has a message, and `OK` has none.
                    let message = if code == Ok { "" } else { "a ü % text" };
                    let status = Status::new(code, message);
                    call(&layer, to_kind(kind), move || match in_head {
                        true => Result::Ok(trailers_only(&status)),
                        false => Result::Ok(stream(2, &status)),
                    })
                    .await;
                    let span = traces.take_only();
                    assert_span(&span, side, kind, name, failed, message, &server_of(side));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_code_that_grpc_does_not_define_is_unknown() {
    for side in SIDES {
        for number in ["17", "-1", "x", ""] {
            let traces = Traces::new();
            call(&traces.described(side), to_kind(MethodKind::Unary), move || {
                let mut response = trailers_only(&Status::ok(""));
                response.headers_mut().insert("grpc-status", number.parse().unwrap());
                Result::Ok(response)
            })
            .await;
            let span = traces.only();
            assert_span(&span, side, MethodKind::Unary, "UNKNOWN", true, "", &server_of(side));
        }
    }
}

#[tokio::test]
async fn a_failure_without_a_message_has_no_description() {
    for side in SIDES {
        let traces = Traces::new();
        call(&traces.described(side), to_kind(MethodKind::Unary), || {
            Result::Ok(trailers_only(&Status::internal("")))
        })
        .await;
        assert_eq!(traces.only().status, SpanStatus::error(""));
    }
}

#[tokio::test]
async fn a_description_is_bounded_and_shows_what_is_not_printable() {
    let traces = Traces::new();
    let long = format!("line\nnext\u{202e}{}", "x".repeat(6_000));
    call(&traces.described(Side::Client), to_kind(MethodKind::Unary), move || {
        Result::Ok(stream(0, &Status::internal(&*long)))
    })
    .await;
    let SpanStatus::Error { description } = traces.only().status else { panic!("an error") };
    assert!(description.starts_with("line\\nnext\\u{202e}xxx"), "{description}");
    assert!(!description.contains(['\n', '\u{202e}']));
    assert!(description.len() <= MAX_TEXT_BYTES, "{}", description.len());
}

/// Over a real socket: tonic writes the status, and a channel reads it.
#[tokio::test]
async fn each_code_of_each_kind_is_one_span_on_the_server_and_one_on_the_client() {
    let (servers, clients) = (Traces::new(), Traces::new());
    let (server, client) = (Recorder::new(), Recorder::new());
    let (incoming, endpoint) = listen();
    let authority = endpoint.uri().authority().unwrap().clone();
    let port = Value::I64(authority.port_u16().unwrap().into());
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(server.clone()))
            .layer(servers.described(Side::Server))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let channel = ServiceBuilder::new()
        .layer(ObserveLayer::client(client.clone()))
        .layer(clients.client())
        .service(endpoint.connect_lazy());
    let mut kinds = KindsClient::new(channel);
    let mut calls = 0;
    for (code, name, server_failed, client_failed) in CODES {
        for kind in KINDS {
            let act = if code == Ok { Act::Unspecified } else { Act::Fail };
            let asked = Ask { code: code as i32, ..ask(act, 3) };
            let outcome = call_kind(&mut kinds, kind, asked, &[]).await;
            assert_eq!(outcome.code, code);
            // The outer observers end after the inner layers.
            calls += 1;
            server.until_ended(calls).await;
            client.until_ended(calls).await;
            let (seen, sent) = (servers.take_only(), clients.take_only());
            let peer = text(&seen, "network.peer.address").unwrap();
            let peer_port = number(&seen, "network.peer.port").unwrap();
            assert_eq!(peer, "127.0.0.1");
            let named = [
                ("network.peer.address", peer.into()),
                ("network.peer.port", peer_port.into()),
                ("server.address", "127.0.0.1".into()),
                ("server.port", port.clone()),
            ];
            let said = if code == Ok { "" } else { "on purpose" };
            assert_span(&seen, Side::Server, kind, name, server_failed, said, &named);
            let target = server_of(Side::Client);
            assert_span(&sent, Side::Client, kind, name, client_failed, said, &target);
            // The server's span is a child of the client's.
            assert_eq!(seen.parent_span_id, sent.span_context.span_id());
            assert_eq!(seen.span_context.trace_id(), sent.span_context.trace_id());
            assert!(seen.parent_span_is_remote && !sent.parent_span_is_remote);
        }
    }
}
