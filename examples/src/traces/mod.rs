//! Exports the spans of calls, and events of panics, over OTLP.

mod exporter;
mod queue;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_otlp::{ExporterBuildError, LogExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::{self, Runtime};
use tonic::codegen::http::HeaderName;
use tonic::transport::Uri;
use tonic_call::Methods;
use tonic_tracing_layer::TracingLayer;

use exporter::{Delivery, ReportingExporter};
use queue::{QueueDepth, SpanQueue};

use crate::metrics::Gauges;

/// How long undelivered spans may delay the exit of the process.
const FINISH_TIMEOUT: Duration = Duration::from_secs(3);

/// The response header with the trace id of the call.
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Exports the spans of calls and the events of panics in batches.
#[derive(Debug)]
pub struct Traces {
    spans: SdkTracerProvider,
    spans_delivery: Arc<Delivery>,
    depth: QueueDepth,
    events: SdkLoggerProvider,
    events_delivery: Arc<Delivery>,
    /// The exporters' runtime. It outlives the runtime that serves: calls that end with that one have spans, too.
    runtime: Runtime,
}

/// Why spans cannot be exported.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExportError {
    /// An environment variable of OTLP is invalid or not supported.
    Config(ExporterBuildError),
    /// A thread cannot be started.
    Start(std::io::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot export spans: ")?;
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ExportError {}

impl From<ExporterBuildError> for ExportError {
    fn from(error: ExporterBuildError) -> Self {
        Self::Config(error)
    }
}

impl Traces {
    /// Starts to export to the collector at `endpoint`. `service` is the service name, unless the environment sets
    /// another one.
    pub fn start(endpoint: &Uri, service: &'static str) -> Result<Self, ExportError> {
        Self::start_with(endpoint, service, None)
    }

    /// The same, for every call: the environment does not select a sampler.
    pub(crate) fn start_for_all(
        endpoint: &Uri,
        service: &'static str,
    ) -> Result<Self, ExportError> {
        Self::start_with(endpoint, service, Some(Sampler::AlwaysOn))
    }

    fn start_with(
        endpoint: &Uri,
        service: &'static str,
        sampler: Option<Sampler>,
    ) -> Result<Self, ExportError> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(ExportError::Start)?;
        // An exporter's channel belongs to the runtime in which it is created.
        let entered = runtime.enter();
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint.to_string());
        let spans = ReportingExporter::new(exporter.build()?, Delivery::new("spans", endpoint));
        let exporter = LogExporter::builder().with_tonic().with_endpoint(endpoint.to_string());
        let events = ReportingExporter::new(exporter.build()?, Delivery::new("events", endpoint));
        drop(entered);

        let resource = resource(service);
        let (spans_delivery, events_delivery) = (spans.delivery(), events.delivery());
        let queued = spans.queued();
        let queue = SpanQueue::new(spans, queued);
        let depth = queue.depth();
        let mut spans =
            SdkTracerProvider::builder().with_resource(resource.clone()).with_span_processor(queue);
        if let Some(sampler) = sampler {
            spans = spans.with_sampler(sampler);
        }
        let spans = spans.build();
        let events = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(events)
            .build();
        Ok(Self { spans, spans_delivery, depth, events, events_delivery, runtime })
    }

    /// Delivers the remaining spans and events, for 3 s at most; a failure is logged. Must be called when no calls
    /// are running.
    pub fn finish(self) {
        let Self { spans, spans_delivery, events, events_delivery, runtime, .. } = self;
        let deadline = Instant::now() + FINISH_TIMEOUT;
        let shutdowns = [
            (spans_delivery, spawn(move || spans.shutdown_with_timeout(Duration::MAX))),
            (events_delivery, spawn(move || events.shutdown_with_timeout(Duration::MAX))),
        ];
        for (delivery, ended) in shutdowns {
            let left = deadline.saturating_duration_since(Instant::now());
            if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                delivery.failed(&format!("no answer within {FINISH_TIMEOUT:?}"));
            }
        }
        runtime.shutdown_background();
    }

    /// Delivers the spans that have ended. A failure is logged.
    pub(crate) async fn flush(&self) {
        let spans = self.spans.clone();
        // The SDK blocks until they are delivered.
        _ = tokio::task::spawn_blocking(move || spans.force_flush()).await;
    }

    /// Sets gauges of the span queue at each scrape, until the returned value is dropped.
    pub(crate) fn gauges(&self) -> Gauges {
        self.depth.gauges()
    }

    fn export(&self, layer: TracingLayer) -> TracingLayer {
        layer.with_tracer_provider(&self.spans).with_logger_provider(&self.events)
    }
}

/// The layer of the server.
pub(crate) fn server(traces: &Traces, methods: &Methods) -> TracingLayer {
    traces.export(TracingLayer::server().methods(methods).return_trace_id(TRACE_ID))
}

/// The layer of the client.
pub(crate) fn client(traces: &Traces, to: &Uri, methods: &Methods) -> TracingLayer {
    traces.export(TracingLayer::client(to).methods(methods))
}

/// Runs `work` in a thread of its own, since it may block. The returned receiver disconnects when it is done.
fn spawn<T>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<()> {
    let (ends, ended) = mpsc::channel();
    thread::spawn(move || {
        _ = work();
        drop(ends);
    });
    ended
}

/// The resource attributes: the environment overrides `service`, `OTEL_SERVICE_NAME` first, as OpenTelemetry
/// requires ("Resource SDK", "Specifying resource information via an environment variable").
fn resource(service: &'static str) -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name(service)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}
