//! The OpenTelemetry SDK for spans, shared by our layer and its alternative.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll};

use http::Request;
use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use tower::{Layer, Service};

/// A sampler that samples everything or nothing.
#[derive(Clone, Debug)]
struct Switch;

static SAMPLED: AtomicBool = AtomicBool::new(true);

impl ShouldSample for Switch {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let decision = match SAMPLED.load(Ordering::Relaxed) {
            true => SamplingDecision::RecordAndSample,
            false => SamplingDecision::Drop,
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: Default::default() }
    }
}

/// A provider whose spans are not exported.
pub(crate) fn provider() -> &'static SdkTracerProvider {
    static PROVIDER: LazyLock<SdkTracerProvider> =
        LazyLock::new(|| SdkTracerProvider::builder().with_sampler(Switch).build());
    &PROVIDER
}

/// Turns sampling on or off for the calls of the inner service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampledLayer(pub(crate) bool);

impl<S> Layer<S> for SampledLayer {
    type Service = Sampled<S>;

    fn layer(&self, inner: S) -> Sampled<S> {
        Sampled { inner, sampled: self.0 }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Sampled<S> {
    inner: S,
    sampled: bool,
}

impl<S, B> Service<Request<B>> for Sampled<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        SAMPLED.store(self.sampled, Ordering::Relaxed);
        self.inner.call(request)
    }
}
