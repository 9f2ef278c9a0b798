use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, request};
use tonic::Code;
use tonic_call::{Batch, Call, CallInfo, End, Flow, Message, Observer, Rpc, Side};
use tracing::{Level, Span};

#[cfg(feature = "json")]
use crate::current;
use crate::extra::ExtraKeys;
use crate::facts::Facts;
use crate::finished::Finished;
use crate::line::CallLine;
use crate::refusals::RefusalLimit;
use crate::settings::Settings;
use crate::site::Site;
use crate::sites::Sites;
use crate::span;

/// The [`Observer`] of a [`LoggingLayer`](crate::LoggingLayer).
#[derive(Clone)]
pub struct Logging(Arc<Inner>);

struct Inner {
    settings: Settings,
    extra_keys: ExtraKeys,
    sites: Sites,
}

/// One call that is logged.
pub struct LoggingCall {
    logging: Arc<Inner>,
    facts: Facts,
    span: Span,
    /// Whether the formatter of `json` finds the call while its handler runs.
    #[cfg(feature = "json")]
    is_current: bool,
}

impl Logging {
    pub(crate) fn new(settings: Settings) -> Self {
        let (request, response) = (&settings.request_metadata, &settings.response_metadata);
        let extra_keys = ExtraKeys::new(request, response, &settings.fields);
        let sites = Sites::new(extra_keys.names(), settings.starts, settings.messages);
        Self(Arc::new(Inner { settings, extra_keys, sites }))
    }

    fn call(&self, rpc: &Rpc, head: &mut request::Parts, span: Span) -> LoggingCall {
        let settings = &self.0.settings;
        let (request, response) = (&settings.request_metadata, &settings.response_metadata);
        LoggingCall {
            logging: Arc::clone(&self.0),
            facts: Facts::new(settings.side, rpc, head, request, response),
            span,
            #[cfg(feature = "json")]
            is_current: settings.side == Side::Server
                && !settings.handler_span
                && !settings.is_quiet(rpc),
        }
    }
}

impl Observer for Logging {
    type Call = LoggingCall;

    fn begin(&self, _: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<LoggingCall> {
        let Inner { settings, sites, .. } = &*self.0;
        let is_quiet = settings.is_quiet(rpc);
        let has_span = settings.handler_span && !is_quiet;
        let span = if has_span { span::around(rpc, head) } else { Span::none() };
        let may_write = settings.outputs.may_be_enabled(sites);
        if span.is_disabled() && settings.hook.is_none() && !may_write {
            return None;
        }
        // Each arm builds the call where it is returned: it is large.
        match sites.starts {
            Some(site) if !is_quiet => Some(self.call(rpc, head, span).with_start(site)),
            _ => Some(self.call(rpc, head, span)),
        }
    }

    fn begins_in_scope(&self) -> bool {
        // The handler's span and the line of a start may be seen by what reads the context of a trace.
        self.0.settings.handler_span || self.0.sites.starts.is_some()
    }
}

impl Call for LoggingCall {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        #[cfg(feature = "json")]
        if self.is_current {
            return current::scope(&self.facts, poll);
        }
        self.span.in_scope(poll)
    }

    fn responded(&self, _: StatusCode, headers: &mut HeaderMap) {
        self.facts.response_metadata.keep(headers);
    }

    fn message(&self, flow: Flow, message: Message) {
        let Inner { settings, sites, .. } = &*self.logging;
        if let Some(site) = sites.messages
            && !settings.is_quiet(&self.facts.rpc)
        {
            let number = self.facts.messages(flow).next_number();
            if let Some(sinks) = settings.outputs.sinks(site) {
                sinks.write(&CallLine::message(&self.facts, flow, number, message));
            }
        }
    }

    fn batch(&self, flow: Flow, batch: Batch) {
        self.facts.messages(flow).add(batch);
    }

    fn reports_in_scope(&self) -> bool {
        // Only a line of a message can show a span outside. Counting messages needs none.
        self.logging.sites.messages.is_some()
    }

    fn info(&self) -> Option<&CallInfo> {
        Some(&self.facts.info)
    }

    fn end(&self, end: End<'_>) {
        let Inner { settings, extra_keys, sites } = &*self.logging;
        if let End::Status { headers, .. } = end {
            self.facts.response_metadata.keep(headers);
        }
        let is_slow = |duration| settings.slow.is_slow(&self.facts.rpc, duration);
        let finished = Finished::new(&self.facts, end, is_slow);
        if let Some(hook) = &settings.hook {
            hook(&finished);
        }
        let Some(level) = self.level(&finished) else { return };
        let Some(sinks) = settings.outputs.sinks(sites.finished(level)) else { return };
        let keeps = |limit: &RefusalLimit| limit.keeps(&finished, level, &settings.outputs);
        if settings.refusals.as_ref().is_none_or(keeps) {
            sinks.write(&CallLine::finished(&finished, extra_keys));
        }
    }
}

impl LoggingCall {
    /// Writes the line of the start.
    fn with_start(self, site: &'static Site) -> Self {
        if let Some(sinks) = self.logging.settings.outputs.sinks(site) {
            sinks.write(&CallLine::started(&self.facts));
        }
        self
    }

    /// The level of the finished call's line; `None` if it has no line.
    fn level(&self, finished: &Finished<'_>) -> Option<Level> {
        let settings = &self.logging.settings;
        if settings.is_quiet(finished.rpc()) && !finished.has_failed_as_infrastructure() {
            return None;
        }
        let level = match &settings.level {
            Some(level) => finished.raise_if_slow(level(finished)?),
            None => finished.default_level(),
        };
        let keep = settings.filter.as_ref().is_none_or(|keep| keep(finished));
        let always_kept = finished.code() != Code::Ok || finished.is_slow();
        (keep && (always_kept || settings.sample.keeps_next())).then_some(level)
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").field("side", &self.0.settings.side).finish_non_exhaustive()
    }
}

impl fmt::Debug for LoggingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggingCall").field("rpc", &self.facts.rpc).finish_non_exhaustive()
    }
}
