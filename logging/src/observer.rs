use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, request, response};
use tonic::Code;
use tonic_call::{
    Batch, Call, CallInfo, End, Flow, KeptMetadata, Message, Observer, Peer, Rpc, Side, Stopwatch,
    TraceIds, timeout_of,
};
use tracing::{Level, Span};

use crate::finished::Finished;
use crate::line;
use crate::refusals::Refusals;
use crate::settings::Settings;
use crate::sites::Sites;
use crate::span;

/// Watches calls and writes their lines: what a [`LoggingLayer`](crate::LoggingLayer) puts around a
/// service.
#[derive(Clone)]
pub struct Logging(Arc<Inner>);

struct Inner {
    settings: Settings,
    sites: Sites,
}

/// One call that is logged.
pub struct Logged {
    logging: Logging,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) rpc: Rpc,
    pub(crate) info: CallInfo,
    pub(crate) peer: Option<Peer>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) trace: Option<TraceIds>,
    pub(crate) requests: Tally,
    pub(crate) responses: Tally,
    pub(crate) request_metadata: KeptMetadata,
    pub(crate) response_metadata: KeptMetadata,
    span: Span,
}

/// Messages and their bytes, one way.
#[derive(Default)]
pub(crate) struct Tally {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// How many messages had a line of their own, or could have.
    numbered: AtomicU64,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Logging {
    pub(crate) fn new(settings: Settings) -> Self {
        let sites = Sites::of(&settings);
        Self(Arc::new(Inner { settings, sites }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn sites(&self) -> &Sites {
        &self.0.sites
    }
}

impl Observer for Logging {
    type Call = Logged;

    fn begin(&self, _: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<Logged> {
        let settings = self.settings();
        let spanned = settings.handler_span && !settings.is_quiet(rpc);
        let span = if spanned { span::around(rpc, head) } else { Span::none() };
        if span.is_disabled() && settings.hook.is_none() && !self.sites().may_be_heard() {
            return None;
        }
        let headers = &head.headers;
        let request_metadata = KeptMetadata::new(&settings.request_metadata);
        request_metadata.keep(headers);
        let call = Logged {
            logging: self.clone(),
            stopwatch: Stopwatch::since_arrival(&head.extensions),
            rpc: rpc.clone(),
            // What a proxy received, a client may send on: it is another call's peer.
            peer: (settings.side == Side::Server).then(|| Peer::of(&head.extensions)).flatten(),
            timeout: timeout_of(headers).ok().flatten(),
            user_agent: shown(headers, &USER_AGENT).cloned(),
            request_id: request_id(headers).cloned(),
            trace: TraceIds::from_headers(headers),
            requests: Tally::default(),
            responses: Tally::default(),
            request_metadata,
            response_metadata: KeptMetadata::new(&settings.response_metadata),
            info: CallInfo::get_or_insert(settings.side, &mut head.extensions),
            span,
        };
        call.started();
        Some(call)
    }
}

impl Call for Logged {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.span.in_scope(poll)
    }

    fn responded(&self, head: &mut response::Parts) {
        self.response_metadata.keep(&head.headers);
    }

    fn message(&self, flow: Flow, message: Message) {
        if let Some(site) = self.sites().messages
            && !self.settings().is_quiet(&self.rpc)
        {
            let number = self.tally(flow).next_number();
            if site.is_heard() {
                line::message(self, site, flow, number, message);
            }
        }
    }

    fn batch(&self, flow: Flow, batch: Batch) {
        self.tally(flow).add(batch);
    }

    fn end(&self, end: End<'_>) {
        if let End::Status { headers, .. } = end {
            self.response_metadata.keep(headers);
        }
        let finished = Finished::new(self, end);
        if let Some(hook) = &self.settings().hook {
            hook(&finished);
        }
        let Some(level) = self.level(&finished) else { return };
        let site = self.sites().finished(level);
        let keeps = |refusals: &Refusals| refusals.keeps(&finished, level);
        if site.is_heard() && self.settings().refusals.as_ref().is_none_or(keeps) {
            line::finished(self, site, &finished);
        }
    }
}

impl Logged {
    pub(crate) fn settings(&self) -> &Settings {
        self.logging.settings()
    }

    pub(crate) fn sites(&self) -> &Sites {
        self.logging.sites()
    }

    fn tally(&self, flow: Flow) -> &Tally {
        match flow {
            Flow::Request => &self.requests,
            Flow::Response => &self.responses,
        }
    }

    fn started(&self) {
        if let Some(site) = self.sites().starts
            && !self.settings().is_quiet(&self.rpc)
            && site.is_heard()
        {
            line::started(self, site);
        }
    }

    /// How loud the line is; `None` if there is none.
    fn level(&self, finished: &Finished<'_>) -> Option<Level> {
        let settings = self.settings();
        if settings.is_quiet(&self.rpc) && !finished.has_failed_as_infrastructure() {
            return None;
        }
        let level = match &settings.level {
            Some(level) => finished.raised(level(finished)?),
            None => finished.default_level(),
        };
        let keep = settings.filter.as_ref().is_none_or(|keep| keep(finished));
        let always_kept = finished.code() != Code::Ok || finished.is_slow();
        (keep && (always_kept || settings.sample.keeps_next())).then_some(level)
    }
}

impl Tally {
    /// Adds the messages of a frame. Only one task at a time polls a body, so that no other can add in
    /// between.
    fn add(&self, batch: Batch) {
        let (messages, bytes) = self.get();
        self.messages.store(messages + batch.messages, Ordering::Relaxed);
        self.bytes.store(bytes + batch.bytes, Ordering::Relaxed);
    }

    /// The number of the next message, from 1 on.
    fn next_number(&self) -> u64 {
        let number = self.numbered.load(Ordering::Relaxed) + 1;
        self.numbered.store(number, Ordering::Relaxed);
        number
    }

    pub(crate) fn get(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

pub(crate) fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    shown(headers, &REQUEST_ID)
}

fn shown<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    headers.get(name).filter(|value| !value.is_sensitive())
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").field("side", &self.settings().side).finish_non_exhaustive()
    }
}

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logged").field("rpc", &self.rpc).finish_non_exhaustive()
    }
}
