//! The layers and their alternatives, configured as in a program.

use tonic_call::ObserveLayer;
use tonic_logging_layer::{Logging, LoggingLayer};
use tonic_metrics_layer::exporter::Prometheus;
use tonic_metrics_layer::{Metrics, MetricsLayer};
use tonic_tracing_layer::TracingLayer;
use tonic_tracing_opentelemetry::middleware::server::OtelGrpcLayer;
use tower_http::classify::{GrpcErrorsAsFailures, SharedClassifier};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

use crate::nothing::Nothing;
use crate::spans;

pub(crate) fn observe() -> ObserveLayer<Nothing> {
    ObserveLayer::server(Nothing)
}

/// A layer with its own Prometheus recorder. The recorder's upkeep needs a tokio runtime.
pub(crate) fn metrics() -> MetricsLayer {
    let (recorder, _) = Prometheus::new().build().expect("there is a runtime");
    MetricsLayer::server().with_recorder(recorder)
}

pub(crate) fn logging() -> LoggingLayer {
    LoggingLayer::server()
}

/// Metrics and logging in one layer, which observes each call once.
pub(crate) fn metrics_and_logging() -> ObserveLayer<(Metrics, Logging)> {
    let metrics = metrics();
    ObserveLayer::server((metrics.observer(), logging().observer())).known(metrics.known_methods())
}

pub(crate) type Trace = TraceLayer<SharedClassifier<GrpcErrorsAsFailures>>;

/// By default it logs nothing at `INFO`. Configured like this, it logs one line per call, in a span.
pub(crate) fn trace() -> Trace {
    TraceLayer::new_for_grpc()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO))
}

pub(crate) fn tonic_prometheus() -> tonic_prometheus_layer::MetricsLayer {
    tonic_prometheus_layer::MetricsLayer::new()
}

pub(crate) fn tracing() -> TracingLayer {
    TracingLayer::server().with_tracer_provider(spans::provider())
}

pub(crate) fn tonic_tracing_opentelemetry() -> OtelGrpcLayer {
    OtelGrpcLayer::default()
}
