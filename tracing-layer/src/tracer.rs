//! Where spans come from.

use std::fmt;
use std::sync::{Arc, Once, OnceLock};

use opentelemetry::global::{self, BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, TraceContextExt as _, Tracer as _, TracerProvider,
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
pub(crate) struct Tracer {
    scope: InstrumentationScope,
    /// Once it is there.
    tracer: OnceLock<BoxedTracer>,
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

    pub(crate) fn tracer(&self, schema_url: Option<&'static str>) -> Tracer {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"));
        let scope = match schema_url {
            Some(url) => scope.with_schema_url(url),
            None => scope,
        };
        let scope = scope.build();
        let tracer = match self {
            Self::Global => OnceLock::new(),
            Self::Given(provider) => provider(scope.clone()).into(),
        };
        Tracer { scope, tracer }
    }
}

impl Tracer {
    pub(crate) fn start(&self, builder: SpanBuilder, parent: &Context) -> Started {
        let parent_is =
            |span: &SpanContext| parent.span().span_context().span_id() == span.span_id();
        if let Some(tracer) = self.tracer.get() {
            let span = tracer.build_with_context(builder, parent);
            let is_own = span.span_context().is_valid() && !parent_is(span.span_context());
            return Started { span, is_own };
        }
        let tracer = global::tracer_with_scope(self.scope.clone());
        let span = tracer.build_with_context(builder, parent);
        let is_own = span.span_context().is_valid() && !parent_is(span.span_context());
        if is_own {
            let _ = self.tracer.set(tracer);
        } else {
            warn();
        }
        Started { span, is_own }
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
