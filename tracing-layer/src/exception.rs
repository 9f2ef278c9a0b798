//! Panics and errors of a call. Only operators see them, not the caller.

use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger, LoggerProvider};
use opentelemetry::trace::{SpanRef, TraceContextExt as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use tonic_call::{CallInfo, Cause, End, Side, sanitize, sanitize_lines};

use crate::conventions::{self, exception};

/// A panic, or an error instead of a response.
#[derive(Debug)]
pub(crate) struct Exception {
    kind: Option<&'static str>,
    message: Option<String>,
    stack: Option<String>,
}

/// Makes the logger of an instrumentation scope.
pub(crate) type ExceptionLoggers =
    Arc<dyn Fn(InstrumentationScope) -> ExceptionLogger + Send + Sync>;

/// Writes an exception into OpenTelemetry's log.
pub(crate) type ExceptionLogger = Box<dyn Fn(Side, &Exception, &Context) + Send + Sync>;

impl Exception {
    /// The exception in the call's end, or that a recovery layer has reported.
    pub(crate) fn of(side: Side, end: &End<'_>, info: Option<&CallInfo>) -> Option<Self> {
        if let Some(panic) = info.and_then(Self::recovered) {
            return Some(panic);
        }
        match end {
            End::Dropped { cause: Cause::Panicked, .. } => Some(Self::panic(None, None)),
            // A service may refuse a call with an error: that is not its fault.
            End::Error { code, error, .. } if side.counts_as_failure(*code) => {
                let message = sanitize(&error.to_string()).into_owned();
                Some(Self { kind: None, message: Some(message), stack: None })
            }
            _ => None,
        }
    }

    /// The panic that a layer inside has recovered.
    pub(crate) fn recovered(info: &CallInfo) -> Option<Self> {
        Some(Self::panic(Some(&info.panic()?), info.panic_stack().as_deref()))
    }

    fn panic(message: Option<&str>, stack: Option<&(dyn Display + Send + Sync)>) -> Self {
        let message = message.map(|message| sanitize(message).into_owned());
        Self { kind: Some("panic"), message, stack: stack.map(sanitize_lines) }
    }

    /// Adds it to a span, as an event.
    pub(crate) fn add_to(&self, span: &SpanRef<'_>) {
        let attributes = self.attributes().map(|(key, text)| KeyValue::new(key, text.to_owned()));
        span.add_event(exception::EVENT, attributes.collect());
    }

    fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let texts = [
            (exception::TYPE, self.kind),
            (exception::MESSAGE, self.message.as_deref()),
            (exception::STACKTRACE, self.stack.as_deref()),
        ];
        texts.into_iter().filter_map(|(key, text)| Some((key, text?)))
    }
}

/// Writes exceptions with the loggers of this provider.
pub(crate) fn exception_loggers<P>(provider: &P) -> ExceptionLoggers
where
    P: LoggerProvider + Clone + Send + Sync + 'static,
    P::Logger: Send + Sync + 'static,
{
    let provider = provider.clone();
    Arc::new(move |scope| {
        let logger = provider.logger_with_scope(scope);
        Box::new(move |side, exception, context| log(&logger, side, exception, context))
    })
}

fn log(logger: &impl Logger, side: Side, exception: &Exception, context: &Context) {
    let (name, severity) = conventions::exception_of(side);
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
    record.add_attributes(attributes.map(|(key, text)| (key, AnyValue::from(text.to_owned()))));
    let span = context.span();
    let span = span.span_context();
    if span.is_valid() {
        record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
    }
    logger.emit(record);
}

#[cfg(test)]
mod tests {
    use tonic_call::{MAX_LINES_BYTES, MAX_TEXT_BYTES};

    use super::*;

    #[test]
    fn the_message_and_the_stack_of_a_recovered_panic_are_bounded() {
        let info = CallInfo::new(Side::Server);
        let stack = "   0: orders::deep\n\u{1b}".repeat(10_000);
        info.set_panic_with_stack("\n\u{1b}".repeat(50_000), Arc::new(stack));
        let exception = Exception::recovered(&info).expect("a panic");
        let message = exception.message.expect("a text");
        assert!(message.len() <= MAX_TEXT_BYTES && message.starts_with(r"\n\u{1b}"), "{message}");
        let stack = exception.stack.expect("a stack");
        assert!(stack.len() <= MAX_LINES_BYTES, "{} bytes", stack.len());
        assert!(
            stack.starts_with("   0: orders::deep\n\\u{1b}") && stack.ends_with('…'),
            "{stack}"
        );
    }
}
