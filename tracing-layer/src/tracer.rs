//! Where spans come from.

use std::fmt;
use std::sync::{Arc, Once};

use arc_swap::ArcSwapOption;
use opentelemetry::global::{self, BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, TraceContextExt as _, Tracer as _, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope};

/// Makes the tracer of an instrumentation scope.
#[derive(Clone)]
pub(crate) enum Provider {
    /// Whichever is set with [`global::set_tracer_provider`], also after the layer was made.
    Global,
    Given(Arc<dyn Fn(InstrumentationScope) -> BoxedTracer + Send + Sync>),
}

/// Starts spans.
pub(crate) enum Tracer {
    /// The global provider's, kept as long as it works.
    Global {
        scope: InstrumentationScope,
        kept: ArcSwapOption<BoxedTracer>,
    },
    Given(BoxedTracer),
}

/// A span that was started.
pub(crate) struct Started {
    pub(crate) span: BoxedSpan,
    /// Whether it is one of its own, and not that of its parent: without a tracer provider there are none.
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
            Self::Global => Tracer::Global { scope, kept: ArcSwapOption::empty() },
            Self::Given(provider) => Tracer::Given(provider(scope)),
        }
    }
}

impl Tracer {
    pub(crate) fn start(&self, builder: SpanBuilder, parent: &Context) -> Started {
        let (scope, kept) = match self {
            Self::Given(tracer) => return Started::by(tracer, builder, parent),
            Self::Global { scope, kept } => (scope, kept),
        };
        if let Some(tracer) = &*kept.load() {
            let started = Started::by(tracer, builder, parent);
            if !started.is_own {
                // Its provider was shut down; the next call looks whether there is another.
                kept.store(None);
            }
            return started;
        }
        let tracer = global::tracer_with_scope(scope.clone());
        let started = Started::by(&tracer, builder, parent);
        if started.is_own {
            kept.store(Some(Arc::new(tracer)));
        } else {
            warn();
        }
        started
    }
}

impl Started {
    fn by(tracer: &BoxedTracer, builder: SpanBuilder, parent: &Context) -> Self {
        let span = tracer.build_with_context(builder, parent);
        let own = span.span_context();
        let is_own = own.is_valid() && own.span_id() != parent.span().span_context().span_id();
        Self { span, is_own }
    }
}

/// Whom spans, and what else is told, come from.
pub(crate) fn scope(schema_url: Option<&'static str>) -> InstrumentationScope {
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"));
    match schema_url {
        Some(url) => scope.with_schema_url(url).build(),
        None => scope.build(),
    }
}

/// Says once that nobody will see a span.
fn warn() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            target: "tonic_tracing_layer",
            "no OpenTelemetry tracer provider is set, so that calls have no spans: \
             set one with `opentelemetry::global::set_tracer_provider`, or give it to the layer"
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
