//! A line of the layer's own is the same as its event, byte for byte, apart from the time.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used)]

mod lines_common;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use lines_common::{LINES, listen, take_equal};
use proptest::prelude::*;
use serde_json::Value;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tonic_call::{CallInfo, FieldValue, MethodKind, Refusal, Side, TraceIds};
use tonic_call_test_kit::{
    KINDS, SIDES, Script, answers, methods, poll_once, run, silence_panics, stream, to, to_kind,
    trailers_only, with,
};
use tonic_logging_layer::{Lines, LoggingLayer};
use tower::{Layer as _, Service as _, service_fn};
use tracing::Level;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

/// A layer that writes each line to both outputs.
fn both(side: Side) -> LoggingLayer {
    let layer = match side {
        Side::Server => LoggingLayer::server(),
        Side::Client => LoggingLayer::client(),
    };
    layer.methods(&methods()).lines(Lines::new(LINES).min_level(Level::TRACE)).events(true)
}

#[track_caller]
fn take_only() -> Value {
    let lines = take_equal();
    let [line] = &lines[..] else { panic!("one line, not {lines:#?}") };
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn calls_of_every_kind_and_code() {
    listen();
    for side in SIDES {
        for kind in KINDS {
            for code in tonic_call::CODES {
                for messages in [0, 3] {
                    let status = Status::new(code, "why \"not\"\n\u{202e}");
                    let answer = move || Ok(stream(messages, &status));
                    run(both(side).layer(answers(answer)), to_kind(kind)).await;
                    assert_eq!(take_only()["grpc.response.messages"], messages);
                }
            }
        }
    }
}

#[tokio::test]
async fn trailers_only_answers_and_errors() {
    listen();
    for side in SIDES {
        let head = || Ok(trailers_only(&Status::not_found("no such order")));
        run(both(side).layer(answers(head)), to("/test.v1.Kinds/Unary")).await;
        assert_eq!(take_only()["grpc.status_message"], "no such order");

        let fails = || Err(Status::data_loss("gone"));
        run(both(side).layer(answers(fails)), to("/test.v1.Kinds/Unary")).await;
        take_only();

        let no_status = || Ok(Script::new().messages(1).respond());
        run(both(side).layer(answers(no_status)), to("/no.Such/Method")).await;
        take_only();
    }
}

#[tokio::test]
async fn a_call_that_its_caller_drops() {
    listen();
    for side in SIDES {
        let stalls = || Ok(Script::new().messages(1).stall().respond());
        let mut service = both(side).layer(answers(stalls));
        drop(service.call(to("/test.v1.Kinds/ServerStream")).await.unwrap());
        assert_eq!(take_only()["grpc.ended_by"], "caller");
        drop(service.call(to("/test.v1.Kinds/ServerStream")));
        take_only();
    }
}

#[tokio::test]
async fn a_call_that_panics() {
    listen();
    silence_panics();
    for side in SIDES {
        let panics = || Ok(Script::new().messages(1).panic().respond());
        let body = both(side).layer(answers(panics)).call(to("/a.B/C")).await.unwrap().into_body();
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut all = pin!(tonic_call_test_kit::drain(body));
            let _ = poll_once(all.as_mut());
        }));
        assert!(unwound.is_err());
        assert_eq!(take_only()["grpc.ended_by"], "panic");
    }
}

/// A service whose layers and handler set every value that a line includes.
async fn full(request: Request<Body>) -> Result<Response<Script>, Status> {
    let info = CallInfo::of(request.extensions()).unwrap();
    info.set_principal("spiffe://example.org/billing");
    info.add_refusal(Refusal::new("ratelimit", "per_second"));
    info.add_field("ratelimit.wait_ms", 250_u64);
    info.add_field("order.id", 4_711_u64);
    info.add_field("ratio", 0.25);
    info.add_field("unknown", f64::NAN);
    info.add_field("balance", -12_i64);
    info.add_field("is_new", true);
    info.add_field("note", "a \"note\"\n");
    info.add_field("other", "too");
    info.add_field("another", f64::INFINITY);
    tonic_call_test_kit::drain(request.into_body()).await;
    let mut trailers = Status::resource_exhausted("too many").into_http::<()>().headers().clone();
    trailers.insert("x-cost", HeaderValue::from_static("7"));
    Ok(Script::new().message(b"four").message(b"five!").trailers_of(trailers).respond())
}

#[tokio::test]
async fn a_refused_call_with_everything_that_a_line_includes() {
    listen();
    for ip in ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"] {
        let headers = [
            ("grpc-timeout", "1500u"),
            ("user-agent", "grpc-test/1.0"),
            ("x-request-id", "8f14e45f"),
            ("traceparent", TRACEPARENT),
            ("x-tenant", "acme"),
            ("x-tenant", "b\\c"),
        ];
        let mut request = with(to_kind(MethodKind::ServerStream), &headers);
        let ip: IpAddr = ip.parse().unwrap();
        let remote_addr = Some(SocketAddr::from((ip, 51_234)));
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        let layer = both(Side::Server)
            .request_metadata(["x-region", "x-tenant"])
            .response_metadata(["x-other", "x-cost"])
            .fields(["ratio", "unknown", "is_new", "order.id", "balance", "note"])
            .unwrap()
            .refusals_per_second(10);
        run(layer.layer(service_fn(full)), request).await;
        let line = take_only();
        assert_eq!(line.as_object().unwrap().len(), 3 + 25 + 2 + 6 + 1, "{line:#}");
        assert_eq!(line["network.peer.address"], ip.to_canonical().to_string());
        assert_eq!(line["unknown"], Value::Null);
        assert_eq!(line["fields"], r#"{"another":null,"other":"too"}"#);
        assert_eq!(line["rpc.request.metadata.x-tenant"], r"acme, b\c");
    }
}

#[tokio::test]
async fn metadata_for_which_there_is_no_key_left() {
    listen();
    let names = (0..50).map(|number| format!("x-{number}"));
    let headers = ["x-0", "x-39", "x-40", "x-49"].map(|name| (name, "value"));
    let layer = both(Side::Server).request_metadata(names).fields(["late"]).unwrap();
    let answer = || Ok(stream(1, &Status::ok("")));
    run(layer.layer(answers(answer)), with(to("/test.v1.Kinds/Unary"), &headers)).await;
    let line = take_only();
    assert_eq!(line["rpc.request.metadata.x-39"], "value");
    let others = r#"{"rpc.request.metadata.x-40":"value","rpc.request.metadata.x-49":"value"}"#;
    assert_eq!(line["fields"], others);
}

#[tokio::test]
async fn lines_of_starts_and_of_messages() {
    listen();
    for side in SIDES {
        // Formatters add the current span even to root events, and there are messages inside that of the handler.
        let layer = both(side).starts(Level::DEBUG).messages(Level::TRACE).handler_span(false);
        let answer = || Ok(stream(2, &Status::ok("")));
        run(layer.layer(answers(answer)), to("/test.v1.Kinds/ServerStream")).await;
        let lines = take_equal();
        assert_eq!(lines.len(), 1 + 1 + 2 + 1, "{lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn durations_of_any_length() {
    listen();
    for micros in [1, 10, 999, 1_000, 1_001, 12_340, 1_000_000, 86_400_000_000] {
        let pause = Duration::from_micros(micros);
        let waits = service_fn(move |_: Request<Body>| async move {
            tokio::time::advance(pause).await;
            Ok::<_, Status>(trailers_only(&Status::ok("")))
        });
        run(both(Side::Server).layer(waits), to("/test.v1.Kinds/Unary")).await;
        assert_eq!(take_only()["duration_ms"], micros as f64 / 1_000.0);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_that_are_left_out() {
    listen();
    let layer = both(Side::Server).refusals_per_second(1);
    for _ in 0..3 {
        let refused = || Err(Status::unimplemented("no \"such\" method"));
        run(layer.layer(answers(refused)), to("/no.Such/Method")).await;
    }
    take_only();
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let line = take_only();
    assert_eq!(line["message"], "refusals left out");
    assert_eq!(line["grpc.refusals_left_out"], 2);
}

#[tokio::test]
async fn quiet_calls_have_no_line_until_they_fail() {
    listen();
    for (code, count) in [(Code::Ok, 0), (Code::Internal, 1)] {
        let answer = move || Ok(stream(1, &Status::new(code, "")));
        let layer = both(Side::Server).starts(Level::INFO);
        run(layer.layer(answers(answer)), to("/grpc.health.v1.Health/Check")).await;
        assert_eq!(take_equal().len(), count);
    }
}

fn field_value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        "(?s).{0,40}".prop_map(FieldValue::from),
        any::<i64>().prop_map(FieldValue::from),
        any::<u64>().prop_map(FieldValue::from),
        any::<f64>().prop_map(FieldValue::from),
        any::<bool>().prop_map(FieldValue::from),
    ]
}

/// Bytes that HTTP allows in a header.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("allowed", |byte| *byte >= 32 && *byte != 127);
    prop_oneof![
        proptest::collection::vec(byte.clone(), 0..40),
        (byte, 0..3_000_usize).prop_map(|(byte, times)| vec![byte; times]),
    ]
}

#[derive(Clone, Debug)]
struct Hostile {
    side: Side,
    code: i32,
    headers: [Vec<u8>; 4],
    timeout: u32,
    message: String,
    principal: String,
    reason: String,
    fields: Vec<(String, FieldValue)>,
    ip: IpAddr,
    trace: Option<(u128, u64)>,
}

fn hostile() -> impl Strategy<Value = Hostile> {
    let text = || "(?s).{0,60}";
    let key = prop_oneof![Just("declared".to_owned()), Just("other".to_owned()), "(?s).{0,12}"];
    let fields = proptest::collection::vec((key, field_value()), 0..6);
    (
        (prop_oneof![Just(Side::Server), Just(Side::Client)], 0..17, any::<[u32; 2]>()),
        [header(), header(), header(), header()],
        (text(), text(), text()),
        (fields, any::<IpAddr>(), any::<Option<(u128, u64)>>()),
    )
        .prop_map(|((side, code, [timeout, _]), headers, texts, (fields, ip, trace))| Hostile {
            side,
            code,
            headers,
            timeout: timeout % 100_000_000,
            message: texts.0,
            principal: texts.1,
            reason: texts.2,
            fields,
            ip,
            trace,
        })
}

/// Makes a call of which everything is what someone else chose.
async fn call(hostile: &Hostile) {
    let layer = both(hostile.side)
        .request_metadata(["x-tenant"])
        .response_metadata(["x-cost"])
        .fields(["declared"])
        .unwrap();
    let names = ["user-agent", "x-request-id", "x-tenant"];
    let mut request = to("/a.B/C");
    for (name, value) in names.into_iter().zip(&hostile.headers) {
        request.headers_mut().insert(name, HeaderValue::from_bytes(value).unwrap());
    }
    let timeout = HeaderValue::try_from(format!("{}m", hostile.timeout)).unwrap();
    request.headers_mut().insert("grpc-timeout", timeout);
    if hostile.side == Side::Server {
        let remote_addr = Some(SocketAddr::from((hostile.ip, 1)));
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    }
    let said = hostile.clone();
    let service = service_fn(move |request: Request<Body>| {
        let Hostile { code, headers, message, principal, reason, fields, trace, .. } = said.clone();
        async move {
            let info = CallInfo::of(request.extensions()).unwrap();
            info.set_principal(principal);
            if code > 2 {
                info.add_refusal(Refusal::new("auth", reason));
            }
            for (key, value) in fields {
                info.add_field(key, value);
            }
            if let Some(ids) = trace.and_then(|(trace, span)| TraceIds::new(trace, span)) {
                info.set_trace(ids);
            }
            let encoded: String = message.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.into());
            trailers.insert("grpc-message", HeaderValue::try_from(encoded).unwrap());
            trailers.insert("x-cost", HeaderValue::from_bytes(&headers[3]).unwrap());
            Ok::<_, Status>(Script::new().messages(1).trailers_of(trailers).respond())
        }
    });
    run(layer.layer(service), request).await;
}

proptest! {
    #[test]
    fn any_text_of_callers_and_services(hostile in hostile()) {
        listen();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(call(&hostile));
        let line = take_only();
        prop_assert_eq!(&line["message"], "finished call");
    }
}
