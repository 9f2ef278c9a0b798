//! Where a call's span is current: in its handler, in tasks that receive the handler's context, and
//! nowhere else.

use std::future::ready;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response, request};
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{
    FutureExt as _, SpanId, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic_call::{Call, End, ObserveLayer, Observer, Rpc, Side};
use tonic_call_test_kit::Script;
use tonic_tracing_layer::current_trace_id;
use tower::{Layer as _, Service, service_fn};

use crate::common::*;

/// Trace id and span id of a span, if there is one.
type Ids = Option<(String, String)>;

/// The recorded current spans.
type Told = Arc<Mutex<Vec<Ids>>>;

/// Returns the ids of the current span.
fn here() -> Ids {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        let ids = (span.trace_id().to_string(), span.span_id().to_string());
        let trace = current_trace_id().map(|id| id.to_string());
        assert_eq!(trace, span.is_valid().then(|| ids.0.clone()));
        context.has_active_span().then_some(ids)
    })
}

fn ids(span: &SpanData) -> Ids {
    Some((trace_id(span), span_id(span)))
}

fn well() -> Answer {
    Ok(trailers_only(&Status::ok("")))
}

/// A service that records the current span and answers at once.
fn tells(
    told: &Told,
) -> impl Service<
    Request<Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future<Output = Answer> + Send,
> + Clone
+ use<> {
    let told = Arc::clone(told);
    service_fn(move |_: Request<Body>| {
        told.lock().unwrap().push(here());
        ready(well())
    })
}

#[tokio::test]
async fn a_handler_can_tell_its_trace() {
    let traces = Traces::new();
    let handler = service_fn(async |request: Request<Body>| {
        let first = here().unwrap();
        drain(request.into_body()).await;
        tokio::task::yield_now().await;
        assert_eq!(here(), Some(first.clone()));
        assert_eq!(current_trace_id().unwrap().to_string(), first.0);
        Err::<Response<Script>, _>(Status::internal(first.0))
    });
    assert_eq!((here(), current_trace_id()), (None, None));
    run(traces.server().layer(handler), to("/a.B/C")).await;
    assert_eq!((here(), current_trace_id()), (None, None));
    let span = traces.only();
    assert_eq!(span.status, opentelemetry::trace::Status::error(trace_id(&span)));
}

#[tokio::test]
async fn a_call_made_outside_any_context_is_a_root() {
    let traces = Traces::new();
    let told = Told::default();
    for _ in 0..2 {
        run(traces.client().layer(tells(&told)), to("/a.B/C")).await.unwrap();
    }
    let [one, two] = <[_; 2]>::try_from(traces.spans()).unwrap();
    for span in [&one, &two] {
        assert_eq!(span.span_kind, SpanKind::Client);
        assert_eq!(span.parent_span_id, SpanId::INVALID);
    }
    assert_ne!(trace_id(&one), trace_id(&two));
    // Inner layers run in the call's span.
    assert_eq!(*told.lock().unwrap(), [ids(&one), ids(&two)]);
}

#[tokio::test]
async fn a_call_made_in_a_span_of_the_program_is_its_child() {
    let traces = Traces::new();
    let job = traces.provider().tracer("app").start("job");
    let job = Context::new().with_span(job);
    let told = Told::default();
    run(traces.client().layer(tells(&told)), to("/a.B/C")).with_context(job.clone()).await.unwrap();
    let span = traces.only();
    let job = job.span().span_context().clone();
    assert_eq!(
        (span.span_context.trace_id(), span.parent_span_id),
        (job.trace_id(), job.span_id())
    );
    assert!(!span.parent_span_is_remote);
}

/// A handler that spawns a task which outlives its call.
#[tokio::test]
async fn a_task_that_a_handler_spawns_is_in_the_call_only_if_it_is_given_the_context() {
    for given in [true, false] {
        let traces = Traces::new();
        let told = Told::default();
        let client = traces.client().layer(tells(&told));
        let (go_on, over) = oneshot::channel::<()>();
        let task = Arc::new(Mutex::new(None));
        let (keeps, over) = (Arc::clone(&task), Mutex::new(Some(over)));
        let handler = service_fn(move |_: Request<Body>| {
            let (client, over) = (client.clone(), over.lock().unwrap().take().unwrap());
            let work = async move {
                let at_first = here();
                over.await.unwrap();
                assert_eq!(here(), at_first);
                run(client, to("/a.B/Next")).await.unwrap();
                at_first
            };
            let spawned = match given {
                true => tokio::spawn(work.with_current_context()),
                false => tokio::spawn(work),
            };
            *keeps.lock().unwrap() = Some(spawned);
            ready(well())
        });
        run(traces.server().layer(handler), to("/a.B/First")).await.unwrap();
        let server = traces.take_only();
        assert_eq!(server.name, "a.B/First");

        // The call has ended, and its task continues.
        go_on.send(()).unwrap();
        let task = task.lock().unwrap().take().unwrap();
        let at_first = task.await.unwrap();
        let client = traces.only();
        assert_eq!(client.name, "a.B/Next");
        if given {
            assert_eq!(at_first, ids(&server));
            assert_eq!(trace_id(&client), trace_id(&server));
            assert_eq!(client.parent_span_id, server.span_context.span_id());
        } else {
            assert_eq!(at_first, None);
            assert_ne!(trace_id(&client), trace_id(&server));
            assert_eq!(client.parent_span_id, SpanId::INVALID);
        }
    }
}

/// A span that a handler makes current for an outgoing call is that call's parent, and is not current afterwards.
#[tokio::test]
async fn a_span_that_a_handler_opens_is_between_its_calls_and_its_own() {
    let traces = Traces::new();
    let told = Told::default();
    let client = traces.client().layer(tells(&told));
    let tracer = traces.provider().tracer("app");
    let handler = service_fn(move |_: Request<Body>| {
        let (client, tracer) = (client.clone(), tracer.clone());
        async move {
            let own = here();
            let step = Context::current_with_span(tracer.start("step"));
            run(client.clone(), to("/a.B/Within")).with_context(step).await.unwrap();
            assert_eq!(here(), own);
            run(client, to("/a.B/After")).await.unwrap();
            well()
        }
    });
    run(traces.server().layer(handler), to("/a.B/First")).await.unwrap();
    let spans = traces.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let parent = |name: &str| named(name).parent_span_id;
    let id = |name: &str| named(name).span_context.span_id();
    assert_eq!(parent("a.B/Within"), id("step"));
    assert_eq!(parent("step"), id("a.B/First"));
    assert_eq!(parent("a.B/After"), id("a.B/First"));
    assert_eq!(spans.len(), 4);
}

#[derive(Debug, PartialEq)]
struct Value(u32);

/// The context around the server is kept, and the caller's trace has precedence over the server's.
#[tokio::test]
async fn what_is_current_around_a_server_is_current_in_its_handlers() {
    let traces = Traces::new();
    let outer = traces.provider().tracer("app").start("outer");
    let outer = Context::new()
        .with_span(outer)
        .with_value(Value(7))
        .with_baggage([KeyValue::new("tenant", "acme")]);
    let outer_span = outer.span().span_context().clone();
    for (sent, tenant) in [(false, "acme"), (true, "other")] {
        let handler = service_fn(move |_: Request<Body>| {
            let context = Context::current();
            assert_eq!(context.get(), Some(&Value(7)));
            assert_eq!(context.baggage().get("tenant").unwrap().as_str(), tenant);
            ready(well())
        });
        let mut request = to("/a.B/C");
        if sent {
            request = with(request, &[("traceparent", TRACEPARENT), ("baggage", "tenant=other")]);
        }
        run(traces.server().layer(handler), request).with_context(outer.clone()).await.unwrap();
        let span = traces.take_only();
        let local = outer_span.span_id().to_string();
        let parent = if sent { PARENT } else { &local };
        assert_eq!(span.parent_span_id.to_string(), parent);
        assert_eq!(span.parent_span_is_remote, sent);
    }
}

#[derive(Clone)]
struct Where(Told);

impl Observer for Where {
    type Call = Self;

    fn begin(&self, _: Side, _: &Rpc, _: &mut request::Parts) -> Option<Self> {
        self.0.lock().unwrap().push(here());
        Some(self.clone())
    }
}

impl Call for Where {
    fn end(&self, _: End<'_>) {
        self.0.lock().unwrap().push(here());
    }
}

#[tokio::test]
async fn an_observer_further_in_begins_and_ends_in_the_span() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.layer(side);
        let told = Where(Arc::default());
        let both = (layer.observer(), told.clone());
        let both = match side {
            Side::Server => ObserveLayer::server(both),
            Side::Client => ObserveLayer::client(both),
        };
        let answer = answers(|| Ok(stream(2, &Status::ok(""))));
        run(both.known(layer.known_methods()).layer(answer), to("/a.B/C")).await.unwrap();
        let span = traces.only();
        assert_eq!(*told.0.lock().unwrap(), [ids(&span), ids(&span)], "{side:?}");
    }
}

/// Regression: the trace was interrupted during shutdown, when the provider is already shut down but calls still
/// arrive and are made.
#[tokio::test]
async fn after_its_provider_was_shut_down_a_service_passes_on_what_its_callers_sent() {
    let traces = Traces::new();
    let sent: Arc<Mutex<HeaderMap>> = Arc::default();
    let keeps = Arc::clone(&sent);
    let next = service_fn(move |request: Request<Body>| {
        *keeps.lock().unwrap() = request.headers().clone();
        ready(well())
    });
    let client = traces.client().layer(next);
    let handler = service_fn(move |_: Request<Body>| {
        let trace = current_trace_id().map(|id| id.to_string());
        assert_eq!(trace.as_deref(), Some(TRACE));
        client.clone().call(to("/a.B/Next"))
    });
    let server = traces.server().layer(handler);
    traces.provider().shutdown().unwrap();
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("baggage", "b=2")];
    run(server, with(to("/a.B/First"), &headers)).await.unwrap();
    let sent = sent.lock().unwrap();
    for (name, value) in headers {
        assert_eq!(sent.get(name).map(|value| value.to_str().unwrap()), Some(value), "{name}");
    }
}
