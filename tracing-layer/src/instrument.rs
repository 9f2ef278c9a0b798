//! Makes spans, and decides their names.

use std::time::SystemTime;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, request};
use opentelemetry::global::BoxedSpan;
use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, Value};
use tonic_call::{Flow, KeptMetadata, Peer, Protocol, Rpc, Side, Stopwatch, find_header};

use crate::conventions::Naming;
use crate::exception::ExceptionLogger;
use crate::metadata_keys::MetadataKeys;
use crate::settings::Settings;
use crate::target::{Target, host_of, host_value};
use crate::tracer::{Started, Tracer, instrumentation_scope};

/// What all calls of a layer share.
pub(crate) struct Instrument {
    pub(crate) settings: Settings,
    tracer: Tracer,
    /// Logs exceptions, if a logger provider is set.
    pub(crate) exceptions: Option<ExceptionLogger>,
    request_keys: MetadataKeys,
    pub(crate) response_keys: MetadataKeys,
}

/// The context that a span is started in.
pub(crate) struct Parent {
    /// Its span is the parent, if it has one. `None` means that it is `base`.
    context: Option<Context>,
    /// The caller's span, if it is not the parent.
    link: Option<Link>,
    /// The context of the call, except for the new span.
    pub(crate) base: Context,
}

const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

impl Instrument {
    pub(crate) fn new(settings: Settings) -> Self {
        let conventions = settings.conventions;
        let scope = instrumentation_scope(conventions.schema_url());
        Self {
            exceptions: settings.exceptions.as_ref().map(|logger| logger(scope.clone())),
            tracer: settings.provider.tracer(scope),
            request_keys: MetadataKeys::new(conventions, Flow::Request, &settings.request_metadata),
            response_keys: MetadataKeys::new(
                conventions,
                Flow::Response,
                &settings.response_metadata,
            ),
            settings,
        }
    }

    /// Whether the service has this method, as far as the finished call shows.
    pub(crate) fn is_served(&self, rpc: &Rpc, took_message: bool) -> bool {
        let Settings { side, known, answered, .. } = &self.settings;
        // A layer that refuses a call does so before it reads a request message.
        let answers = *side == Side::Server && took_message;
        known.knows(rpc) || answers && answered.learn(rpc)
    }

    pub(crate) fn naming(&self, rpc: &Rpc) -> Naming {
        let Settings { known, answered, .. } = &self.settings;
        if rpc.known().is_some() || known.knows(rpc) || answered.knows(rpc) {
            return Naming::Known;
        }
        let is_undescribed = rpc.is_undescribed() || known.methods().is_some();
        match rpc.is_well_formed() && !is_undescribed {
            true => Naming::Pending,
            false => Naming::Other,
        }
    }

    pub(crate) fn parent(&self, rpc: &Rpc, head: &request::Parts) -> Parent {
        let Settings { side, propagation, public, .. } = &self.settings;
        let current = Context::current();
        if *side == Side::Client {
            return Parent { context: None, link: None, base: current };
        }
        if public.is(rpc, head) {
            let caller = propagation.extract(&Context::new(), &head.headers);
            let span = caller.span().span_context().clone();
            let link = span.is_valid().then(|| Link::with_context(span));
            return Parent { context: Some(Context::new()), link, base: current };
        }
        let caller = propagation.extract(&current, &head.headers);
        Parent { context: None, link: None, base: caller }
    }

    /// Starts the span with the attributes that a sampler needs.
    pub(crate) fn start(
        &self,
        rpc: &Rpc,
        naming: Naming,
        protocol: Protocol,
        parent: &Parent,
        head: &request::Parts,
    ) -> Started {
        let Settings { side, conventions, target, .. } = &self.settings;
        let (kind, server) = match (side, target) {
            (Side::Server, None) => (SpanKind::Server, server(head)),
            (Side::Server, Some(target)) => (SpanKind::Server, target.to_server()),
            (Side::Client, target) => {
                (SpanKind::Client, target.as_ref().and_then(Target::to_server))
            }
        };
        let name = conventions.name(rpc, naming, protocol);
        let mut builder = SpanBuilder::from_name(name).with_kind(kind);
        // The span of a call that is recognized late starts when its request arrived.
        builder.start_time = Stopwatch::of_late(&head.extensions)
            .and_then(|since| SystemTime::now().checked_sub(since.elapsed()));
        builder.attributes = Some(conventions.begin(rpc, naming, protocol, server));
        builder.links = parent.link.clone().map(|link| vec![link]);
        self.tracer.start(builder, parent.context.as_ref().unwrap_or(&parent.base))
    }

    /// Adds the attributes that are only needed if the span is recorded.
    pub(crate) fn add_details(
        &self,
        rpc: &Rpc,
        naming: Naming,
        protocol: Protocol,
        head: &request::Parts,
        span: &mut BoxedSpan,
    ) {
        let Settings { side, conventions, request_metadata, .. } = &self.settings;
        span.set_attributes(conventions.original(rpc, naming));
        if *side == Side::Server
            && let Some(peer) = Peer::of(&head.extensions)
        {
            conventions.peer(&peer, &mut |attribute| span.set_attribute(attribute));
        }
        if let Some(attempts) = previous_attempts(&head.headers) {
            span.set_attribute(conventions.previous_attempts(attempts));
        }
        let metadata = KeptMetadata::new(request_metadata);
        metadata.keep(&head.headers);
        metadata.show(|index, _, values| {
            span.set_attributes(self.request_keys.attributes(protocol, index, values));
        });
    }
}

/// The address and port of the server in the request: the `:authority`, which is in the URI, or the `host` header.
fn server(head: &request::Parts) -> Option<(Value, Option<u16>)> {
    let of_host;
    let authority = match head.uri.authority() {
        Some(authority) => authority,
        None => {
            let host = find_header(&head.headers, &HOST)?;
            of_host = Authority::try_from(host.as_bytes()).ok()?;
            &of_host
        }
    };
    let (host, port) = host_of(authority)?;
    (!host.is_empty()).then(|| (host_value(host), port))
}

fn previous_attempts(headers: &HeaderMap) -> Option<u32> {
    find_header(headers, &PREVIOUS_ATTEMPTS)?.to_str().ok()?.parse().ok()
}
