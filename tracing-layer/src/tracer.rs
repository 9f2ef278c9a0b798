//! The source of spans.

use std::fmt;
use std::sync::{Arc, Once};

use arc_swap::ArcSwapOption;
use opentelemetry::global::{self, BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, TraceContextExt as _, Tracer as _, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope};

/// The source of the tracer.
#[derive(Clone)]
pub(crate) enum Provider {
    /// The one set by [`global::set_tracer_provider`], even after the layer was built.
    Global,
    Given(Arc<dyn Fn(InstrumentationScope) -> BoxedTracer + Send + Sync>),
}

/// Starts spans.
pub(crate) enum Tracer {
    /// The tracer of the global provider, cached while it makes valid spans.
    Global {
        scope: InstrumentationScope,
        cached: ArcSwapOption<BoxedTracer>,
    },
    Given(BoxedTracer),
}

/// A started span.
pub(crate) struct Started {
    pub(crate) span: BoxedSpan,
    /// Whether it is a new span. Without a tracer provider it is that of the parent.
    pub(crate) is_own: bool,
}

impl Provider {
    pub(crate) fn given<P>(provider: &P) -> Self
    where
        P: TracerProvider + Clone + Send + Sync + 'static,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as opentelemetry::trace::Tracer>::Span: Send + Sync + 'static,
    {
        let provider = provider.clone();
        Self::Given(Arc::new(move |scope| {
            BoxedTracer::new(Box::new(provider.tracer_with_scope(scope)))
        }))
    }

    pub(crate) fn tracer(&self, scope: InstrumentationScope) -> Tracer {
        match self {
            Self::Global => Tracer::Global { scope, cached: ArcSwapOption::empty() },
            Self::Given(provider) => Tracer::Given(provider(scope)),
        }
    }
}

impl Tracer {
    pub(crate) fn start(&self, builder: SpanBuilder, parent: &Context) -> Started {
        let (scope, cached) = match self {
            Self::Given(tracer) => return Started::new(tracer, builder, parent),
            Self::Global { scope, cached } => (scope, cached),
        };
        if let Some(tracer) = &*cached.load() {
            let started = Started::new(tracer, builder, parent);
            if !started.is_own {
                // The provider was shut down: the next call looks for a new one.
                cached.store(None);
            }
            return started;
        }
        let tracer = global::tracer_with_scope(scope.clone());
        let started = Started::new(&tracer, builder, parent);
        if started.is_own {
            cached.store(Some(Arc::new(tracer)));
        } else {
            warn();
        }
        started
    }
}

impl Started {
    fn new(tracer: &BoxedTracer, builder: SpanBuilder, parent: &Context) -> Self {
        let span = tracer.build_with_context(builder, parent);
        let own = span.span_context();
        let is_own = own.is_valid() && own.span_id() != parent.span().span_context().span_id();
        Self { span, is_own }
    }
}

/// The instrumentation scope of spans and log records.
pub(crate) fn instrumentation_scope(schema_url: Option<&'static str>) -> InstrumentationScope {
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"));
    match schema_url {
        Some(url) => scope.with_schema_url(url).build(),
        None => scope.build(),
    }
}

/// Warns once that calls have no spans.
fn warn() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            target: "tonic_tracing_layer",
            "no OpenTelemetry tracer provider is set, so calls have no spans: set one with \
             `opentelemetry::global::set_tracer_provider`, or pass one to `with_tracer_provider`"
        );
    });
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "Global",
            Self::Given(_) => "Given",
        })
    }
}
