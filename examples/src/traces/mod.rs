//! Where the spans of calls go: over OTLP, to what collects them.

mod delivery;
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
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::{self, Runtime};
use tonic::codegen::http::HeaderName;
use tonic::transport::Uri;
use tonic_call::{KnownMethods, Methods, ObserveLayer};
use tonic_tracing_layer::{Tracing, TracingLayer};

use delivery::{Delivery, Watched};
use queue::{Depth, Queue};

use crate::metrics::Gauges;

/// How long what was not delivered yet may hold up the end of the process.
const LAST_CHANCE: Duration = Duration::from_secs(3);

/// Where callers of the server are told the trace of their call.
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Gives calls spans, and sends them on in batches, together with what is told of panics.
#[derive(Debug)]
pub struct Traces {
    spans: SdkTracerProvider,
    spans_delivery: Arc<Delivery>,
    depth: Depth,
    events: SdkLoggerProvider,
    events_delivery: Arc<Delivery>,
    /// The exporters' own, with no layer of ours in it. It outlives the one that serves: calls that only
    /// end with that one have spans, too.
    runtime: Runtime,
}

/// Why no span can be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotExport {
    /// What the environment says of OTLP makes no sense, or is not supported.
    Settings(ExporterBuildError),
    /// The system gives us no thread.
    Start(std::io::Error),
}

impl fmt::Display for CannotExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot send spans: ")?;
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CannotExport {}

impl From<ExporterBuildError> for CannotExport {
    fn from(error: ExporterBuildError) -> Self {
        Self::Settings(error)
    }
}

impl Traces {
    /// Sends to the collector at `endpoint` from here on. `service` is what calls itself so there, if the
    /// environment gives it no other name.
    pub fn start(endpoint: &Uri, service: &'static str) -> Result<Self, CannotExport> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(CannotExport::Start)?;
        // The exporters' channels belong to the runtime that is entered when they are made.
        let entered = runtime.enter();
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint.to_string());
        let spans = Watched::new(exporter.build()?, Delivery::of("spans", endpoint));
        let exporter = LogExporter::builder().with_tonic().with_endpoint(endpoint.to_string());
        let events = Watched::new(exporter.build()?, Delivery::of("events", endpoint));
        drop(entered);

        let resource = resource(service);
        let (spans_delivery, events_delivery) = (spans.delivery(), events.delivery());
        let waiting = spans.waiting();
        let queue = Queue::to(spans, waiting);
        let depth = queue.depth();
        let spans = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_span_processor(queue)
            .build();
        let events = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(events)
            .build();
        Ok(Self { spans, spans_delivery, depth, events, events_delivery, runtime })
    }

    /// Delivers what is left. To be called when nothing runs any more that has a span.
    ///
    /// It takes seconds at most, and does not fail: what cannot be delivered is told of in the log.
    pub fn finish(self) {
        let Self { spans, spans_delivery, events, events_delivery, runtime, .. } = self;
        let deadline = Instant::now() + LAST_CHANCE;
        let ends = [
            (spans_delivery, in_thread(move || spans.shutdown_with_timeout(Duration::MAX))),
            (events_delivery, in_thread(move || events.shutdown_with_timeout(Duration::MAX))),
        ];
        for (delivery, ended) in ends {
            let left = deadline.saturating_duration_since(Instant::now());
            if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                delivery.failed(&format!("no answer within {LAST_CHANCE:?}"));
            }
        }
        runtime.shutdown_background();
    }

    /// Shows how many spans wait and are lost, at each scrape, for as long as what is returned lives.
    pub(crate) fn gauges(&self) -> Gauges {
        self.depth.gauges()
    }

    fn given_to(&self, layer: TracingLayer) -> TracingLayer {
        layer.with_tracer_provider(&self.spans).with_logger_provider(&self.events)
    }
}

/// Gives the calls of a server spans, if there is a place to send them to.
pub(crate) fn server(traces: Option<&Traces>, methods: &Methods) -> ObserveLayer<Option<Tracing>> {
    let known = Arc::new(KnownMethods::from(methods));
    let layer = traces.map(|traces| {
        let layer = TracingLayer::server().known(Arc::clone(&known)).return_trace_id(TRACE_ID);
        traces.given_to(layer)
    });
    ObserveLayer::server(layer.map(|layer| layer.observer())).known(known)
}

/// Gives the calls of a client spans, if there is a place to send them to.
pub(crate) fn client(
    traces: Option<&Traces>,
    to: &Uri,
    methods: &Methods,
) -> ObserveLayer<Option<Tracing>> {
    let known = Arc::new(KnownMethods::from(methods));
    let layer =
        traces.map(|traces| traces.given_to(TracingLayer::client(to).known(Arc::clone(&known))));
    ObserveLayer::client(layer.map(|layer| layer.observer())).known(known)
}

/// Does it in a thread of its own, since it ends when its exporter lets it. What is returned is disconnected
/// then.
fn in_thread<T>(act: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<()> {
    let (ends, ended) = mpsc::channel();
    thread::spawn(move || {
        _ = act();
        drop(ends);
    });
    ended
}

/// Whose spans they are: what the environment says goes first, and of that `OTEL_SERVICE_NAME`, as
/// OpenTelemetry asks for ("Resource SDK", "Specifying resource information via an environment variable").
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
