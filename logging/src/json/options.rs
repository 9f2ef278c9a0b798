//! The options of the formatter.

use super::time::UtcMicros;

/// Formats each event as a line of JSON, as `tracing_subscriber::fmt().json().flatten_event(true)` does.
///
/// It needs [`JsonFields`](super::JsonFields) as the formatter of fields: [`subscriber`](super::subscriber) and
/// [`layer`](super::layer) set both. The options are set here, not on the subscriber's builder:
///
/// ```
/// let subscriber = tonic_logging_layer::json::subscriber()
///     .map_event_format(|json| json.with_file(true).with_line_number(true))
///     .finish();
/// ```
#[derive(Clone, Debug)]
pub struct JsonEvents<T = UtcMicros> {
    pub(super) timer: T,
    pub(super) timestamp: bool,
    /// Whether the timer is the one that was there at the beginning, whose text needs no check.
    pub(super) is_default_timer: bool,
    pub(super) level: bool,
    pub(super) target: bool,
    pub(super) file: bool,
    pub(super) line_number: bool,
    pub(super) current_span: bool,
    pub(super) span_list: bool,
    pub(super) thread_name: bool,
    pub(super) thread_id: bool,
}

impl Default for JsonEvents {
    fn default() -> Self {
        Self {
            timer: UtcMicros,
            timestamp: true,
            is_default_timer: true,
            level: true,
            target: true,
            file: false,
            line_number: false,
            current_span: true,
            span_list: true,
            thread_name: false,
            thread_id: false,
        }
    }
}

impl JsonEvents {
    /// Creates the formatter with the defaults of tracing-subscriber: timestamp, level, target and spans are written;
    /// file, line number and thread are not.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T> JsonEvents<T> {
    /// Sets the source of the key `timestamp`. Default: [`UtcMicros`].
    pub fn with_timer<U>(self, timer: U) -> JsonEvents<U> {
        JsonEvents {
            timer,
            timestamp: self.timestamp,
            is_default_timer: false,
            level: self.level,
            target: self.target,
            file: self.file,
            line_number: self.line_number,
            current_span: self.current_span,
            span_list: self.span_list,
            thread_name: self.thread_name,
            thread_id: self.thread_id,
        }
    }

    /// Leaves out the key `timestamp`.
    pub fn without_time(self) -> JsonEvents<()> {
        JsonEvents { timestamp: false, ..self.with_timer(()) }
    }

    /// Whether to write the key `level`. Default: `true`.
    pub fn with_level(self, level: bool) -> Self {
        Self { level, ..self }
    }

    /// Whether to write the key `target`. Default: `true`.
    pub fn with_target(self, target: bool) -> Self {
        Self { target, ..self }
    }

    /// Whether to write the key `filename`, the source file of the event. Default: `false`.
    pub fn with_file(self, file: bool) -> Self {
        Self { file, ..self }
    }

    /// Whether to write the key `line_number`, the line in the source file. Default: `false`.
    pub fn with_line_number(self, line_number: bool) -> Self {
        Self { line_number, ..self }
    }

    /// Whether to write the key `span`, the event's parent or the current span, with its fields. Default: `true`.
    pub fn with_current_span(self, current_span: bool) -> Self {
        Self { current_span, ..self }
    }

    /// Whether to write the key `spans`, the current span and those around it, outermost first. Default: `true`.
    pub fn with_span_list(self, span_list: bool) -> Self {
        Self { span_list, ..self }
    }

    /// Whether to write the key `threadName`. Default: `false`.
    pub fn with_thread_names(self, thread_name: bool) -> Self {
        Self { thread_name, ..self }
    }

    /// Whether to write the key `threadId`. Default: `false`.
    pub fn with_thread_ids(self, thread_id: bool) -> Self {
        Self { thread_id, ..self }
    }
}
