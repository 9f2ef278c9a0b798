use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, response};
use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanRef, Status, TraceContextExt as _};
use tonic_call::{Call, CallInfo, End, Flow, KeptMetadata, Message, Rpc, sanitize};

use crate::conventions::{Naming, name};
use crate::exception::Exception;
use crate::observer::Tracing;
use crate::w3c::write_hex;

/// One call that has a span.
pub struct TracingCall {
    tracing: Tracing,
    /// What is current in the call: its span, and what came along with it.
    context: Context,
    /// Where others are told of the span; `None` if it is not one of the call's own.
    info: Option<CallInfo>,
    recorded: bool,
    /// The method, while it is not known whether it is served here.
    pending: Option<Rpc>,
    took_message: AtomicBool,
    response_metadata: KeptMetadata,
    told_exception: AtomicBool,
}

impl TracingCall {
    pub(crate) fn new(
        tracing: Tracing,
        context: Context,
        info: Option<CallInfo>,
        recorded: bool,
        pending: Option<Rpc>,
    ) -> Self {
        let response_metadata = KeptMetadata::new(&tracing.settings().response_metadata);
        let took_message = AtomicBool::new(false);
        let told_exception = AtomicBool::new(false);
        Self {
            tracing,
            context,
            info,
            recorded,
            pending,
            took_message,
            response_metadata,
            told_exception,
        }
    }

    /// Whether a context with the call's span is current.
    fn is_current(&self) -> bool {
        let id = |context: &Context| context.span().span_context().span_id();
        let own = id(&self.context);
        own != SpanId::INVALID && Context::map_current(id) == own
    }

    /// What the method turned out to be, if that was open; also if nobody records it, for the calls to come.
    fn turned_out(&self) -> Option<(&Rpc, Naming)> {
        let rpc = self.pending.as_ref()?;
        let took_message = self.took_message.load(Ordering::Relaxed);
        Some(match self.tracing.is_served(rpc, took_message) {
            true => (rpc, Naming::Known),
            false => (rpc, Naming::Other),
        })
    }

    /// What the span tells of the ending.
    fn record(&self, span: &SpanRef<'_>, end: &End<'_>, turned_out: Option<(&Rpc, Naming)>) {
        let settings = self.tracing.settings();
        let conventions = settings.conventions;
        let mut attributes = Vec::with_capacity(8);
        if let Some((rpc, naming)) = turned_out {
            conventions.method(rpc, naming, &mut attributes);
            conventions.original(rpc, naming, &mut attributes);
            if naming == Naming::Other {
                span.update_name(name(rpc, naming));
            }
        }
        let code = end.code();
        conventions.ended(settings.side, code, &mut attributes);
        if let End::Status { headers, .. } = end {
            self.response_metadata.keep(headers);
        }
        self.response_metadata.show(|place, _, values| {
            self.tracing.response_keys().show(place, values, &mut attributes);
        });
        span.set_attributes(attributes);
        if settings.side.counts_as_failure(code) {
            let message = end.message().unwrap_or_default();
            span.set_status(Status::error(sanitize(&*message).into_owned()));
        }
    }

    /// Tells of a panic or an error, where somebody wants to know: once.
    fn tell_exception(&self, exception: impl FnOnce() -> Option<Exception>) {
        let settings = self.tracing.settings();
        let on_span = self.recorded && settings.conventions.has_exceptions_on_spans();
        if !on_span && self.tracing.exceptions().is_none() {
            return;
        }
        let Some(exception) = exception() else { return };
        if self.told_exception.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(tell) = self.tracing.exceptions() {
            tell(settings.side, &exception, &self.context);
        }
        if on_span {
            exception.add_to(&self.context.span());
        }
    }
}

impl Call for TracingCall {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        // A server's request body is polled by its handler, which is in here already.
        let _attached = (!self.is_current()).then(|| self.context.clone().attach());
        poll()
    }

    fn responded(&self, head: &mut response::Parts) {
        if self.recorded {
            self.response_metadata.keep(&head.headers);
        }
        let settings = self.tracing.settings();
        if let Some(name) = &settings.trace_id
            && self.info.is_some()
            && !head.headers.contains_key(name)
        {
            let mut digits = [0; 32];
            let trace = self.context.span().span_context().trace_id();
            write_hex(&mut digits, &trace.to_bytes());
            if let Ok(digits) = HeaderValue::from_bytes(&digits) {
                head.headers.insert(name.clone(), digits);
            }
        }
    }

    fn message(&self, flow: Flow, _: Message) {
        if self.pending.is_some() && flow == Flow::Request {
            self.took_message.store(true, Ordering::Relaxed);
        }
    }

    fn end(&self, end: End<'_>) {
        let span = self.context.span();
        self.tell_exception(|| {
            Exception::of(self.tracing.settings().side, &end, self.info.as_ref())
        });
        let turned_out = self.turned_out();
        if self.recorded {
            self.record(&span, &end, turned_out);
        }
        // If it is none of its own, it is its parent's, and not ours to end.
        if self.info.is_some() {
            span.end();
        }
    }
}

/// A panic in a destructor comes after the end, and is told where there is more than spans.
impl Drop for TracingCall {
    fn drop(&mut self) {
        self.tell_exception(|| Exception::recovered(self.info.as_ref()?));
    }
}

impl fmt::Debug for TracingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingCall").field("context", &self.context).finish_non_exhaustive()
    }
}
