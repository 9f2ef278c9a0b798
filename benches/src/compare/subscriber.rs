use opentelemetry::trace::TracerProvider as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::spans;

/// The global `tracing` subscriber of a worker. Its events are discarded, its spans not exported.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subscriber {
    /// None.
    Nobody,
    /// Writes events from `INFO` up as JSON, with the formatter of tracing-subscriber.
    Json,
    /// The same, with the formatter of tonic-logging-layer.
    OurJson,
    /// Converts `tracing` spans to OpenTelemetry spans.
    Spans,
    /// Both.
    JsonAndSpans,
}

/// Events and spans from `INFO` up.
const LINES: &str = "info";
/// The spans of a program, and those of tonic-tracing-opentelemetry, which have a target of their own and the level `TRACE`.
const SPANS: &str = "info,otel::tracing=trace";

impl Subscriber {
    pub(super) fn install(self) {
        match self {
            Self::Nobody => {}
            Self::Json => registry().with(EnvFilter::new(LINES)).with(json()).init(),
            Self::OurJson => {
                let json = tonic_logging_layer::json::layer().with_writer(std::io::sink);
                registry().with(EnvFilter::new(LINES)).with(json).init();
            }
            Self::Spans => registry().with(EnvFilter::new(SPANS)).with(spans()).init(),
            Self::JsonAndSpans => {
                // Lines without the spans at `TRACE`, which would cost much more as JSON, too.
                let spans = spans().with_filter(EnvFilter::new(SPANS));
                registry().with(spans).with(json().with_filter(EnvFilter::new(LINES))).init();
            }
        }
    }
}

fn json<S: tracing::Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    fmt::layer().json().flatten_event(true).with_writer(std::io::sink)
}

fn spans<S: tracing::Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    tracing_opentelemetry::layer().with_tracer(spans::provider().tracer("tracing"))
}
