use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanRef, Status, TraceContextExt as _};
use tonic_call::{
    Call, CallInfo, End, Flow, KeptMetadata, Message, Protocol, Rpc, sanitize, time_of_day,
};

use crate::conventions::Naming;
use crate::exception::Exception;
use crate::instrument::Instrument;
use crate::trace_id::trace_ids;

/// One call with a span.
pub struct TracingCall {
    instrument: Arc<Instrument>,
    /// The context of the call: its span and its baggage.
    context: Context,
    protocol: Protocol,
    /// `None` if the call has no span of its own.
    info: Option<CallInfo>,
    recorded: bool,
    /// The method, if it is unknown whether the service has it.
    pending: Option<Box<Rpc>>,
    took_message: AtomicBool,
    response_metadata: KeptMetadata,
    exception_reported: AtomicBool,
}

impl TracingCall {
    pub(crate) fn new(
        instrument: Arc<Instrument>,
        context: Context,
        protocol: Protocol,
        info: Option<CallInfo>,
        recorded: bool,
        pending: Option<Box<Rpc>>,
    ) -> Self {
        let response_metadata = match recorded {
            true => KeptMetadata::new(&instrument.settings.response_metadata),
            false => KeptMetadata::default(),
        };
        Self {
            response_metadata,
            instrument,
            context,
            protocol,
            info,
            recorded,
            pending,
            took_message: AtomicBool::new(false),
            exception_reported: AtomicBool::new(false),
        }
    }

    /// Whether the call's span is current.
    fn is_current(&self) -> bool {
        let id = |context: &Context| context.span().span_context().span_id();
        let own = id(&self.context);
        own != SpanId::INVALID && Context::map_current(id) == own
    }

    /// Decides how a pending method is named. Even for a span that is not recorded, because the method is then
    /// known for later calls.
    fn final_naming(&self) -> Option<(&Rpc, Naming)> {
        let rpc = self.pending.as_deref()?;
        let took_message = self.took_message.load(Ordering::Relaxed);
        Some(match self.instrument.is_served(rpc, took_message) {
            true => (rpc, Naming::Known),
            false => (rpc, Naming::Other),
        })
    }

    /// Sets the attributes and the status of the end.
    fn record(&self, span: &SpanRef<'_>, end: &End<'_>, naming: Option<(&Rpc, Naming)>) {
        let settings = &self.instrument.settings;
        let conventions = settings.conventions;
        let mut method = Vec::new();
        if let Some((rpc, naming)) = naming {
            conventions.method(rpc, naming, &mut method);
            method.extend(conventions.original(rpc, naming));
            if naming == Naming::Other {
                span.update_name(conventions.name(rpc, naming, self.protocol));
            }
        }
        let code = end.code();
        let ended = conventions.ended(settings.side, self.protocol, code);
        if let End::Status { headers, .. } = end {
            self.response_metadata.keep(headers);
        }
        let mut metadata = Vec::new();
        self.response_metadata.show(|index, _, values| {
            metadata.extend(self.instrument.response_keys.attributes(self.protocol, index, values));
        });
        if method.is_empty() && metadata.is_empty() {
            // One attribute for most calls, which needs no memory here.
            ended.for_each(|attribute| span.set_attribute(attribute));
        } else {
            span.set_attributes(method.into_iter().chain(ended).chain(metadata));
        }
        if settings.side.counts_as_failure(code) {
            let message = end.message().unwrap_or_default();
            span.set_status(Status::error(sanitize(&*message).into_owned()));
        }
    }

    /// Reports a panic or an error, at most once, if a log or the span takes it.
    fn report_exception(&self, exception: impl FnOnce() -> Option<Exception>) {
        let settings = &self.instrument.settings;
        let on_span = self.recorded && settings.conventions.has_exceptions_on_spans();
        if !on_span && self.instrument.exceptions.is_none() {
            return;
        }
        let Some(exception) = exception() else { return };
        if self.exception_reported.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(log) = &self.instrument.exceptions {
            log(settings.side, &exception, &self.context);
        }
        if on_span {
            exception.add_to(&self.context.span());
        }
    }
}

impl Call for TracingCall {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        // A server's request body is polled by its handler, where the span is already current.
        let _attached = (!self.is_current()).then(|| self.context.clone().attach());
        poll()
    }

    fn responded(&self, _: StatusCode, headers: &mut HeaderMap) {
        if self.recorded {
            self.response_metadata.keep(headers);
        }
        let settings = &self.instrument.settings;
        if let Some(name) = &settings.trace_id
            && self.info.is_some()
            && !headers.contains_key(name)
        {
            let ids = trace_ids(self.context.span().span_context());
            let id = ids.and_then(|ids| HeaderValue::from_str(ids.trace_hex().as_str()).ok());
            headers.extend(id.map(|id| (name.clone(), id)));
        }
    }

    fn message(&self, flow: Flow, _: Message) {
        if self.pending.is_some() && flow == Flow::Request {
            self.took_message.store(true, Ordering::Relaxed);
        }
    }

    fn reports_in_scope(&self) -> bool {
        false
    }

    fn info(&self) -> Option<&CallInfo> {
        self.info.as_ref()
    }

    fn end(&self, end: End<'_>) {
        let span = self.context.span();
        self.report_exception(|| {
            Exception::of(self.instrument.settings.side, &end, self.info.as_ref())
        });
        let naming = self.final_naming();
        if self.recorded {
            self.record(&span, &end, naming);
        }
        // Otherwise the span is the parent's, which ends it.
        if self.info.is_some() {
            span.end_with_timestamp(time_of_day());
        }
    }
}

/// Reports a panic in a destructor, which comes after the end: only a log can still take it.
impl Drop for TracingCall {
    fn drop(&mut self) {
        self.report_exception(|| Exception::recovered(self.info.as_ref()?));
    }
}

impl fmt::Debug for TracingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingCall").field("context", &self.context).finish_non_exhaustive()
    }
}
