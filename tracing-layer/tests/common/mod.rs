//! Shared test code: a provider that records its spans, their attributes, and scripted calls.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SamplingDecision, SamplingResult, SdkTracerProvider,
    ShouldSample, Span, SpanData, SpanProcessor,
};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic_call::Side;
use tonic_call_test_kit::Script;
#[allow(unused_imports)] // Each of these tests needs some of it.
pub(crate) use tonic_call_test_kit::{
    Answer, SIDES, answers, drain, frame, methods, poll_once, run, stream, to, to_kind,
    trailers_only, with,
};
use tonic_tracing_layer::{Conventions, TracingLayer};
use tower::{Layer, Service, service_fn};

/// The target of the client layers.
pub(crate) const TARGET: &str = "orders.svc:8080";

/// A trace that a caller sent.
pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub(crate) const PARENT: &str = "00f067aa0ba902b7";

/// A long timeout: a test that waits for something that never happens fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

// Recorded spans.

/// A tracer provider and its finished spans. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    count: watch::Sender<usize>,
}

impl Traces {
    /// Samples every root span, and child spans according to their parent.
    pub(crate) fn new() -> Self {
        Self::sampled_by(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
    }

    pub(crate) fn sampled_by(sampler: impl ShouldSample + 'static) -> Self {
        let (exporter, count) = (InMemorySpanExporter::default(), watch::Sender::new(0));
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_simple_exporter(exporter.clone())
            .with_span_processor(Bell(count.clone()))
            .build();
        Self { exporter, provider, count }
    }

    pub(crate) fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// A layer that records its spans here. It uses the released conventions regardless of the environment.
    pub(crate) fn layer(&self, side: Side) -> TracingLayer {
        let layer = match side {
            Side::Server => TracingLayer::server(),
            Side::Client => TracingLayer::client(TARGET),
        };
        layer.with_tracer_provider(&self.provider).conventions(Conventions::Released)
    }

    pub(crate) fn server(&self) -> TracingLayer {
        self.layer(Side::Server)
    }

    pub(crate) fn client(&self) -> TracingLayer {
        self.layer(Side::Client)
    }

    /// Like [`layer`](Self::layer), with the methods of `test.v1`.
    pub(crate) fn described(&self, side: Side) -> TracingLayer {
        self.layer(side).methods(&methods())
    }

    /// The finished spans, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    /// The only finished span.
    #[track_caller]
    pub(crate) fn only(&self) -> SpanData {
        let mut spans = self.spans();
        assert_eq!(spans.len(), 1, "one span, not {spans:#?}");
        spans.remove(0)
    }

    /// Asserts that no span has ended.
    #[track_caller]
    pub(crate) fn none(&self) {
        let spans = self.spans();
        assert!(spans.is_empty(), "{spans:#?}");
    }

    /// Removes and returns the finished spans.
    pub(crate) fn take(&self) -> Vec<SpanData> {
        let spans = self.spans();
        self.exporter.reset();
        self.count.send_modify(|count| *count -= spans.len());
        spans
    }

    /// Removes and returns the only finished span.
    #[track_caller]
    pub(crate) fn take_only(&self) -> SpanData {
        let span = self.only();
        self.take();
        span
    }

    /// Waits until this many spans have ended.
    pub(crate) async fn until_ended(&self, count: usize) -> Vec<SpanData> {
        let mut ended = self.count.subscribe();
        let ended = ended.wait_for(|ended| *ended >= count);
        let _ = tokio::time::timeout(PATIENCE, ended).await.expect("waited in vain").unwrap();
        self.spans()
    }
}

/// Counts finished spans after the exporter has stored them.
#[derive(Debug)]
struct Bell(watch::Sender<usize>);

impl SpanProcessor for Bell {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, _: SpanData) {
        self.0.send_modify(|count| *count += 1);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A sampler that records its arguments, and samples either everything or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    asked: Arc<Mutex<Vec<Asked>>>,
    samples: bool,
}

/// The arguments of one sampling decision.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) links: Vec<Link>,
    pub(crate) parent: SpanContext,
    pub(crate) trace: TraceId,
}

impl Asking {
    pub(crate) fn samples(samples: bool) -> Self {
        Self { asked: Arc::default(), samples }
    }

    /// Removes and returns the recorded arguments.
    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Removes and returns the arguments of the only decision.
    #[track_caller]
    pub(crate) fn take_only(&self) -> Asked {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "asked once, not {all:#?}");
        all.remove(0)
    }
}

impl ShouldSample for Asking {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let count = attributes.len();
        let attributes: BTreeMap<_, _> =
            attributes.iter().map(|pair| (pair.key.to_string(), pair.value.clone())).collect();
        assert_eq!(attributes.len(), count, "none of them stands twice");
        let parent = parent.map(|parent| parent.span().span_context().clone());
        let parent = parent.unwrap_or_else(SpanContext::empty_context);
        let trace_state = parent.trace_state().clone();
        self.asked.lock().unwrap().push(Asked {
            name: name.to_owned(),
            kind: kind.clone(),
            attributes,
            links: links.to_vec(),
            parent,
            trace,
        });
        let decision = match self.samples {
            true => SamplingDecision::RecordAndSample,
            false => SamplingDecision::Drop,
        };
        SamplingResult { decision, attributes: vec![], trace_state }
    }
}

/// All attributes of a span. Asserts that no key is repeated.
#[track_caller]
pub(crate) fn attributes(span: &SpanData) -> BTreeMap<String, Value> {
    assert_eq!(span.dropped_attributes_count, 0);
    let mut all = BTreeMap::new();
    for pair in &span.attributes {
        let twice = all.insert(pair.key.to_string(), pair.value.clone());
        assert_eq!(twice, None, "{} stands twice", pair.key);
    }
    all
}

/// The attribute keys of a span, in alphabetical order.
#[track_caller]
pub(crate) fn keys(span: &SpanData) -> Vec<String> {
    attributes(span).into_keys().collect()
}

#[track_caller]
pub(crate) fn text(span: &SpanData, key: &str) -> Option<String> {
    attributes(span).remove(key).map(|value| match value {
        Value::String(text) => text.to_string(),
        other => panic!("{key} is no text: {other:?}"),
    })
}

#[track_caller]
pub(crate) fn number(span: &SpanData, key: &str) -> Option<i64> {
    attributes(span).remove(key).map(|value| match value {
        Value::I64(number) => number,
        other => panic!("{key} is no whole number: {other:?}"),
    })
}

#[track_caller]
pub(crate) fn texts(span: &SpanData, key: &str) -> Option<Vec<String>> {
    attributes(span).remove(key).map(|value| match value {
        Value::Array(opentelemetry::Array::String(texts)) => {
            texts.into_iter().map(|text| text.to_string()).collect()
        }
        other => panic!("{key} is no list of texts: {other:?}"),
    })
}

/// The name of the status code, by the released conventions.
#[track_caller]
pub(crate) fn code(span: &SpanData) -> String {
    text(span, "rpc.response.status_code").expect("a code")
}

pub(crate) fn trace_id(span: &SpanData) -> String {
    span.span_context.trace_id().to_string()
}

pub(crate) fn span_id(span: &SpanData) -> String {
    span.span_context.span_id().to_string()
}

// Services and calls.

/// A service that answers without reading the request body, like a layer that refuses calls.
pub(crate) fn refuses<F>(
    answer: F,
) -> impl Service<
    Request<Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future<Output = Answer> + Send,
> + Clone
where
    F: Fn() -> Answer + Clone + Send + 'static,
{
    service_fn(move |_: Request<Body>| std::future::ready(answer()))
}

/// Makes one call through a layer to a service that reads its request and returns this answer. Reads the response
/// to its end, and returns its head.
pub(crate) async fn call<F>(
    layer: &TracingLayer,
    request: Request<Script>,
    answer: F,
) -> Option<Response<()>>
where
    F: Fn() -> Answer + Clone + Send + 'static,
{
    run(layer.layer(answers(answer)), request).await
}

/// Makes one successful call.
pub(crate) async fn call_well(layer: &TracingLayer, request: Request<Script>) {
    call(layer, request, || Ok(stream(1, &Status::ok("")))).await;
}
