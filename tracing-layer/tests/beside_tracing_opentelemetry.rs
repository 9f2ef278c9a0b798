//! With `tracing-opentelemetry` on the same provider and a logging layer inside: the `tracing` spans of a handler
//! and the spans of its outgoing calls are children of the call's span.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use opentelemetry::trace::{SpanId, SpanKind, TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::trace::SpanData;
use tonic::Status;
use tonic::body::Body;
use tonic_call_test_kit::{Script, frame_of};
use tonic_logging_layer::LoggingLayer;
use tower::{Service, ServiceBuilder, service_fn};
use tracing::field::{Field, Visit};
use tracing::{Instrument as _, Span, Subscriber, info, info_span};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, filter::filter_fn};

use self::common::*;

/// The target of the logging layer's span around a handler.
const HANDLER: &str = "tonic_logging_layer::handler";

// Subscribers.

/// The log lines of finished calls.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target() == "tonic_logging_layer" {
            let mut fields = Fields::default();
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }
    }
}

impl Lines {
    /// Takes the trace id and span id of the call's line.
    #[track_caller]
    fn take(&self, side: &str) -> (String, String) {
        let mut lines = self.0.lock().unwrap();
        let at = lines.iter().position(|line| line["grpc.component"] == side);
        let line = lines.remove(at.expect("a line"));
        assert_eq!(line["message"], "finished call");
        (line["trace_id"].clone(), line["span_id"].clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum HandlerSpan {
    /// The handler span is part of the trace.
    Seen,
    /// A filter directive disables it.
    Filtered,
    /// Only the `tracing-opentelemetry` layer ignores it.
    FilteredHere,
}

use HandlerSpan::{Filtered, FilteredHere, Seen};

/// Collects the events of this thread until the guard is dropped.
fn listen(traces: &Traces, handler: HandlerSpan) -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let directives = match handler {
        Filtered => "debug,tonic_logging_layer::handler=off",
        Seen | FilteredHere => "debug",
    };
    let opened = tracing_opentelemetry::layer()
        .with_tracer(traces.provider().tracer("app"))
        .with_filter(filter_fn(move |span| handler != FilteredHere || span.target() != HANDLER));
    let guard = tracing_subscriber::registry()
        .with(EnvFilter::new(directives))
        .with(opened)
        .with(lines.clone())
        .set_default();
    (lines, guard)
}

// Services.

/// A stream of two messages that opens a span on each poll and when it is dropped.
struct Speaks {
    left: usize,
    is_pending: bool,
}

impl Speaks {
    fn new() -> Self {
        Self { left: 2, is_pending: false }
    }
}

impl http_body::Body for Speaks {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let _in_stream = info_span!("in stream").entered();
        info!("polled");
        self.is_pending = !self.is_pending;
        if self.is_pending {
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
        info_span!("in drop").in_scope(|| info!("dropped"));
    }
}

/// How often [`Speaks`] is polled: it is pending before each message and before its end.
const POLLS: usize = 6;

/// Opens its own spans, and calls another service inside one of them.
async fn handler<C>(mut next: C, request: Request<Body>) -> Result<Response<Speaks>, Status>
where
    C: Service<Request<Script>, Error = Status>,
{
    info!("called");
    drain(request.into_body()).await;
    let work = async {
        info!("working");
        tokio::task::yield_now().await;
        let called = next.call(to("/a.B/Next"));
        let answered = called.await;
        tokio::task::yield_now().await;
        answered.map(drop)
    };
    work.instrument(info_span!("work")).await?;
    info_span!("later").in_scope(|| info!("answering"));
    Ok(Response::new(Speaks::new()))
}

fn client(
    traces: &Traces,
) -> impl Service<
    Request<Script>,
    Error = Status,
    Response = Response<impl http_body::Body<Data = Bytes>>,
    Future: Send,
> + Clone {
    let next = answers(|| Ok(trailers_only(&Status::ok(""))));
    ServiceBuilder::new().layer(traces.client()).layer(LoggingLayer::client()).service(next)
}

fn server(
    traces: &Traces,
) -> impl Service<
    Request<Script>,
    Error = Status,
    Response = Response<impl http_body::Body<Data = Bytes, Error = Status>>,
    Future: Send,
> + Clone {
    let client = client(traces);
    let handler = service_fn(move |request: Request<Body>| handler(client.clone(), request));
    ServiceBuilder::new().layer(traces.server()).layer(LoggingLayer::server()).service(handler)
}

// Results.

/// The spans of one trace, by name.
#[derive(Debug)]
struct Tree(Vec<SpanData>);

impl Tree {
    #[track_caller]
    fn all(&self, name: &str) -> Vec<&SpanData> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    #[track_caller]
    fn one(&self, name: &str) -> &SpanData {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {self:#?}");
        all[0]
    }

    /// Asserts that all spans with these names are direct children of `parent`.
    #[track_caller]
    fn assert_below(&self, names: &[&str], parent: &SpanData) {
        for name in names {
            let all = self.all(name);
            assert!(!all.is_empty(), "{name} in {self:#?}");
            for span in all {
                let parent = parent.span_context.span_id();
                assert_eq!(span.parent_span_id, parent, "{name} in {self:#?}");
            }
        }
    }
}

#[track_caller]
fn events(span: &SpanData) -> Vec<&str> {
    span.events.iter().map(|event| &*event.name).collect()
}

#[tokio::test]
async fn what_a_handler_and_its_stream_open_hangs_below_the_span_of_the_call() {
    for shown in [Filtered, FilteredHere, Seen] {
        let traces = Traces::new();
        let (lines, _guard) = listen(&traces, shown);
        let request = with(to("/a.B/First"), &[("traceparent", TRACEPARENT)]);
        run(server(&traces), request).await.unwrap();

        let tree = Tree(traces.spans());
        for span in &tree.0 {
            assert_eq!(trace_id(span), TRACE, "{shown:?}");
        }
        let server = tree.one("a.B/First");
        assert_eq!(server.span_kind, SpanKind::Server);
        assert_eq!(server.parent_span_id.to_string(), PARENT);

        // The handler's spans are children or grandchildren of the call's span.
        let parent = match shown {
            Seen => {
                let call = tree.one("call");
                tree.assert_below(&["call"], server);
                assert_eq!(call.span_kind, SpanKind::Internal);
                assert_eq!(events(call), ["called"]);
                call
            }
            _ => {
                assert!(tree.all("call").is_empty(), "{shown:?}");
                server
            }
        };
        tree.assert_below(&["work", "later", "in stream", "in drop"], parent);
        assert_eq!(tree.all("in stream").len(), POLLS);
        for span in tree.all("in stream") {
            assert_eq!(events(span), ["polled"]);
        }
        assert_eq!(events(tree.one("work")), ["working"]);
        assert_eq!(events(tree.one("later")), ["answering"]);
        assert_eq!(events(tree.one("in drop")), ["dropped"]);

        // The outgoing calls are children of the span that is current.
        let client = tree.one("a.B/Next");
        assert_eq!(client.span_kind, SpanKind::Client);
        tree.assert_below(&["a.B/Next"], tree.one("work"));
        let calls = if shown == Seen { 1 } else { 0 };
        assert_eq!(tree.0.len(), 5 + POLLS + calls, "{shown:?}: {tree:#?}");

        // The lines have the ids of the calls' spans, not of the handler's span.
        assert_eq!(lines.take("server"), (trace_id(server), span_id(server)), "{shown:?}");
        assert_eq!(lines.take("client"), (trace_id(client), span_id(client)), "{shown:?}");
    }
}

#[tokio::test]
async fn nothing_is_entered_across_a_yield() {
    let assert_outside = || {
        assert!(Span::current().is_none());
        assert!(!opentelemetry::Context::map_current(opentelemetry::Context::has_active_span));
    };
    for shown in [Filtered, FilteredHere, Seen] {
        let traces = Traces::new();
        let (_lines, _guard) = listen(&traces, shown);
        let mut server = server(&traces);
        let mut response = Box::pin(server.call(to("/a.B/First")));
        assert_outside();
        let mut polls = 0;
        let response = loop {
            let polled = poll_once(response.as_mut());
            assert_outside();
            polls += 1;
            if let Poll::Ready(response) = polled {
                break response.unwrap();
            }
        };
        assert!(polls > 2);
        let mut body = Box::pin(response.into_body());
        for _ in 0..POLLS / 2 {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = body.as_mut().poll_frame(&mut cx);
            assert_outside();
        }
        drop(body);
        assert_outside();
        let tree = Tree(traces.spans());
        let server = tree.one("a.B/First");
        assert_eq!((&*code(server), server.parent_span_id), ("CANCELLED", SpanId::INVALID));
    }
}

/// Interleaved calls on one thread must not become each other's parents.
#[tokio::test]
async fn two_calls_in_turn_keep_their_spans_apart() {
    for shown in [Filtered, FilteredHere, Seen] {
        let traces = Traces::new();
        let (lines, _guard) = listen(&traces, shown);
        let service = server(&traces);
        let call = |path| run(service.clone(), to(path));
        tokio::join!(call("/a.B/One"), call("/a.B/Two"));
        let spans = traces.spans();
        for name in ["a.B/One", "a.B/Two"] {
            let id = spans.iter().find(|span| span.name == name).map(trace_id).unwrap();
            let one: Vec<_> = spans.iter().filter(|span| trace_id(span) == id).cloned().collect();
            let tree = Tree(one);
            let server = tree.one(name);
            let parent = if shown == Seen { tree.one("call") } else { server };
            tree.assert_below(&["work", "later", "in stream", "in drop"], parent);
            tree.assert_below(&["a.B/Next"], tree.one("work"));
            assert_eq!(tree.all("in stream").len(), POLLS);
            lines.take("server");
            lines.take("client");
        }
        assert!(lines.0.lock().unwrap().is_empty());
    }
}

/// A `tracing` span of the program is the parent of the calls made inside it.
#[tokio::test]
async fn a_call_made_in_a_span_of_the_program_is_its_child() {
    let traces = Traces::new();
    let (lines, _guard) = listen(&traces, Filtered);
    let request = to("/a.B/C");
    run(client(&traces), request).instrument(info_span!("job")).await.unwrap();
    let tree = Tree(traces.take());
    assert_eq!(tree.one("job").parent_span_id, SpanId::INVALID);
    tree.assert_below(&["a.B/C"], tree.one("job"));
    let ids = (trace_id(tree.one("job")), span_id(tree.one("a.B/C")));
    assert_eq!(lines.take("client"), ids);
}

/// If a trace is not sampled, the handler's spans are not sampled either.
#[tokio::test]
async fn a_call_that_is_not_sampled_has_no_spans_below_it_either() {
    let traces = Traces::new();
    let (lines, _guard) = listen(&traces, Seen);
    let unsampled = format!("{}00", &TRACEPARENT[..53]);
    let request = with(to("/a.B/First"), &[("traceparent", &unsampled)]);
    run(server(&traces), request).await.unwrap();
    traces.none();
    let (server, client) = (lines.take("server"), lines.take("client"));
    assert_eq!((&*server.0, &*client.0), (TRACE, TRACE));
    assert_ne!(server.1, PARENT);
    assert_ne!(server.1, client.1);
}
