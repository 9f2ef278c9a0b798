//! The span around a handler has the call's fields, and is never current outside the handler.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use serde_json::json;
use tonic::Status;
use tonic::body::Body;
use tonic_call::{CallInfo, Side, TraceIds};
use tonic_call_test_kit::{Script, frame_of};
use tonic_logging_layer::LoggingLayer;
use tower::{Layer as _, Service as _, service_fn};
use tracing::{Level, Span, info};

use crate::common::{
    self, HANDLER, Lines, SIDES, described, drain, frame, layer, poll_once, run, to, with,
};

/// Emits an event whenever it is polled or dropped.
struct Speaks {
    what: &'static str,
    left: usize,
    pending: bool,
}

impl Speaks {
    fn new(what: &'static str, messages: usize) -> Self {
        Self { what, left: messages, pending: false }
    }
}

impl http_body::Body for Speaks {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        info!(what = self.what, "polled");
        self.pending = !self.pending;
        if self.pending {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(frame_of(b"x")))))
    }
}

impl Drop for Speaks {
    fn drop(&mut self) {
        info!(what = self.what, "dropped");
    }
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

fn request<B>(body: B) -> Request<B> {
    let request = Request::post("/test.v1.Kinds/BidiStream").body(body).unwrap();
    with(request, &[("x-request-id", "8f14e45f"), ("traceparent", TRACEPARENT)])
}

/// Reads its request, emits an event, and answers with a stream that emits events.
async fn speaks(request: Request<Body>) -> Result<Response<Speaks>, Status> {
    info!("called");
    drain(request.into_body()).await;
    tokio::task::yield_now().await;
    info!("answering");
    Ok(Response::new(Speaks::new("response", 2)))
}

#[tokio::test]
async fn all_that_a_handler_and_its_streams_say_carries_the_calls_fields() {
    let lines = Lines::listen();
    let mut service = described(Side::Server).layer(service_fn(speaks));
    let response = service.call(request(Speaks::new("request", 2))).await.unwrap();
    drain(response.into_body()).await;
    let (of_handler, lines): (Vec<_>, Vec<_>) =
        lines.take().into_iter().partition(|seen| seen.target != common::TARGET);
    for (what, message, times) in [
        (None, "called", 1),
        (None, "answering", 1),
        // The stream is pending before each message, and before its end.
        (Some("request"), "polled", 6),
        (Some("request"), "dropped", 1),
        (Some("response"), "polled", 6),
        (Some("response"), "dropped", 1),
    ] {
        let said: Vec<_> = of_handler
            .iter()
            .filter(|seen| (seen.text("what"), seen.message()) == (what, message))
            .collect();
        assert_eq!(said.len(), times, "{what:?} {message}");
        for seen in said {
            let [span] = &seen.spans[..] else { panic!("one span, not {:#?}", seen.spans) };
            assert_eq!((span.name, &*span.target, span.level), ("call", HANDLER, Level::INFO));
            let fields = json!({
                "rpc.method": "test.v1.Kinds/BidiStream",
                "request_id": "8f14e45f",
                "trace_id": "0af7651916cd43dd8448eb211c80319c",
            });
            assert_eq!(serde_json::Value::from(span.fields.clone()), fields);
        }
    }
    let [line] = &lines[..] else { panic!("one line, not {lines:#?}") };
    assert!(line.is_root && line.spans.is_empty());
}

#[tokio::test]
async fn the_line_is_written_outside_the_span_whatever_ends_the_call() {
    let lines = Lines::listen();
    let layer = described(Side::Server).starts(Level::INFO).messages(Level::INFO);
    // Ended by trailers; dropped before the head; dropped in the stream; never polled.
    for polls in 0..4 {
        let mut service = layer.layer(service_fn(speaks));
        let mut response = Box::pin(service.call(request(Speaks::new("request", 1))));
        match polls {
            0 => drop(response),
            1 => {
                assert!(poll_once(response.as_mut()).is_pending());
                drop(response);
            }
            2 => drop(frame(&mut response.await.unwrap().into_body()).await),
            _ => drain(response.await.unwrap().into_body()).await,
        }
        assert_eq!(lines.finished().len(), polls + 1);
    }
    let all = lines.all();
    for line in &all {
        assert!(line.is_root && line.spans.is_empty(), "{line:#?}");
        // The handler reads its request inside the span.
        let in_handler = (line.message() == "request received").then_some(HANDLER);
        assert_eq!(line.emitted_in.as_deref(), in_handler, "{line:#?}");
    }
    for json in lines.json().iter().filter(|json| json["message"] == "finished call") {
        assert!(!json.contains_key("span") && !json.contains_key("spans"), "{json:?}");
    }
}

#[tokio::test]
async fn nothing_is_entered_across_a_yield() {
    let _lines = Lines::listen();
    let is_outside = || Span::current().is_none();
    let mut service = described(Side::Server).layer(service_fn(speaks));
    let mut response = Box::pin(service.call(request(Speaks::new("request", 2))));
    assert!(is_outside());
    let answered = loop {
        match poll_once(response.as_mut()) {
            Poll::Pending => assert!(is_outside()),
            Poll::Ready(answered) => break answered,
        }
    };
    assert!(is_outside());
    let mut body = Box::pin(answered.unwrap().into_body());
    let mut polls = 0;
    loop {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled = body.as_mut().poll_frame(&mut cx);
        assert!(is_outside());
        polls += 1;
        match polled {
            Poll::Ready(None) => break,
            Poll::Ready(Some(frame)) => drop(frame.unwrap()),
            Poll::Pending => {}
        }
    }
    assert_eq!(polls, 6);
    drop((response, body));
    assert!(is_outside());
}

#[tokio::test]
async fn two_calls_in_turn_on_one_thread_keep_their_spans_apart() {
    let lines = Lines::listen();
    let mut service = described(Side::Server).layer(service_fn(speaks));
    let mut calls = Vec::new();
    for id in ["one", "two"] {
        let request = Request::post("/a.B/C").body(Speaks::new("request", 1)).unwrap();
        calls.push(Box::pin(service.call(with(request, &[("x-request-id", id)]))));
    }
    let mut calls = calls.into_iter();
    let (mut one, mut two) = (calls.next().unwrap(), calls.next().unwrap());
    lines.take();
    for _ in 0..2 {
        for (call, id) in [(&mut one, "one"), (&mut two, "two")] {
            assert!(poll_once(call.as_mut()).is_pending());
            let said = lines.take();
            assert!(!said.is_empty());
            for seen in said {
                assert_eq!(seen.spans[0].fields["request_id"], id);
            }
        }
    }
}

#[tokio::test]
async fn without_an_id_and_a_trace_the_span_has_the_method_alone() {
    let lines = Lines::listen();
    let service = service_fn(speaks);
    run(LoggingLayer::server().layer(service), to("/a.B/C")).await;
    let called = lines.take().into_iter().find(|seen| seen.message() == "called").unwrap();
    assert_eq!(called.spans[0].fields, *json!({ "rpc.method": "a.B/C" }).as_object().unwrap());
}

#[tokio::test]
async fn there_is_no_span_where_it_is_turned_off_nor_on_a_client() {
    let lines = Lines::listen();
    for layer in [layer(Side::Server).handler_span(false), layer(Side::Client)] {
        run(layer.layer(service_fn(speaks)), to("/a.B/C")).await;
        let seen = lines.take();
        assert!(seen.iter().any(|seen| seen.message() == "called"));
        assert!(seen.iter().all(|seen| seen.spans.is_empty()), "{seen:#?}");
        assert_eq!(seen.iter().filter(|seen| seen.message() == "finished call").count(), 1);
    }
}

#[tokio::test]
async fn the_span_stands_in_the_one_around_the_layer() {
    let lines = Lines::listen();
    let outer = tracing::info_span!("outer");
    let mut service = described(Side::Server).layer(service_fn(speaks));
    let response = outer.in_scope(|| service.call(request(Speaks::new("request", 0))));
    drop(response.await);
    let called = lines.take().into_iter().find(|seen| seen.message() == "called").unwrap();
    let names: Vec<_> = called.spans.iter().map(|span| span.name).collect();
    assert_eq!(names, ["outer", "call"]);
}

/// Health and reflection calls have no handler span, so probes have none.
#[tokio::test]
async fn infrastructure_has_no_span_unless_it_is_included() {
    let lines = Lines::listen();
    let quiet = LoggingLayer::server();
    for (layer, spans) in [(quiet.clone().include_infrastructure(), 1), (quiet, 0)] {
        run(layer.layer(service_fn(speaks)), to("/grpc.health.v1.Health/Check")).await;
        let called = lines.take().into_iter().find(|seen| seen.message() == "called").unwrap();
        assert_eq!(called.spans.len(), spans);
    }
}

/// Regression: a handler's events and the call's line had different trace ids, because an outer tracing layer may
/// start a new trace.
#[tokio::test]
async fn the_span_names_the_trace_that_the_line_names() {
    let lines = Lines::listen();
    let mut request = request(Script::new());
    let info = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
    info.set_trace(TraceIds::new(0xab, 0xcd).unwrap());
    run(LoggingLayer::server().layer(service_fn(speaks)), request).await;
    let line = lines.finished().pop().unwrap();
    let called = lines.take().into_iter().find(|seen| seen.message() == "called").unwrap();
    assert_eq!(line.text("trace_id"), Some("000000000000000000000000000000ab"));
    assert_eq!(called.spans[0].fields["trace_id"], "000000000000000000000000000000ab");
}

#[tokio::test]
async fn a_sensitive_request_id_is_not_in_the_span_either() {
    let lines = Lines::listen();
    let mut sensitive = http::HeaderValue::from_static("s3cret");
    sensitive.set_sensitive(true);
    let mut request = to("/a.B/C");
    request.headers_mut().insert("x-request-id", sensitive);
    run(LoggingLayer::server().layer(service_fn(speaks)), request).await;
    let called = lines.take().into_iter().find(|seen| seen.message() == "called").unwrap();
    assert!(!format!("{called:?}").contains("s3cret"), "{called:#?}");
}

#[tokio::test]
async fn a_panic_leaves_no_span_entered() {
    let lines = Lines::listen();
    tonic_call_test_kit::silence_panics();
    for side in SIDES {
        let layer = layer(side).handler_span(true);
        let panics = service_fn(async |_: Request<Body>| -> Result<Response<Script>, Status> {
            panic!("in a handler, on purpose")
        });
        let recovery = tonic_recovery_layer::RecoveryLayer::server();
        run(recovery.layer(layer.layer(panics)), to("/a.B/C")).await;
        assert!(Span::current().is_none());
        lines.take();
    }
}

#[tokio::test]
async fn a_request_body_in_another_task_speaks_in_the_span_too() {
    let lines = Lines::listen();
    let service = service_fn(async |request: Request<Body>| {
        let body = request.into_body();
        tokio::spawn(async move {
            drain(body).await;
            assert!(Span::current().is_none());
        })
        .await
        .unwrap();
        Ok::<_, Status>(Response::new(Speaks::new("response", 0)))
    });
    let mut service = described(Side::Server).layer(service);
    drop(service.call(request(Speaks::new("request", 1))).await.unwrap());
    let seen = lines.take();
    let said: Vec<_> = seen.iter().filter(|seen| seen.text("what") == Some("request")).collect();
    assert_eq!(said.len(), 5);
    assert!(said.iter().all(|seen| seen.spans.len() == 1), "{said:#?}");
}

#[tokio::test]
async fn the_span_is_closed_when_the_call_is_over_and_gone() {
    let _lines = Lines::listen();
    let ids = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&ids);
    let service = service_fn(move |_: Request<Body>| {
        keeps.lock().unwrap().push(Span::current().id().unwrap());
        async { Ok::<_, Status>(Response::new(Speaks::new("response", 0))) }
    });
    run(described(Side::Server).layer(service), to("/a.B/C")).await;
    let id = ids.lock().unwrap().pop().unwrap();
    let is_open = tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<tracing_subscriber::Registry>().unwrap();
        tracing_subscriber::registry::LookupSpan::span_data(registry, &id).is_some()
    });
    assert!(!is_open);
}
