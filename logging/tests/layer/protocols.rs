//! The lines of calls that a layer outside has translated into gRPC.

use std::sync::{Arc, Mutex};

use http::Request;
use tonic::{Code, Status};
use tonic_call::{CODES, MethodKind, Protocol, Side, code_name};
use tonic_call_test_kit::Script;
use tracing::Level;

use crate::common::{self, Lines, described, stream, to_kind, with};

const SYSTEM: &str = "rpc.system.name";
const PROTOCOL: &str = "grpc.protocol";
const CODE: &str = "rpc.response.status_code";

/// A request that a layer outside has translated from this protocol.
fn translated(protocol: Protocol) -> Request<Script> {
    let mut request = to_kind(MethodKind::Unary);
    request.extensions_mut().insert(protocol);
    request
}

#[tokio::test]
async fn a_line_names_the_protocol_of_the_caller() {
    let lines = Lines::listen();
    for (protocol, name, system, code) in [
        (Protocol::Grpc, "grpc", "grpc", "NOT_FOUND"),
        (Protocol::GrpcWeb, "grpc-web", "grpc", "NOT_FOUND"),
        (Protocol::GrpcWebText, "grpc-web", "grpc", "NOT_FOUND"),
        (Protocol::Connect, "connect", "connectrpc", "not_found"),
    ] {
        let status = Status::not_found("");
        common::call(&described(Side::Server), translated(protocol), move || {
            Ok(stream(0, &status))
        })
        .await;
        let line = lines.take_only();
        assert_eq!(line.text(PROTOCOL), Some(name), "{protocol:?}");
        assert_eq!(line.text(SYSTEM), Some(system), "{protocol:?}");
        assert_eq!(line.text(CODE), Some(code), "{protocol:?}");
    }
}

#[tokio::test]
async fn the_codes_of_connect_are_in_lower_case_and_have_the_levels_of_grpc() {
    let lines = Lines::listen();
    for code in CODES {
        let mut seen = [Protocol::Grpc, Protocol::Connect].map(|_| None);
        for (protocol, seen) in [Protocol::Grpc, Protocol::Connect].into_iter().zip(&mut seen) {
            let status = Status::new(code, "");
            common::call(&described(Side::Server), translated(protocol), move || {
                Ok(stream(0, &status))
            })
            .await;
            *seen = Some(lines.take_only());
        }
        let [grpc, connect] = seen.map(Option::unwrap);
        let expected = match code {
            Code::Ok => "OK".to_owned(),
            Code::Cancelled => "canceled".to_owned(),
            code => code_name(code).to_lowercase(),
        };
        assert_eq!(connect.text(CODE), Some(&*expected));
        assert_eq!(grpc.text(CODE), Some(code_name(code)));
        assert_eq!(connect.level, grpc.level, "{code:?}");
    }
}

#[tokio::test]
async fn every_line_of_a_call_names_the_protocol() {
    let lines = Lines::listen();
    let layer = described(Side::Server).starts(Level::DEBUG).messages(Level::TRACE);
    common::call(&layer, translated(Protocol::Connect), || Ok(stream(1, &Status::ok("")))).await;
    let seen = lines.take();
    assert!(seen.len() >= 3, "{seen:#?}");
    for line in seen {
        assert_eq!(line.text(PROTOCOL), Some("connect"), "{line:#?}");
        assert_eq!(line.text(SYSTEM), Some("connectrpc"), "{line:#?}");
    }
}

/// A gRPC-Web request is seen by a layer outside tonic-web.
#[tokio::test]
async fn a_content_type_of_grpc_web_is_enough() {
    let lines = Lines::listen();
    for content_type in ["application/grpc-web", "application/grpc-web-text+proto"] {
        let request = with(to_kind(MethodKind::Unary), &[("content-type", content_type)]);
        common::call(&described(Side::Server), request, || Ok(stream(0, &Status::ok("")))).await;
        assert_eq!(lines.take_only().text(PROTOCOL), Some("grpc-web"), "{content_type}");
    }
}

/// Regression: a handler that forwards a Connect call with its extensions makes a gRPC call.
#[tokio::test]
async fn a_forwarded_connect_call_is_one_of_grpc_on_the_client() {
    let lines = Lines::listen();
    let status = Status::not_found("");
    let request = translated(Protocol::Connect);
    common::call(&described(Side::Client), request, move || Ok(stream(0, &status))).await;
    let line = lines.take_only();
    assert_eq!(line.text(PROTOCOL), Some("grpc"));
    assert_eq!(line.text(SYSTEM), Some("grpc"));
    assert_eq!(line.text(CODE), Some("NOT_FOUND"));
}

#[tokio::test]
async fn a_caller_cannot_choose_the_protocol() {
    let lines = Lines::listen();
    for content_type in ["application/grpc", "application/connect+proto", "application/json"] {
        let headers = [
            ("content-type", content_type),
            ("connect-protocol-version", "1"),
            ("grpc.protocol", "connect"),
            ("protocol", "connect"),
        ];
        let request = with(to_kind(MethodKind::Unary), &headers);
        common::call(&described(Side::Server), request, || Ok(stream(0, &Status::ok("")))).await;
        assert_eq!(lines.take_only().text(PROTOCOL), Some("grpc"), "{content_type}");
    }
}

#[tokio::test]
async fn a_callback_gets_the_protocol() {
    let _lines = Lines::listen();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let layer = described(Side::Server)
        .on_finished(move |call| sink.lock().unwrap().push((call.protocol(), call.code())));
    let status = Status::not_found("");
    common::call(&layer, translated(Protocol::Connect), move || Ok(stream(0, &status))).await;
    assert_eq!(*seen.lock().unwrap(), [(Protocol::Connect, Code::NotFound)]);
}
