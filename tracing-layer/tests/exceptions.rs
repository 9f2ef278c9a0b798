//! Exceptions are reported to the operator, in the configured conventions, and never to
//! the caller.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::Request;
use opentelemetry::logs::{AnyValue, Severity};
use opentelemetry::trace::Status as SpanStatus;
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use tonic::body::Body;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_call::{MAX_TEXT_BYTES, MethodKind, Side};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    KINDS, KindsService, Script, ask, call as call_kind, listen, silence_panics,
};
use tonic_recovery_layer::RecoveryLayer;
use tonic_tracing_layer::{Conventions, TracingLayer};
use tower::{Layer as _, service_fn};

use self::common::*;

/// An in-memory log.
struct Logs {
    exporter: InMemoryLogExporter,
    provider: SdkLoggerProvider,
}

impl Logs {
    fn new() -> Self {
        let exporter = InMemoryLogExporter::default();
        let provider = SdkLoggerProvider::builder().with_simple_exporter(exporter.clone()).build();
        Self { exporter, provider }
    }

    fn all(&self) -> Vec<SdkLogRecord> {
        let logs = self.exporter.get_emitted_logs().unwrap();
        for log in &logs {
            assert_eq!(log.instrumentation.name(), "tonic-tracing-layer");
            assert_eq!(log.instrumentation.version(), Some(env!("CARGO_PKG_VERSION")));
            let (schemas, schema) = (["1.37.0", "1.44.0"], log.instrumentation.schema_url());
            let is_one = |schema: &str| schemas.iter().any(|known| schema.ends_with(known));
            assert!(schema.is_none_or(is_one), "{schema:?}");
        }
        logs.into_iter().map(|log| log.record).collect()
    }

    #[track_caller]
    fn only(&self) -> SdkLogRecord {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "one record, not {all:#?}");
        all.remove(0)
    }

    #[track_caller]
    fn take_only(&self) -> SdkLogRecord {
        let only = self.only();
        self.exporter.reset();
        only
    }

    #[track_caller]
    fn none(&self) {
        let all = self.all();
        assert!(all.is_empty(), "{all:#?}");
    }
}

fn attributes_of(record: &SdkLogRecord) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, value) in record.attributes_iter() {
        let AnyValue::String(text) = value else { panic!("{key} is no text: {value:?}") };
        let twice = all.insert(key.to_string(), text.to_string());
        assert_eq!(twice, None, "{key} stands twice");
    }
    all
}

/// Like [`attributes_of`], without the stack: it is present only if
/// [`a_captured_panic_has_its_stack`] has already run.
fn told_of(record: &SdkLogRecord) -> BTreeMap<String, String> {
    let mut told = attributes_of(record);
    told.remove("exception.stacktrace");
    told
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

/// Asserts that the record follows the conventions for this side, and has the ids of the span.
#[track_caller]
fn assert_event(record: &SdkLogRecord, side: Side, span: &SpanData) {
    let (name, severity) = match side {
        Side::Server => ("rpc.server.call.exception", 17),
        Side::Client => ("rpc.client.call.exception", 13),
    };
    assert_eq!(record.event_name(), Some(name));
    assert_eq!(record.severity_number().map(|severity| severity as i32), Some(severity));
    assert!(record.timestamp().is_some_and(|time| time >= span.start_time));
    assert!(record.observed_timestamp().is_some());
    assert_eq!(record.body(), None);
    let context = record.trace_context().expect("the call's trace");
    assert_eq!(context.trace_id, span.span_context.trace_id());
    assert_eq!(context.span_id, span.span_context.span_id());
    assert_eq!(context.trace_flags, Some(span.span_context.trace_flags()));
}

/// A service that panics before its head, or in the middle of its stream.
fn panics(before_head: bool) -> impl Fn() -> Answer + Clone + Send + 'static {
    move || {
        assert!(!before_head, "in a handler, on purpose");
        Ok(Script::new().messages(1).panic().respond())
    }
}

const IN_HANDLER: &str = "in a handler, on purpose";
const IN_BODY: &str = "in a body, on purpose";

/// Runs a call like an HTTP server, and catches panics outside all layers.
fn drive<S, B>(mut service: S, request: Request<Script>)
where
    S: tower::Service<Request<Script>, Response = http::Response<B>>,
    B: http_body::Body,
{
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(cx) else { return };
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(cx) {}
    }));
}

fn recovery(side: Side) -> RecoveryLayer {
    match side {
        Side::Server => RecoveryLayer::server(),
        Side::Client => RecoveryLayer::client(),
    }
}

#[tokio::test]
async fn a_recovered_panic_is_an_event_of_the_log_with_its_text() {
    silence_panics();
    for side in SIDES {
        for (before_head, message) in [(true, IN_HANDLER), (false, IN_BODY)] {
            let (traces, logs) = (Traces::new(), Logs::new());
            let layer = traces.described(side).with_logger_provider(&logs.provider);
            let service = layer.layer(recovery(side).layer(answers(panics(before_head))));
            run(service, to_kind(MethodKind::ServerStream)).await;
            let (record, span) = (logs.only(), traces.only());
            assert_event(&record, side, &span);
            assert_eq!(
                told_of(&record),
                pairs(&[("exception.message", message), ("exception.type", "panic")])
            );
            assert_eq!(code(&span), "INTERNAL");
            assert!(span.events.events.is_empty(), "released ones have none on the span");
            assert!(!format!("{:?}", span.status).contains(message));
        }
    }
}

#[test]
fn a_panic_that_is_recovered_further_out_or_nowhere_is_an_event_too() {
    silence_panics();
    for side in SIDES {
        for recovered in [false, true] {
            for before_head in [true, false] {
                let (traces, logs) = (Traces::new(), Logs::new());
                let layer = traces.described(side).with_logger_provider(&logs.provider);
                let service = refuses(panics(before_head));
                let request = to_kind(MethodKind::ServerStream);
                match recovered {
                    true => drive(recovery(side).layer(layer.layer(service)), request),
                    false => drive(layer.layer(service), request),
                }
                let (record, span) = (logs.only(), traces.only());
                assert_event(&record, side, &span);
                // The message is available only to the code that catches the panic later, outside this layer.
                let told = attributes_of(&record);
                assert_eq!(told, pairs(&[("exception.type", "panic")]), "{side:?} {recovered}");
                assert_eq!(code(&span), "INTERNAL");
            }
        }
    }
}

#[test]
fn a_panic_after_the_end_is_an_event_of_the_log_and_the_span_stays_as_it_was() {
    silence_panics();
    for side in SIDES {
        for conventions in [Conventions::Released, Conventions::OldAndReleased] {
            let (traces, logs) = (Traces::new(), Logs::new());
            let layer = traces
                .described(side)
                .with_logger_provider(&logs.provider)
                .conventions(conventions);
            let service = refuses(|| {
                Ok(Script::new().messages(1).trailers(Code::Ok).panics_in_drop().respond())
            });
            drive(layer.layer(recovery(side).layer(service)), to_kind(MethodKind::ServerStream));
            let (record, span) = (logs.only(), traces.only());
            assert_event(&record, side, &span);
            let told =
                pairs(&[("exception.message", "in drop, on purpose"), ("exception.type", "panic")]);
            assert_eq!(told_of(&record), told);
            assert_eq!((code(&span), span.status), ("OK".to_owned(), SpanStatus::Unset));
        }
    }
}

/// A handler panics, and then a destructor of its values panics: one call, one exception.
#[test]
fn two_panics_of_one_call_are_one_event() {
    silence_panics();
    for side in SIDES {
        let (traces, logs) = (Traces::new(), Logs::new());
        let layer = traces.described(side).with_logger_provider(&logs.provider);
        let service = refuses(|| Ok(Script::new().messages(1).panic().panics_in_drop().respond()));
        drive(layer.layer(recovery(side).layer(service)), to_kind(MethodKind::ServerStream));
        assert_eq!(told_of(&logs.only())["exception.message"], IN_BODY);
        assert_eq!(code(&traces.only()), "INTERNAL");
    }
}

#[tokio::test]
async fn an_error_in_place_of_an_answer_is_an_event() {
    for side in SIDES {
        for before_head in [true, false] {
            let (traces, logs) = (Traces::new(), Logs::new());
            let layer = traces.described(side).with_logger_provider(&logs.provider);
            let error = Status::unavailable("connection refused");
            call(&layer, to_kind(MethodKind::ServerStream), move || match before_head {
                true => Err(error.clone()),
                false => Ok(Script::new().messages(1).error(error.clone()).respond()),
            })
            .await;
            let (record, span) = (logs.only(), traces.only());
            assert_event(&record, side, &span);
            let told = attributes_of(&record);
            assert!(told["exception.message"].contains("connection refused"), "{told:?}");
            assert_eq!(told.keys().map(String::as_str).collect::<Vec<_>>(), ["exception.message"]);
            assert_eq!(code(&span), "UNAVAILABLE");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_an_event_of_the_client() {
    let (traces, logs) = (Traces::new(), Logs::new());
    let (incoming, endpoint) = listen();
    drop(incoming);
    let layer = traces.client().with_logger_provider(&logs.provider);
    let mut kinds = KindsClient::new(layer.layer(endpoint.connect_lazy()));
    let status = kinds.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let (record, span) = (logs.only(), traces.only());
    assert_event(&record, Side::Client, &span);
    assert_eq!(record.severity_number(), Some(Severity::Warn));
    assert_eq!(code(&span), "UNAVAILABLE");
}

#[tokio::test]
async fn a_call_that_ends_with_a_status_or_is_given_up_is_no_exception() {
    for side in SIDES {
        for conventions in [Conventions::Released, Conventions::Old, Conventions::OldAndReleased] {
            let (traces, logs) = (Traces::new(), Logs::new());
            let layer = traces
                .described(side)
                .with_logger_provider(&logs.provider)
                .conventions(conventions);
            let request = || to_kind(MethodKind::ServerStream);
            call_well(&layer, request()).await;
            for status in [Status::internal("no"), Status::not_found("no"), Status::unknown("no")] {
                let in_head = status.clone();
                call(&layer, request(), move || Ok(stream(1, &status))).await;
                call(&layer, request(), move || Ok(trailers_only(&in_head))).await;
            }
            call(&layer, request(), || Ok(Script::new().messages(1).respond())).await;
            let mut service = layer.layer(answers(|| Ok(stream(3, &Status::ok("")))));
            drop(tower::Service::call(&mut service, request()));
            logs.none();
            let spans = traces.spans();
            assert_eq!(spans.len(), 9);
            assert!(spans.iter().all(|span| span.events.events.is_empty()), "{spans:#?}");
        }
    }
}

#[tokio::test]
async fn an_error_that_is_no_fault_of_the_server_is_no_exception_there() {
    for side in SIDES {
        let (traces, logs) = (Traces::new(), Logs::new());
        let layer = traces.described(side).with_logger_provider(&logs.provider);
        for status in [Status::unauthenticated("no token"), Status::not_found("no such order")] {
            call(&layer, to_kind(MethodKind::Unary), move || Err(status.clone())).await;
        }
        match side {
            Side::Server => logs.none(),
            Side::Client => assert_eq!(logs.all().len(), 2),
        }
    }
}

#[tokio::test]
async fn with_the_old_conventions_it_is_an_event_of_the_span() {
    silence_panics();
    for side in SIDES {
        for (conventions, on_span) in [
            (Conventions::Old, true),
            (Conventions::OldAndReleased, true),
            (Conventions::Released, false),
            (Conventions::Next, false),
        ] {
            // With and without a log.
            let (traces, logs) = (Traces::new(), Logs::new());
            let layer = traces.described(side).conventions(conventions);
            for layer in [layer.clone(), layer.with_logger_provider(&logs.provider)] {
                let service = layer.layer(recovery(side).layer(answers(panics(false))));
                run(service, to_kind(MethodKind::ServerStream)).await;
                let span = traces.take_only();
                let events: Vec<_> = span.events.events.iter().map(|event| &*event.name).collect();
                assert_eq!(events, if on_span { &["exception"][..] } else { &[] });
                if on_span {
                    let event = &span.events.events[0];
                    let told: Vec<_> = event
                        .attributes
                        .iter()
                        .map(|pair| (pair.key.as_str(), pair.value.as_str()))
                        .filter(|(key, _)| *key != "exception.stacktrace")
                        .collect();
                    assert_eq!(
                        told,
                        [("exception.type", "panic".into()), ("exception.message", IN_BODY.into())]
                    );
                    assert!(span.start_time <= event.timestamp && event.timestamp <= span.end_time);
                }
            }
            assert_eq!(attributes_of(&logs.only())["exception.message"], IN_BODY);
        }
    }
}

#[tokio::test]
async fn without_a_log_the_released_conventions_tell_of_no_exception() {
    silence_panics();
    let traces = Traces::new();
    let layer = traces.described(Side::Server);
    run(
        layer.layer(recovery(Side::Server).layer(answers(panics(true)))),
        to_kind(MethodKind::Unary),
    )
    .await;
    let span = traces.only();
    assert!(span.events.events.is_empty());
    let all = format!("{span:?}");
    assert!(!all.contains(IN_HANDLER), "{all}");
}

#[tokio::test]
async fn an_exception_of_a_call_that_is_not_sampled_is_in_the_log_with_its_trace() {
    silence_panics();
    let (traces, logs) = (Traces::sampled_by(Sampler::AlwaysOff), Logs::new());
    let layer = traces
        .described(Side::Server)
        .with_logger_provider(&logs.provider)
        .conventions(Conventions::OldAndReleased);
    let service = layer.layer(recovery(Side::Server).layer(answers(panics(true))));
    let request = with(to_kind(MethodKind::Unary), &[("traceparent", TRACEPARENT)]);
    run(service, request).await;
    traces.none();
    let record = logs.only();
    assert_eq!(record.event_name(), Some("rpc.server.call.exception"));
    let context = record.trace_context().unwrap();
    assert_eq!(context.trace_id.to_string(), TRACE);
    assert_ne!(context.span_id.to_string(), PARENT, "the call's own, not the caller's");
    assert!(!context.trace_flags.unwrap().is_sampled());
}

#[tokio::test]
async fn an_exception_of_a_call_that_is_filtered_is_nowhere() {
    silence_panics();
    let (traces, logs) = (Traces::new(), Logs::new());
    let layer = traces.server().with_logger_provider(&logs.provider).filter(|_, _| false);
    let service = layer.layer(recovery(Side::Server).layer(answers(panics(true))));
    run(service, to_kind(MethodKind::Unary)).await;
    logs.none();
    traces.none();
}

#[tokio::test]
async fn its_text_is_bounded_and_shows_what_is_not_printable() {
    let (traces, logs) = (Traces::new(), Logs::new());
    let layer = traces
        .described(Side::Client)
        .with_logger_provider(&logs.provider)
        .conventions(Conventions::OldAndReleased);
    let error = Status::unavailable(format!("a\nb\u{202e}{}", "x".repeat(6_000)));
    call(&layer, to_kind(MethodKind::Unary), move || Err(error.clone())).await;
    let span = traces.only();
    let on_span = span.events.events[0].attributes[0].value.to_string();
    for told in [&attributes_of(&logs.only())["exception.message"], &on_span] {
        assert!(told.contains("a\\nb\\u{202e}xxx"), "{told}");
        assert!(told.len() <= MAX_TEXT_BYTES, "{}", told.len());
    }
}

/// Over a real socket: the operator sees the panic message, the caller does not.
#[tokio::test]
async fn no_caller_sees_the_text_of_a_panic_and_the_operator_sees_it_once_per_call() {
    silence_panics();
    for inside in [true, false] {
        let (traces, logs) = (Traces::new(), Logs::new());
        let layer: TracingLayer =
            traces.described(Side::Server).with_logger_provider(&logs.provider);
        let kinds = KindsServer::new(KindsService::default());
        let (incoming, endpoint) = listen();
        match inside {
            true => {
                let mut server = Server::builder().layer(layer).layer(RecoveryLayer::server());
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
            false => {
                let mut server = Server::builder().layer(RecoveryLayer::server()).layer(layer);
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
        }
        let mut kinds = KindsClient::new(endpoint.connect().await.unwrap());
        for act in [Act::PanicInHandler, Act::Panic] {
            for kind in KINDS {
                let outcome = call_kind(&mut kinds, kind, ask(act, 0), &[]).await;
                assert_eq!((outcome.code, &*outcome.message), (Code::Internal, "internal error"));
            }
        }
        let spans = traces.until_ended(8).await;
        let records = logs.all();
        assert_eq!(records.len(), 8, "inside: {inside}");
        for (record, span) in records.iter().zip(&spans) {
            assert_event(record, Side::Server, span);
            let told = attributes_of(record);
            assert_eq!(told["exception.type"], "panic");
            if inside {
                assert!(told["exception.message"].contains("on purpose"), "{told:?}");
            }
        }
    }
}

/// After this test, panics of the other tests are captured, too.
#[tokio::test]
async fn a_captured_panic_has_its_stack() {
    silence_panics();
    let (traces, logs) = (Traces::new(), Logs::new());
    let layer = traces.described(Side::Server).with_logger_provider(&logs.provider);
    tonic_recovery_layer::capture_panics();
    let panics =
        service_fn(async |_: Request<Body>| -> Result<http::Response<Script>, Infallible> {
            panics_in_a_function_of_its_own()
        });
    run(layer.layer(recovery(Side::Server).layer(panics)), to_kind(MethodKind::Unary)).await;
    let told = attributes_of(&logs.take_only());
    assert_eq!(
        told.keys().map(String::as_str).collect::<Vec<_>>(),
        ["exception.message", "exception.stacktrace", "exception.type"]
    );
    let stack = &told["exception.stacktrace"];
    assert!(stack.contains("panics_in_a_function_of_its_own"), "{stack}");
}

#[inline(never)]
fn panics_in_a_function_of_its_own() -> ! {
    panic!("deep down, on purpose")
}
