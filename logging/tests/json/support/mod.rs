//! Runs a program with tracing-subscriber's JSON formatter and with ours.

#![allow(dead_code)]

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use tonic_logging_layer::json::{self, JsonEvents, JsonFields};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::{self, Format, Json, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

/// Where a subscriber writes.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A time that stands still, with a character that needs an escape.
#[derive(Clone, Copy)]
pub(crate) struct FixedTime;

impl FormatTime for FixedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str("a \"fixed\" ")?;
        writer.write_char('t')?;
        writer.write_str("ime")
    }
}

pub(crate) type Reference<T = FixedTime> = SubscriberBuilder<format::JsonFields, Format<Json, T>>;
pub(crate) type Ours<T = FixedTime> = SubscriberBuilder<JsonFields, JsonEvents<T>>;

pub(crate) fn reference() -> Reference {
    tracing_subscriber::fmt().json().flatten_event(true).with_timer(FixedTime)
}

pub(crate) fn ours() -> Ours {
    json::subscriber().map_event_format(|json| json.with_timer(FixedTime))
}

/// What `program` writes with each subscriber.
pub(crate) fn lines_of(
    reference: impl FnOnce(Sink) -> Box<dyn Subscriber + Send + Sync>,
    ours: impl FnOnce(Sink) -> Box<dyn Subscriber + Send + Sync>,
    program: impl Fn(),
) -> [String; 2] {
    let [expected, actual] = [Sink::default(), Sink::default()];
    tracing::subscriber::with_default(reference(expected.clone()), &program);
    tracing::subscriber::with_default(ours(actual.clone()), &program);
    [expected.take(), actual.take()]
}

/// Asserts that both write the same lines, byte for byte, and at least one. Returns them.
#[track_caller]
pub(crate) fn assert_equal_with<T, U>(
    reference: Reference<T>,
    ours: Ours<U>,
    program: impl Fn(),
) -> String
where
    T: FormatTime + Send + Sync + 'static,
    U: FormatTime + Send + Sync + 'static,
{
    let [expected, actual] = lines_of(
        |sink| Box::new(reference.with_max_level(LevelFilter::TRACE).with_writer(sink).finish()),
        |sink| Box::new(ours.with_max_level(LevelFilter::TRACE).with_writer(sink).finish()),
        program,
    );
    assert_eq!(actual, expected);
    assert!(actual.ends_with("}\n"), "no line: {actual:?}");
    actual
}

/// [`assert_equal_with`] the default settings.
#[track_caller]
pub(crate) fn assert_equal(program: impl Fn()) -> String {
    assert_equal_with(reference(), ours(), program)
}
