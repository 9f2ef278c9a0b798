//! The lines of events.

use std::fmt;
use std::thread;
use std::time::SystemTime;

use tracing_core::field::{Field, Visit};
use tracing_core::{Event, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use super::buffer::{LineBuffer, with_line};
use super::fields::JsonFields;
use super::object::{Object, Quoted, QuotedKey};
use super::options::JsonEvents;
use super::text::{self, Escaped};
use super::{spans, time};
use crate::current;
use crate::emitting::quoted_keys;

impl<S, T> FormatEvent<S, JsonFields> for JsonEvents<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        with_line(|line| {
            self.render(context, event, line)?;
            // In one piece: the subscriber's own buffer then never holds half a line.
            writer.write_str(line.text_from(0))
        })
    }
}

impl<T: FormatTime> JsonEvents<T> {
    fn render<S>(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        event: &Event<'_>,
        line: &mut LineBuffer,
    ) -> fmt::Result
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let of_log = event.normalized_metadata();
        let metadata = of_log.as_ref().unwrap_or_else(|| event.metadata());

        let mut object = Object::open(line);
        if self.timestamp {
            let line = object.value(Quoted(",\"timestamp\":\""));
            line.push(b'"');
            if self.is_default_timer {
                time::timestamp(line, SystemTime::now());
            } else {
                self.timer.format_time(&mut Writer::new(&mut Escaped(line)))?;
            }
            line.push(b'"');
        }
        if self.level {
            object.plain(Quoted(",\"level\":\""), metadata.level().as_str());
        }
        match quoted_keys(event.metadata()) {
            Some(keys) => event.record(&mut KnownFields { object: &mut object, keys }),
            None => event.record(&mut EventFields(&mut object)),
        }
        if self.target {
            object.string(Quoted(",\"target\":\""), metadata.target());
        }
        if let Some(file) = metadata.file().filter(|_| self.file) {
            object.string(Quoted(",\"filename\":\""), file);
        }
        if let Some(number) = metadata.line().filter(|_| self.line_number) {
            object.unsigned(Quoted(",\"line_number\":\""), number.into());
        }
        if self.current_span || self.span_list {
            self.render_spans(context, event, &mut object);
        }
        if !event.is_root() {
            current::append(&mut object);
        }
        self.render_thread(&mut object);
        object.close();
        line.push(b'\n');
        Ok(())
    }

    fn render_spans<S>(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        event: &Event<'_>,
        object: &mut Object<'_>,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let parent = event.parent().and_then(|id| context.span(id));
        let current = context.lookup_current();
        // A root event, too, gets the current span: so does the formatter that this one replaces.
        let Some(span) = parent.as_ref().or(current.as_ref()) else { return };
        if self.current_span {
            spans::object(object.value(Quoted(",\"span\":\"")), span);
        }
        if self.span_list {
            spans::list(object.value(Quoted(",\"spans\":\"")), current.as_ref());
        }
    }

    fn render_thread(&self, object: &mut Object<'_>) {
        if !self.thread_name && !self.thread_id {
            return;
        }
        let thread = thread::current();
        if self.thread_name {
            match thread.name() {
                Some(name) => object.string(Quoted(",\"threadName\":\""), name),
                None if !self.thread_id => {
                    text::debug(object.value(Quoted(",\"threadName\":\"")), &thread.id());
                }
                None => {}
            }
        }
        if self.thread_id {
            text::debug(object.value(Quoted(",\"threadId\":\"")), &thread.id());
        }
    }
}

/// Writes the fields of an event at the top level.
struct EventFields<'o, 'l>(&'o mut Object<'l>);

/// The same, of an event whose keys are escaped already: by the indexes of its fields.
struct KnownFields<'o, 'l, 'k> {
    object: &'o mut Object<'l>,
    keys: &'k [QuotedKey],
}

macro_rules! record_at_top_level {
    (|$self:ident, $field:ident| ($object:expr, $key:expr)) => {
        fn record_str(&mut $self, $field: &Field, value: &str) {
            $object.string($key, value);
        }

        fn record_u64(&mut $self, $field: &Field, value: u64) {
            $object.unsigned($key, value);
        }

        fn record_i64(&mut $self, $field: &Field, value: i64) {
            $object.signed($key, value);
        }

        fn record_f64(&mut $self, $field: &Field, value: f64) {
            $object.float($key, value);
        }

        fn record_bool(&mut $self, $field: &Field, value: bool) {
            $object.boolean($key, value);
        }

        fn record_debug(&mut $self, $field: &Field, value: &dyn fmt::Debug) {
            text::debug($object.value($key), value);
        }
    };
}

impl Visit for EventFields<'_, '_> {
    record_at_top_level!(|self, field| (self.0, field.name()));
}

impl Visit for KnownFields<'_, '_, '_> {
    record_at_top_level!(|self, field| (self.object, &self.keys[field.index()]));
}
