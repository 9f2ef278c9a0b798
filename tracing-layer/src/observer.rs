use std::fmt;
use std::sync::Arc;

use http::request;
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{Span as _, TraceContextExt as _};
use tonic_call::{CallInfo, Observer, Protocol, Rpc, Side};

use crate::call::TracingCall;
use crate::conventions::Naming;
use crate::instrument::Instrument;
use crate::settings::Settings;
use crate::trace_id::trace_ids;
use crate::tracer::Started;

/// The [`Observer`] of a [`TracingLayer`](crate::TracingLayer).
#[derive(Clone)]
pub struct Tracing(Arc<Instrument>);

impl Tracing {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Arc::new(Instrument::new(settings)))
    }
}

impl Observer for Tracing {
    type Call = TracingCall;

    fn begin(&self, _: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<TracingCall> {
        let Self(instrument) = self;
        let settings = &instrument.settings;
        if !settings.traces(rpc, head) || Context::is_current_telemetry_suppressed() {
            return None;
        }
        if settings.side == Side::Server && has_span(head) {
            return None;
        }
        let naming = instrument.naming(rpc);
        let protocol = Protocol::of_call(settings.side, head);
        let parent = instrument.parent(rpc, head);
        let Started { mut span, is_own } = instrument.start(rpc, naming, protocol, &parent, head);
        let recorded = span.is_recording();
        if recorded {
            instrument.add_details(rpc, naming, protocol, head, &mut span);
        }
        let base = parent.base;
        if !is_own && !base.has_active_span() && base.baggage().is_empty() {
            return None;
        }
        let ids = is_own.then(|| trace_ids(span.span_context())).flatten();
        // Without a span of its own, the call passes on the caller's context.
        let context = if is_own { base.with_span(span) } else { base };
        if settings.side == Side::Client {
            settings.propagation.inject(&context, &mut head.headers);
        }
        let info = ids.map(|ids| {
            let info = CallInfo::get_or_insert(settings.side, &mut head.extensions);
            info.set_trace(ids);
            info
        });
        let pending = (naming == Naming::Pending).then(|| Box::new(rpc.clone()));
        Some(TracingCall::new(Arc::clone(instrument), context, protocol, info, recorded, pending))
    }
}

/// Whether a layer further out on the same server has made the call's span.
fn has_span(head: &request::Parts) -> bool {
    let info = CallInfo::of_side(Side::Server, &head.extensions);
    let current = || Context::map_current(|current| trace_ids(current.span().span_context()));
    info.and_then(CallInfo::trace).is_some_and(|of_call| current() == Some(of_call))
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("side", &self.0.settings.side).finish_non_exhaustive()
    }
}
