//! Propagators can be replaced, for formats other than W3C Trace Context.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::ready;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request};
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{
    Extractor, Injector, TextMapCompositePropagator, TextMapPropagator,
};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, global};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::SpanData;
use tonic::Status;
use tonic::body::Body;
use tonic_call_test_kit::Script;
use tonic_tracing_layer::TracingLayer;
use tower::{Layer as _, Service as _, service_fn};

use self::common::*;

/// B3 in one header: trace id, span id, sampled flag.
#[derive(Debug)]
struct B3 {
    fields: [String; 1],
}

impl B3 {
    fn new() -> Self {
        Self { fields: ["b3".to_owned()] }
    }
}

impl TextMapPropagator for B3 {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        let span = span.span_context();
        if span.is_valid() {
            let sampled = u8::from(span.is_sampled());
            injector.set("b3", format!("{}-{}-{sampled}", span.trace_id(), span.span_id()));
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let parsed = || {
            let mut fields = extractor.get("b3")?.split('-');
            let trace = TraceId::from_hex(fields.next()?).ok()?;
            let span = SpanId::from_hex(fields.next()?).ok()?;
            let flags = TraceFlags::default().with_sampled(fields.next()? == "1");
            let span = SpanContext::new(trace, span, flags, true, TraceState::NONE);
            Some(context.with_remote_span_context(span))
        };
        parsed().unwrap_or_else(|| context.clone())
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}

const B3_OF_CALLER: &str = "0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-1";

/// Calls a server whose handler calls the next server; returns the spans of both calls, and the sent headers.
async fn hop(
    traces: &Traces,
    set: impl Fn(TracingLayer) -> TracingLayer,
    request: Request<Script>,
) -> (SpanData, SpanData, HeaderMap) {
    let sent: Arc<Mutex<HeaderMap>> = Arc::default();
    let keeps = Arc::clone(&sent);
    let next = service_fn(move |request: Request<Body>| {
        *keeps.lock().unwrap() = request.headers().clone();
        ready(Ok::<_, Status>(trailers_only(&Status::ok(""))))
    });
    let client = set(traces.client()).layer(next);
    let handler = service_fn(move |_: Request<Body>| client.clone().call(to("/a.B/Next")));
    run(set(traces.server()).layer(handler), request).await.unwrap();
    let [client, server] = <[SpanData; 2]>::try_from(traces.take()).unwrap();
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    let sent = sent.lock().unwrap().clone();
    (server, client, sent)
}

/// Asserts that only these headers were sent.
#[track_caller]
fn assert_sent(sent: &HeaderMap, expected: &[(&str, &str)]) {
    let all = ["traceparent", "tracestate", "baggage", "b3"];
    let sent: Vec<_> = all
        .into_iter()
        .filter_map(|name| Some((name, sent.get(name)?.to_str().unwrap())))
        .collect();
    assert_eq!(sent, expected);
}

fn from_b3(request: Request<Script>) -> Request<Script> {
    with(request, &[("b3", B3_OF_CALLER), ("traceparent", "00-ab-cd-01"), ("baggage", "a=1")])
}

#[tokio::test]
async fn a_propagator_of_ones_own_reads_and_writes_all_there_is() {
    let traces = Traces::new();
    let set = |layer: TracingLayer| layer.with_propagator(B3::new());
    let (server, client, sent) = hop(&traces, set, from_b3(to("/a.B/First"))).await;
    assert_eq!(trace_id(&server), TRACE);
    assert_eq!(server.parent_span_id.to_string(), PARENT);
    assert!(server.parent_span_is_remote);
    assert_sent(&sent, &[("b3", &format!("{TRACE}-{}-1", span_id(&client)))]);

    // The B3 propagator ignores W3C headers.
    let w3c = [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("baggage", "a=1")];
    let (server, client, sent) = hop(&traces, set, with(to("/a.B/First"), &w3c)).await;
    assert_eq!(server.parent_span_id, SpanId::INVALID);
    assert_ne!(trace_id(&server), TRACE);
    assert_sent(&sent, &[("b3", &format!("{}-{}-1", trace_id(&server), span_id(&client)))]);
}

#[tokio::test]
async fn what_a_propagator_says_of_sampling_counts() {
    let traces = Traces::new();
    let unsampled = format!("{TRACE}-{PARENT}-0");
    let layer = traces.server().with_propagator(B3::new());
    call_well(&layer, with(to("/a.B/C"), &[("b3", &unsampled)])).await;
    traces.none();
    call_well(&layer, with(to("/a.B/C"), &[("b3", B3_OF_CALLER)])).await;
    assert_eq!(trace_id(&traces.only()), TRACE);
}

#[tokio::test]
async fn a_public_endpoint_links_to_what_the_propagator_read() {
    let traces = Traces::new();
    let layer = traces.server().with_propagator(B3::new()).public_endpoint();
    call_well(&layer, from_b3(to("/a.B/C"))).await;
    let span = traces.only();
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    assert_ne!(trace_id(&span), TRACE);
    let [link] = &span.links.links[..] else { panic!("one link, not {:?}", span.links) };
    assert_eq!(link.span_context.trace_id().to_string(), TRACE);
    assert_eq!(link.span_context.span_id().to_string(), PARENT);
}

/// The only test here that sets the global propagator of the process.
#[tokio::test]
async fn the_global_propagator_counts_from_when_it_is_set() {
    let traces = Traces::new();
    let set = TracingLayer::with_global_propagator;
    let layers = [traces.server(), traces.client()].map(set);
    let request = || {
        let b3 = from_b3(to("/a.B/First"));
        with(b3, &[("traceparent", TRACEPARENT), ("tracestate", "a=1")])
    };

    // Before it is set, no headers are read or written.
    let (server, client, sent) = hop(&traces, set, request()).await;
    assert_eq!(server.parent_span_id, SpanId::INVALID);
    assert_ne!(trace_id(&server), TRACE);
    assert_eq!(trace_id(&client), trace_id(&server));
    assert_sent(&sent, &[]);

    global::set_text_map_propagator(B3::new());
    let (server, client, sent) = hop(&traces, set, request()).await;
    assert_eq!(
        (trace_id(&server), server.parent_span_id.to_string()),
        (TRACE.into(), PARENT.into())
    );
    assert_sent(&sent, &[("b3", &format!("{TRACE}-{}-1", span_id(&client)))]);

    // It also applies to layers that were built before.
    for layer in layers {
        call_well(&layer, request()).await;
    }
    let [server, client] = <[SpanData; 2]>::try_from(traces.take()).unwrap();
    assert_eq!(server.parent_span_id.to_string(), PARENT);
    assert_eq!(client.parent_span_id, SpanId::INVALID);

    // Layers without this setting do not use it.
    let w3c = with(to("/a.B/First"), &[("traceparent", TRACEPARENT)]);
    let (server, client, sent) = hop(&traces, |layer| layer, w3c).await;
    assert_eq!(trace_id(&server), TRACE);
    assert_sent(&sent, &[("traceparent", &format!("00-{TRACE}-{}-01", span_id(&client)))]);
}

/// The default propagation is compatible with OpenTelemetry's own propagators.
#[tokio::test]
async fn the_layer_and_opentelemetrys_own_propagators_understand_each_other() {
    let own = |layer: TracingLayer| {
        layer.with_propagator(TextMapCompositePropagator::new(vec![
            Box::new(TraceContextPropagator::new()),
            Box::new(BaggagePropagator::new()),
        ]))
    };
    let traces = Traces::new();
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1,b=2"), ("baggage", "k=v%20w")];
    for is_own in [true, false] {
        let set = |layer| if is_own { own(layer) } else { layer };
        let request = with(to("/a.B/First"), &headers);
        let (server, client, sent) = hop(&traces, set, request).await;
        assert_eq!(server.parent_span_id.to_string(), PARENT);
        let parent = format!("00-{TRACE}-{}-01", span_id(&client));
        assert_sent(&sent, &[("traceparent", &parent), headers[1], headers[2]]);

        // Each reads the headers that the other sent.
        let mut request = to("/a.B/Third");
        *request.headers_mut() = sent;
        let (server, client, sent) =
            hop(&traces, |layer| if is_own { layer } else { own(layer) }, request).await;
        assert_eq!(trace_id(&server), TRACE);
        let parent = format!("00-{TRACE}-{}-01", span_id(&client));
        assert_sent(&sent, &[("traceparent", &parent), headers[1], headers[2]]);
    }
}

#[tokio::test]
async fn a_malformed_state_costs_neither_the_trace_nor_its_good_entries() {
    let traces = Traces::new();
    for (states, passed_on) in [
        (&["a=1,b=2"][..], Some("a=1,b=2")),
        (&["a=1", "b=2"], Some("a=1,b=2")),
        (&["a=1 , ,\tb=2,"], Some("a=1,b=2")),
        (&["a=1,A=2"], Some("a=1")),
        (&["=1,b=2"], Some("b=2")),
        (&["a", "b=2"], Some("b=2")),
        (&["a=,b=2"], Some("b=2")),
        (&["a=1=2,b=2"], Some("b=2")),
        (&["a =1,b=2"], Some("b=2")),
        (&["a=1,a=2"], Some("a=1")),
        (&["\"a=1\""], None),
        (&["nonsense"], None),
        (&[","], None),
        (&[""], None),
    ] {
        let mut request = with(to("/a.B/First"), &[("traceparent", TRACEPARENT)]);
        for state in states {
            request = with(request, &[("tracestate", *state)]);
        }
        let (server, client, sent) = hop(&traces, |layer| layer, request).await;
        assert_eq!(server.parent_span_id.to_string(), PARENT, "{states:?}");
        let parent = format!("00-{TRACE}-{}-01", span_id(&client));
        let mut expected = vec![("traceparent", &*parent)];
        expected.extend(passed_on.map(|state| ("tracestate", state)));
        assert_sent(&sent, &expected);
    }
}

/// Regression: a proxy forwarded the headers that it received, which name another parent.
#[tokio::test]
async fn a_request_that_is_forwarded_names_who_forwards_it() {
    let traces = Traces::new();
    let sent: Arc<Mutex<HeaderMap>> = Arc::default();
    let keeps = Arc::clone(&sent);
    let next = service_fn(move |request: Request<Body>| {
        *keeps.lock().unwrap() = request.headers().clone();
        ready(Ok::<_, Status>(trailers_only(&Status::ok(""))))
    });
    let stale = [("traceparent", TRACEPARENT), ("traceparent", "more"), ("tracestate", "a=1")];
    run(traces.client().layer(next), with(to("/a.B/C"), &stale)).await.unwrap();
    let span = traces.only();
    assert_ne!(trace_id(&span), TRACE);
    let sent = sent.lock().unwrap();
    assert_eq!(sent.get_all("traceparent").iter().count(), 1);
    assert_sent(
        &sent,
        &[("traceparent", &format!("00-{}-{}-01", trace_id(&span), span_id(&span)))],
    );
}
