//! Propagation of the trace between services.

use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, global};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};

use crate::{baggage, w3c};

#[derive(Clone)]
pub(crate) enum Propagation {
    /// W3C Trace Context and W3C Baggage.
    W3c,
    /// The one set by [`global::set_text_map_propagator`].
    Global,
    Given(Arc<dyn TextMapPropagator + Send + Sync>),
}

impl Propagation {
    /// Adds the caller's span and baggage to a context.
    pub(crate) fn extract(&self, context: &Context, headers: &HeaderMap) -> Context {
        match self {
            Self::W3c => {
                let span = w3c::extract(headers);
                let baggage = baggage::extract(headers);
                let context = match span {
                    Some(span) => context.with_remote_span_context(span),
                    None => context.clone(),
                };
                match baggage {
                    Some(baggage) => context.with_baggage(baggage),
                    None => context,
                }
            }
            Self::Global => global::get_text_map_propagator(|propagator| {
                propagator.extract_with_context(context, &HeaderExtractor(headers))
            }),
            Self::Given(propagator) => {
                propagator.extract_with_context(context, &HeaderExtractor(headers))
            }
        }
    }

    /// Adds the context to the headers of a request.
    pub(crate) fn inject(&self, context: &Context, headers: &mut HeaderMap) {
        match self {
            Self::W3c => {
                w3c::inject(context, headers);
                baggage::inject(context, headers);
            }
            Self::Global => global::get_text_map_propagator(|propagator| {
                propagator.inject_context(context, &mut HeaderInjector(headers));
            }),
            Self::Given(propagator) => {
                propagator.inject_context(context, &mut HeaderInjector(headers));
            }
        }
    }
}
