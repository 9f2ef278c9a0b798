use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, request};
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _,
};
use opentelemetry::{Context, KeyValue};
use tonic_call::{CallInfo, Flow, KeptMetadata, Observer, Peer, Rpc, Side, Stopwatch, TraceIds};

use crate::call::TracingCall;
use crate::conventions::{MetadataKeys, Naming, name};
use crate::exception::Teller;
use crate::settings::Settings;
use crate::target::Target;
use crate::tracer::{Started, Tracer, scope};

/// Watches calls and makes their spans: the [`Observer`] in a [`TracingLayer`](crate::TracingLayer).
#[derive(Clone)]
pub struct Tracing(Arc<Inner>);

struct Inner {
    settings: Settings,
    tracer: Tracer,
    exceptions: Option<Teller>,
    request_keys: MetadataKeys,
    response_keys: MetadataKeys,
}

/// Where a span hangs.
struct Place {
    /// The parent is the span in it, if there is one.
    parent: Context,
    /// Where the caller's span is named if it is not the parent.
    link: Option<Link>,
    /// What is current in the call, besides its span.
    around: Context,
}

const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

impl Tracing {
    pub(crate) fn new(settings: Settings) -> Self {
        let conventions = settings.conventions;
        let scope = scope(conventions.schema_url());
        Self(Arc::new(Inner {
            exceptions: settings.exceptions.as_ref().map(|tellers| tellers(scope.clone())),
            tracer: settings.provider.tracer(scope),
            request_keys: conventions.metadata(Flow::Request, &settings.request_metadata),
            response_keys: conventions.metadata(Flow::Response, &settings.response_metadata),
            settings,
        }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Writes exceptions into the log, if there is one.
    pub(crate) fn exceptions(&self) -> Option<&Teller> {
        self.0.exceptions.as_ref()
    }

    pub(crate) fn response_keys(&self) -> &MetadataKeys {
        &self.0.response_keys
    }

    /// Whether the method turned out to be served here, now that the call is over.
    pub(crate) fn is_served(&self, rpc: &Rpc, took_message: bool) -> bool {
        let Settings { side, known, answered, .. } = self.settings();
        // What refuses a call does so before it reads a message of it.
        let answers = *side == Side::Server && took_message;
        known.knows(rpc) || answers && answered.learn(rpc)
    }

    fn naming(&self, rpc: &Rpc) -> Naming {
        let Settings { known, answered, .. } = self.settings();
        if rpc.known().is_some() || known.knows(rpc) || answered.knows(rpc) {
            return Naming::Known;
        }
        let is_undescribed = rpc.is_undescribed() || known.methods().is_some();
        match rpc.is_well_formed() && !is_undescribed {
            true => Naming::Pending,
            false => Naming::Other,
        }
    }

    fn place(&self, rpc: &Rpc, head: &request::Parts) -> Place {
        let Settings { side, propagation, public, .. } = self.settings();
        let current = Context::current();
        if *side == Side::Client {
            return Place { parent: current.clone(), link: None, around: current };
        }
        if public.is(rpc, head) {
            let stranger = propagation.extract(&Context::new(), &head.headers);
            let span = stranger.span().span_context().clone();
            let link = span.is_valid().then(|| Link::with_context(span));
            return Place { parent: Context::new(), link, around: current };
        }
        let caller = propagation.extract(&current, &head.headers);
        Place { parent: caller.clone(), link: None, around: caller }
    }

    /// Starts the span, with what a sampler needs.
    fn start(&self, rpc: &Rpc, naming: Naming, place: &Place, head: &request::Parts) -> Started {
        let Settings { side, conventions, target, .. } = self.settings();
        let authority = match side {
            Side::Server => authority(head).and_then(|authority| Target::of_authority(&authority)),
            Side::Client => None,
        };
        let server = target.as_ref().or(authority.as_ref());
        let kind = match side {
            Side::Server => SpanKind::Server,
            Side::Client => SpanKind::Client,
        };
        let mut builder = SpanBuilder::from_name(name(rpc, naming)).with_kind(kind);
        // A call that begins late has its span begin when its request came.
        builder.start_time = Stopwatch::of_late(&head.extensions)
            .and_then(|since| SystemTime::now().checked_sub(since.elapsed()));
        builder.attributes = Some(conventions.begin(rpc, naming, server));
        builder.links = place.link.clone().map(|link| vec![link]);
        self.0.tracer.start(builder, &place.parent)
    }

    /// What is of use only if somebody records the span.
    fn details(&self, rpc: &Rpc, naming: Naming, head: &request::Parts) -> Vec<KeyValue> {
        let Settings { side, conventions, request_metadata, .. } = self.settings();
        let mut attributes = Vec::new();
        conventions.original(rpc, naming, &mut attributes);
        if *side == Side::Server
            && let Some(peer) = Peer::of(&head.extensions)
        {
            conventions.peer(&peer, &mut attributes);
        }
        if let Some(attempts) = previous_attempts(&head.headers) {
            conventions.previous_attempts(attempts, &mut attributes);
        }
        let metadata = KeptMetadata::new(request_metadata);
        metadata.keep(&head.headers);
        metadata.show(|place, _, values| {
            self.0.request_keys.show(place, values, &mut attributes);
        });
        attributes
    }
}

impl Place {
    /// Whether there is anything to make current, and to send along, if there is no span.
    fn has_anything(&self) -> bool {
        self.around.has_active_span() || !self.around.baggage().is_empty()
    }
}

impl Observer for Tracing {
    type Call = TracingCall;

    fn begin(&self, _: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<TracingCall> {
        let settings = self.settings();
        if !settings.traces(rpc, head) || Context::is_current_telemetry_suppressed() {
            return None;
        }
        if settings.side == Side::Server && is_in_span(head) {
            return None;
        }
        let naming = self.naming(rpc);
        let place = self.place(rpc, head);
        let Started { mut span, is_own } = self.start(rpc, naming, &place, head);
        let recorded = span.is_recording();
        if recorded {
            span.set_attributes(self.details(rpc, naming, head));
        }
        if !is_own && !place.has_anything() {
            return None;
        }
        let ids = is_own.then(|| ids(span.span_context())).flatten();
        // Without a span of its own, what the caller sent passes through.
        let context = if is_own { place.around.with_span(span) } else { place.around };
        if settings.side == Side::Client {
            settings.propagation.inject(&context, &mut head.headers);
        }
        let info = ids.map(|ids| {
            let info = CallInfo::get_or_insert(settings.side, &mut head.extensions);
            info.set_trace(ids);
            info
        });
        let pending = (naming == Naming::Pending).then(|| rpc.clone());
        Some(TracingCall::new(self.clone(), context, info, recorded, pending))
    }
}

/// Whether the call has its span already, by a layer further out: one is enough.
fn is_in_span(head: &request::Parts) -> bool {
    let info = CallInfo::of_side(Side::Server, &head.extensions);
    let current = || Context::map_current(|current| ids(current.span().span_context()));
    info.and_then(CallInfo::trace).is_some_and(|of_call| current() == Some(of_call))
}

fn ids(span: &SpanContext) -> Option<TraceIds> {
    let trace = u128::from_be_bytes(span.trace_id().to_bytes());
    TraceIds::new(trace, u64::from_be_bytes(span.span_id().to_bytes()))
}

/// The server as the request names it: `:authority`, which is in the URI, or else `host`.
fn authority(head: &request::Parts) -> Option<Authority> {
    if let Some(authority) = head.uri.authority() {
        return Some(authority.clone());
    }
    Authority::try_from(head.headers.get(HOST)?.as_bytes()).ok()
}

fn previous_attempts(headers: &HeaderMap) -> Option<u32> {
    headers.get(PREVIOUS_ATTEMPTS)?.to_str().ok()?.parse().ok()
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("side", &self.settings().side).finish_non_exhaustive()
    }
}
