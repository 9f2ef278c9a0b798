//! The spans of calls that a layer outside has translated into gRPC.

use http::Request;
use opentelemetry::Value;
use opentelemetry::trace::Status as SpanStatus;
use opentelemetry_sdk::trace::SpanData;
use tonic::{Code, Status};
use tonic_call::{CODES, MethodKind, Protocol, Side};
use tonic_call_test_kit::Script;
use tonic_tracing_layer::Conventions;

use crate::common::*;

/// The codes that the conventions for Connect define as server errors.
const FAULTS: [&str; 6] =
    ["unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"];

/// A request that a layer outside has translated from this protocol.
fn translated(mut request: Request<Script>, protocol: Protocol) -> Request<Script> {
    request.extensions_mut().insert(protocol);
    request
}

async fn connect_span(conventions: Conventions, path: &str, code: Code) -> SpanData {
    let traces = Traces::new();
    let layer = traces
        .described(Side::Server)
        .conventions(conventions)
        .request_metadata(["x-tenant"])
        .response_metadata(["x-region"]);
    let request = translated(with(to(path), &[("x-tenant", "blue")]), Protocol::Connect);
    let status = Status::new(code, "no");
    call(&layer, request, move || {
        let mut response = stream(1, &status);
        response.headers_mut().insert("x-region", "eu".parse().unwrap());
        Ok(response)
    })
    .await;
    traces.only()
}

/// The name of a code in the Connect protocol.
fn name_of(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "canceled".to_owned(),
        code => tonic_call::code_name(code).to_lowercase(),
    }
}

#[tokio::test]
async fn a_connect_call_is_of_the_system_connectrpc_and_its_codes_are_in_lower_case() {
    for (conventions, status_key) in [
        (Conventions::Released, "rpc.response.status_code"),
        (Conventions::Next, "rpc.status_code"),
    ] {
        for code in CODES {
            let span = connect_span(conventions, "/test.v1.Kinds/Unary", code).await;
            let name = name_of(code);
            let is_fault = FAULTS.contains(&&*name);
            assert_eq!(span.name, "test.v1.Kinds/Unary");
            assert_eq!(text(&span, "rpc.system.name").as_deref(), Some("connectrpc"));
            assert_eq!(text(&span, status_key), Some(name.clone()));
            assert_eq!(text(&span, "error.type"), is_fault.then_some(name), "{code:?}");
            let status = if is_fault { SpanStatus::error("no") } else { SpanStatus::Unset };
            assert_eq!(span.status, status, "{code:?}");
        }
    }
}

#[tokio::test]
async fn the_old_conventions_have_names_of_their_own_for_connect() {
    for (code, error) in [
        (Code::Ok, None),
        (Code::Cancelled, Some("cancelled")),
        (Code::NotFound, Some("not_found")),
        (Code::DataLoss, Some("data_loss")),
    ] {
        let span = connect_span(Conventions::Old, "/test.v1.Kinds/Unary", code).await;
        let found: Vec<_> = attributes(&span).into_iter().collect();
        let list =
            |text: &'static str| Value::Array(opentelemetry::Array::String(vec![text.into()]));
        let mut expected = vec![
            ("rpc.connect_rpc.request.metadata.x-tenant", list("blue")),
            ("rpc.connect_rpc.response.metadata.x-region", list("eu")),
            ("rpc.method", "Unary".into()),
            ("rpc.service", "test.v1.Kinds".into()),
            ("rpc.system", "connect_rpc".into()),
        ];
        expected.extend(error.map(|error| ("rpc.connect_rpc.error_code", error.into())));
        expected.sort_by_key(|(key, _)| *key);
        let expected: Vec<_> =
            expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        assert_eq!(found, expected, "{code:?}");
    }
}

#[tokio::test]
async fn both_conventions_at_once_name_connect_as_each_does() {
    let span =
        connect_span(Conventions::OldAndReleased, "/test.v1.Kinds/Unary", Code::NotFound).await;
    for (key, value) in [
        ("rpc.system", "connect_rpc"),
        ("rpc.system.name", "connectrpc"),
        ("rpc.connect_rpc.error_code", "not_found"),
        ("rpc.response.status_code", "not_found"),
    ] {
        assert_eq!(text(&span, key).as_deref(), Some(value), "{key}");
    }
    let keys = attributes(&span);
    assert!(!keys.contains_key("rpc.grpc.status_code"), "{keys:?}");
    for key in ["rpc.connect_rpc.request.metadata.x-tenant", "rpc.request.metadata.x-tenant"] {
        assert!(keys.contains_key(key), "{key}");
    }
}

#[tokio::test]
async fn a_connect_call_of_an_unknown_method_is_named_after_its_system() {
    for (conventions, name) in [
        (Conventions::Old, "connect_rpc"),
        (Conventions::Released, "connectrpc"),
        (Conventions::OldAndReleased, "connectrpc"),
    ] {
        let span = connect_span(conventions, "/any/other", Code::Unimplemented).await;
        assert_eq!(span.name, name, "{conventions:?}");
    }
    // Without a descriptor set it is decided at the end: the service has read no message.
    let traces = Traces::new();
    let request = Request::post("/any/other").body(Script::new()).unwrap();
    let request = translated(request, Protocol::Connect);
    call(&traces.server(), request, || Ok(trailers_only(&Status::unimplemented("")))).await;
    assert_eq!(traces.only().name, "connectrpc");
}

#[tokio::test]
async fn a_sampler_sees_the_system() {
    let asking = Asking::samples(true);
    let traces = Traces::sampled_by(asking.clone());
    let request = translated(to_kind(MethodKind::Unary), Protocol::Connect);
    call(&traces.described(Side::Server), request, || Ok(stream(1, &Status::ok("")))).await;
    assert_eq!(asking.take_only().attributes["rpc.system.name"], Value::from("connectrpc"));
}

#[tokio::test]
async fn grpc_web_is_of_the_system_grpc() {
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb, Protocol::GrpcWebText] {
        let traces = Traces::new();
        let request = translated(to_kind(MethodKind::Unary), protocol);
        let status = Status::not_found("");
        call(&traces.server(), request, move || Ok(stream(0, &status))).await;
        let span = traces.only();
        assert_eq!(text(&span, "rpc.system.name").as_deref(), Some("grpc"), "{protocol:?}");
        let code = text(&span, "rpc.response.status_code");
        assert_eq!(code.as_deref(), Some("NOT_FOUND"), "{protocol:?}");
    }
}

/// Regression: a handler that forwards a Connect call with its extensions makes a gRPC call.
#[tokio::test]
async fn a_forwarded_connect_call_is_one_of_grpc_on_the_client() {
    let traces = Traces::new();
    let request = translated(to_kind(MethodKind::Unary), Protocol::Connect);
    call(&traces.client(), request, || Ok(stream(0, &Status::not_found("")))).await;
    let span = traces.only();
    assert_eq!(text(&span, "rpc.system.name").as_deref(), Some("grpc"));
    assert_eq!(text(&span, "rpc.response.status_code").as_deref(), Some("NOT_FOUND"));
}

#[tokio::test]
async fn a_caller_cannot_choose_the_system() {
    for content_type in ["application/grpc", "application/connect+proto", "application/json"] {
        let traces = Traces::new();
        let headers = [
            ("content-type", content_type),
            ("connect-protocol-version", "1"),
            ("rpc.system.name", "connectrpc"),
            ("protocol", "connect"),
        ];
        let request = with(to_kind(MethodKind::Unary), &headers);
        call(&traces.described(Side::Server), request, || Ok(stream(0, &Status::ok("")))).await;
        let system = text(&traces.only(), "rpc.system.name");
        assert_eq!(system.as_deref(), Some("grpc"), "{content_type}");
    }
}
