//! The lines of events.

use std::fmt;
use std::thread;

use tracing_core::field::{Field, Visit};
use tracing_core::{Event, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

use super::buffer::with_line;
use super::fields::JsonFields;
use super::object::{Object, Quoted};
use super::options::JsonEvents;
use super::spans;
use super::text::{self, Escaped};
use crate::current;

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
            writer.write_str(line)
        })
    }
}

impl<T: FormatTime> JsonEvents<T> {
    fn render<S>(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        event: &Event<'_>,
        line: &mut String,
    ) -> fmt::Result
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let of_log = event.normalized_metadata();
        let metadata = of_log.as_ref().unwrap_or_else(|| event.metadata());

        let mut object = Object::open(line);
        if self.timestamp {
            let line = object.value(Quoted(",\"timestamp\":\""));
            line.push('"');
            self.timer.format_time(&mut Writer::new(&mut Escaped(line)))?;
            line.push('"');
        }
        if self.level {
            object.plain(Quoted(",\"level\":\""), metadata.level().as_str());
        }
        event.record(&mut EventFields(&mut object));
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
        line.push('\n');
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

impl Visit for EventFields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.string(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.unsigned(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.signed(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.float(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.boolean(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        text::debug(self.0.value(field.name()), value);
    }
}
