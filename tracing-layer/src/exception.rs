//! What went wrong in a call, for the operator alone.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger, LoggerProvider, Severity};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::trace::{SpanRef, TraceFlags};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use tonic_call::{CallInfo, Cause, End, Side, printable};

/// A panic, or an error in place of an answer.
#[derive(Debug)]
pub(crate) struct Exception {
    kind: Option<&'static str>,
    message: Option<String>,
    stack: Option<Arc<str>>,
}

const TYPE: &str = "exception.type";
const MESSAGE: &str = "exception.message";
const STACKTRACE: &str = "exception.stacktrace";

/// Writes an exception into OpenTelemetry's log.
pub(crate) type Teller = Arc<dyn Fn(Side, &Exception, &Context) + Send + Sync>;

impl Exception {
    /// What the call's ending, and a layer that recovered a panic in it, say of one.
    pub(crate) fn of(end: &End<'_>, info: Option<&CallInfo>) -> Option<Self> {
        if let Some(panic) = info.and_then(Self::recovered) {
            return Some(panic);
        }
        match end {
            End::Dropped { cause: Cause::Panicked, .. } => Some(Self::panic(None, None)),
            End::Error { error, .. } => {
                let message = printable(&error.to_string()).into_owned();
                Some(Self { kind: None, message: Some(message), stack: None })
            }
            _ => None,
        }
    }

    /// The panic that a layer inside recovered.
    pub(crate) fn recovered(info: &CallInfo) -> Option<Self> {
        Some(Self::panic(Some(&info.panic()?), info.panic_stack()))
    }

    fn panic(message: Option<&str>, stack: Option<Arc<str>>) -> Self {
        let message = message.map(|message| printable(message).into_owned());
        Self { kind: Some("panic"), message, stack }
    }

    /// As an event of the span, as it was before 1.40 of the conventions.
    pub(crate) fn add_to(&self, span: &SpanRef<'_>) {
        let attributes =
            self.attributes().map(|(key, value)| KeyValue::new(key, value.into_owned()));
        span.add_event("exception", attributes.collect());
    }

    fn attributes(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let texts = [
            (TYPE, self.kind.map(Cow::Borrowed)),
            (MESSAGE, self.message.as_deref().map(Cow::Borrowed)),
            (STACKTRACE, self.stack.as_deref().map(Cow::Borrowed)),
        ];
        texts.into_iter().filter_map(|(key, text)| Some((key, text?)))
    }
}

/// Writes exceptions as the events `rpc.server.call.exception` and `rpc.client.call.exception`
/// (OpenTelemetry's semantic conventions, "Exceptions in RPC").
pub(crate) fn teller<P>(provider: &P) -> Teller
where
    P: LoggerProvider,
    P::Logger: Send + Sync + 'static,
{
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build();
    let logger = provider.logger_with_scope(scope);
    Arc::new(move |side, exception, context| {
        let (name, severity) = match side {
            Side::Server => ("rpc.server.call.exception", Severity::Error),
            Side::Client => ("rpc.client.call.exception", Severity::Warn),
        };
        if !logger.event_enabled(severity, env!("CARGO_PKG_NAME"), Some(name)) {
            return;
        }
        let mut record = logger.create_log_record();
        let now = SystemTime::now();
        record.set_event_name(name);
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        let attributes = exception.attributes();
        record
            .add_attributes(attributes.map(|(key, text)| (key, AnyValue::from(text.into_owned()))));
        let span = context.span();
        let span = span.span_context();
        if span.is_valid() {
            let flags: TraceFlags = span.trace_flags();
            record.set_trace_context(span.trace_id(), span.span_id(), Some(flags));
        }
        logger.emit(record);
    })
}
