//! Without a tracer provider there are no spans, one warning is logged, and the caller's
//! trace is passed on.
//!
//! In its own process, without any provider.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::ready;
use std::sync::{Arc, Mutex, Once};

use http::{HeaderMap, HeaderName, Request};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Server;
use tonic_call::{CallInfo, Side};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KINDS, KindsService, Outcome, Script, ask, call as call_kind, listen};
use tonic_tracing_layer::{TracingLayer, current_trace_id};
use tower::{Layer as _, Service as _, service_fn};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::SubscriberExt as _;

use self::common::{TARGET, TRACE, TRACEPARENT, run, to, trailers_only, with};

// Warnings.

static EVENTS: Mutex<Vec<(tracing::Level, String, String)>> = Mutex::new(Vec::new());

struct Capture;

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Capture {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let metadata = event.metadata();
        let said = (*metadata.level(), metadata.target().to_owned(), message.0);
        EVENTS.lock().unwrap().push(said);
    }
}

/// Starts to collect the events of all tests of this process.
fn hear() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Capture);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Asserts one warning for all calls, layers and tests.
#[track_caller]
fn assert_warned_once() {
    let events = EVENTS.lock().unwrap();
    let ours: Vec<_> =
        events.iter().filter(|(_, target, _)| target.starts_with("tonic_tracing_layer")).collect();
    let [(level, target, message)] = &ours[..] else { panic!("one event, not {ours:#?}") };
    assert_eq!((*level, &**target), (tracing::Level::WARN, "tonic_tracing_layer"));
    assert!(message.contains("set_tracer_provider"), "{message}");
}

// Propagation.

/// The trace in a handler, and in the request of a client that the handler calls.
#[derive(Debug, Default)]
struct Hop {
    trace: Option<String>,
    sent: HeaderMap,
}

/// Makes a call to a server whose handler calls the next server.
async fn hop(request: Request<Script>) -> Hop {
    hear();
    let hop: Arc<Mutex<Hop>> = Arc::default();
    let keeps = Arc::clone(&hop);
    let next = service_fn(move |request: Request<Body>| {
        keeps.lock().unwrap().sent = request.headers().clone();
        ready(Ok::<_, Status>(trailers_only(&Status::ok(""))))
    });
    let client = TracingLayer::client(TARGET).layer(next);
    let keeps = Arc::clone(&hop);
    let handler = service_fn(move |request: Request<Body>| {
        keeps.lock().unwrap().trace = current_trace_id().map(|id| id.to_string());
        assert_eq!(current_trace_id().is_some(), Context::map_current(Context::has_active_span));
        // There is no span, so a log line gets no ids.
        let info = CallInfo::of_side(Side::Server, request.extensions());
        assert_eq!(info.and_then(CallInfo::trace), None);
        client.clone().call(to("/a.B/Next"))
    });
    run(TracingLayer::server().layer(handler), request).await.unwrap();
    assert!(!Context::map_current(Context::has_active_span));
    std::mem::take(&mut *hop.lock().unwrap())
}

const HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

fn sent(headers: &HeaderMap) -> [Option<&str>; 3] {
    HEADERS.map(|name| headers.get(name).map(|value| value.to_str().unwrap()))
}

#[tokio::test]
async fn calls_are_as_they_are_without_the_layer() {
    hear();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(TracingLayer::server())
            .layer(TracingLayer::server().return_trace_id(HeaderName::from_static("x-trace-id")))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    for _ in 0..3 {
        let channel = endpoint.connect().await.unwrap();
        let layers = [TracingLayer::client(TARGET), TracingLayer::client(TARGET)];
        let mut kinds = KindsClient::new(layers[0].layer(layers[1].layer(channel)));
        for kind in KINDS {
            for headers in [&[][..], &[("traceparent", TRACEPARENT), ("baggage", "a=1")]] {
                let notes = if kind.has_one_response() { 1 } else { 3 };
                let outcome = call_kind(&mut kinds, kind, ask(Act::Unspecified, 3), headers).await;
                assert_eq!(outcome, Outcome::ok(notes));
                let fails = Ask { code: 5, ..ask(Act::Fail, 0) };
                let outcome = call_kind(&mut kinds, kind, fails, headers).await;
                assert_eq!(outcome.code, tonic::Code::NotFound);
            }
        }
        let response = kinds.unary(Ask::default()).await.unwrap();
        assert!(!response.metadata().contains_key("x-trace-id"));
    }
    assert_warned_once();
}

#[tokio::test]
async fn a_callers_trace_is_passed_on_as_it_came() {
    for flags in ["00", "01", "02", "03"] {
        let parent = format!("{}{flags}", &TRACEPARENT[..53]);
        let all = [&*parent, "vendor=1,other=2", "tenant=acme%20inc.;p=1"];
        for (state, baggage) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut request = with(to("/a.B/First"), &[(HEADERS[0], all[0])]);
            let mut expected = [Some(all[0]), None, None];
            for (number, is_sent) in [(1, state), (2, baggage)] {
                if is_sent {
                    request = with(request, &[(HEADERS[number], all[number])]);
                    expected[number] = Some(all[number]);
                }
            }
            let hop = hop(request).await;
            assert_eq!(hop.trace.as_deref(), Some(TRACE));
            assert_eq!(sent(&hop.sent), expected);
        }
    }
    assert_warned_once();
}

#[tokio::test]
async fn where_there_is_no_trace_none_is_made_up() {
    let nothing = hop(to("/a.B/First")).await;
    assert_eq!((nothing.trace, sent(&nothing.sent)), (None, [None; 3]));

    // An invalid trace is not passed on.
    let request = to("/a.B/First");
    let bad = with(request, &[(HEADERS[0], "nonsense"), (HEADERS[1], "a=1"), (HEADERS[2], "=")]);
    let nothing = hop(bad).await;
    assert_eq!((nothing.trace, sent(&nothing.sent)), (None, [None; 3]));
    assert_warned_once();
}

#[tokio::test]
async fn baggage_without_a_trace_is_passed_on() {
    let hop = hop(with(to("/a.B/First"), &[(HEADERS[2], "tenant=acme")])).await;
    assert_eq!((hop.trace, sent(&hop.sent)), (None, [None, None, Some("tenant=acme")]));
    assert_warned_once();
}

#[tokio::test]
async fn what_the_program_itself_sends_of_a_trace_stays() {
    hear();
    let next = service_fn(move |request: Request<Body>| {
        assert_eq!(sent(request.headers()), [Some(TRACEPARENT), Some("a=1"), Some("b=2")]);
        ready(Ok::<_, Status>(trailers_only(&Status::ok(""))))
    });
    let request = to("/a.B/C");
    let request =
        with(request, &[(HEADERS[0], TRACEPARENT), (HEADERS[1], "a=1"), (HEADERS[2], "b=2")]);
    run(TracingLayer::client(TARGET).layer(next), request).await.unwrap();
    assert_warned_once();
}

/// The caller's trace is current in the stream, too.
#[tokio::test]
async fn the_callers_trace_is_current_while_its_stream_is_polled() {
    hear();
    struct Looks(bool);
    impl http_body::Body for Looks {
        type Data = bytes::Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
            assert_eq!(current_trace_id().map(|id| id.to_string()).as_deref(), Some(TRACE));
            let first = std::mem::take(&mut self.0);
            let frame = || Ok(http_body::Frame::data(tonic_call_test_kit::frame_of(b"x")));
            std::task::Poll::Ready(first.then(frame))
        }
    }
    let handler =
        service_fn(|_: Request<Body>| ready(Ok::<_, Status>(http::Response::new(Looks(true)))));
    let request = with(to("/a.B/C"), &[(HEADERS[0], TRACEPARENT)]);
    run(TracingLayer::server().layer(handler), request).await.unwrap();
    assert_eq!(current_trace_id(), None);
    assert_warned_once();
}
