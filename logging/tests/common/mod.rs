//! Shared test code: a subscriber that records all events, and scripted calls.
#![allow(dead_code, clippy::unwrap_used)]

use std::cell::RefCell;
use std::fmt::Debug;
use std::io;
use std::sync::Once;
use std::time::Duration;

use http::Request;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tonic_call::Side;
use tonic_call_test_kit::Script;
#[allow(unused_imports)] // Each of these tests needs some of it.
pub(crate) use tonic_call_test_kit::{
    Answer, SIDES, answers, drain, frame, methods, poll_once, run, stream, to, to_kind,
    trailers_only, with,
};
use tonic_logging_layer::LoggingLayer;
use tower::Layer;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context as Subscribed, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// The target of all lines.
pub(crate) const TARGET: &str = "tonic_logging_layer";

/// The target of the span around handlers.
pub(crate) const HANDLER: &str = "tonic_logging_layer::handler";

/// A long timeout: a test that waits for something that never happens fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

// Recorded events.

/// One event, as the subscriber receives it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) is_root: bool,
    /// The parent spans of the event, outermost first; empty for a root event.
    pub(crate) spans: Vec<SeenSpan>,
    /// The target of the span that is current when the event is emitted.
    pub(crate) emitted_in: Option<String>,
    pub(crate) fields: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct SeenSpan {
    pub(crate) name: &'static str,
    pub(crate) target: String,
    pub(crate) level: Level,
    pub(crate) fields: Map<String, Value>,
}

impl Seen {
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(|value| value.as_str().expect("a text"))
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.fields.get(key).map(|value| value.as_u64().expect("a whole number"))
    }

    pub(crate) fn message(&self) -> &str {
        self.text("message").unwrap_or_default()
    }

    pub(crate) fn code(&self) -> &str {
        self.text("rpc.response.status_code").unwrap()
    }

    pub(crate) fn ended_by(&self) -> &str {
        self.text("grpc.ended_by").unwrap()
    }

    pub(crate) fn side(&self) -> &str {
        self.text("grpc.component").unwrap()
    }

    pub(crate) fn duration_ms(&self) -> f64 {
        self.fields["duration_ms"].as_f64().unwrap()
    }

    /// The number of request messages and of response messages.
    pub(crate) fn messages(&self) -> (u64, u64) {
        (
            self.number("grpc.request.messages").unwrap(),
            self.number("grpc.response.messages").unwrap(),
        )
    }

    /// The status code, and what ended the call.
    pub(crate) fn ending(&self) -> (&str, &str) {
        (self.code(), self.ended_by())
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<_> = self.fields.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }
}

thread_local! {
    // A test and all tasks of its runtime run on one thread, which no other test uses at the same time.
    static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
    static WRITTEN: RefCell<[Vec<u8>; FORMATS]> = const { RefCell::new([const { Vec::new() }; FORMATS]) };
    static COUNT: watch::Sender<usize> = watch::Sender::new(0);
}

/// Access to the events that were recorded on this thread.
pub(crate) struct Lines(());

impl Lines {
    /// Starts to record. The subscriber is global, because `tracing` caches interest in events for
    /// all threads.
    pub(crate) fn listen() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let subscriber = tracing_subscriber::registry()
                .with(Capture)
                .with(format().json().flatten_event(true).with_writer(Format(0)))
                .with(format().with_writer(Format(1)))
                .with(format().compact().with_writer(Format(2)))
                .with(format().json().with_writer(Format(3)));
            tracing::subscriber::set_global_default(subscriber).expect("the first");
        });
        Self::of_this_thread()
    }

    /// Starts to record in a test that installed its own subscriber with [`Capture`].
    pub(crate) fn of_this_thread() -> Self {
        let lines = Self(());
        lines.take();
        lines
    }

    /// Removes and returns the recorded events.
    pub(crate) fn take(&self) -> Vec<Seen> {
        WRITTEN.with_borrow_mut(|written| written.iter_mut().for_each(Vec::clear));
        COUNT.with(|count| count.send_replace(0));
        SEEN.take()
    }

    /// All recorded events of the layer.
    pub(crate) fn all(&self) -> Vec<Seen> {
        SEEN.with_borrow(|seen| seen.iter().filter(|seen| seen.target == TARGET).cloned().collect())
    }

    /// All recorded events, including those of handlers.
    pub(crate) fn events(&self) -> Vec<Seen> {
        SEEN.with_borrow(Clone::clone)
    }

    /// The lines of finished calls.
    pub(crate) fn finished(&self) -> Vec<Seen> {
        self.all().into_iter().filter(|seen| seen.message() == "finished call").collect()
    }

    /// The only event of the layer, which must be the line of a finished call.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let all = self.all();
        let [line] = &all[..] else { panic!("one line, not {all:#?}") };
        assert_eq!(line.message(), "finished call");
        line.clone()
    }

    #[track_caller]
    pub(crate) fn none(&self) {
        let all = self.all();
        assert!(all.is_empty(), "{all:#?}");
    }

    /// Removes all events, and returns the only line.
    #[track_caller]
    pub(crate) fn take_only(&self) -> Seen {
        let line = self.only();
        self.take();
        line
    }

    /// Waits until there are this many lines of finished calls.
    pub(crate) async fn until_finished(&self, count: usize) -> Vec<Seen> {
        let mut events = COUNT.with(watch::Sender::subscribe);
        loop {
            let finished = self.finished();
            if finished.len() >= count {
                return finished;
            }
            let event = tokio::time::timeout(PATIENCE, events.changed()).await;
            event.expect("waited in vain").unwrap();
        }
    }

    /// The output of one formatter.
    pub(crate) fn written(&self, format: usize) -> Vec<u8> {
        WRITTEN.with_borrow(|written| written[format].clone())
    }

    /// The lines of the JSON output. Each is parsed strictly: a duplicate key is an error.
    pub(crate) fn json(&self) -> Vec<Map<String, Value>> {
        let text = String::from_utf8(self.written(0)).expect("UTF-8");
        text.lines()
            .map(|line| {
                let parsed: Map<String, Value> = serde_json::from_str(line).expect(line);
                assert_eq!(top_level_keys(line), parsed.len(), "a key stands twice: {line}");
                parsed
            })
            .collect()
    }
}

/// The number of keys at the object's top level, including duplicates.
fn top_level_keys(line: &str) -> usize {
    let (mut depth, mut in_text, mut escaped, mut keys) = (0, false, false, 0);
    for char in line.chars() {
        match char {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ':' if depth == 1 => keys += 1,
            _ => {}
        }
    }
    keys
}

/// The number of output formats: JSON with flattened fields, full, compact, JSON with nested fields.
pub(crate) const FORMATS: usize = 4;

fn format<S>() -> tracing_subscriber::fmt::Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    tracing_subscriber::fmt::layer().with_ansi(false)
}

#[derive(Clone, Copy)]
pub(crate) struct Format(pub(crate) usize);

impl io::Write for Format {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written[self.0].extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Format {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

/// Records every event on the thread that emits it.
pub(crate) struct Capture;

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        let twice = self.0.insert(field.name().to_owned(), value.into());
        assert!(twice.is_none(), "{field} stands twice");
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }
}

impl<S> tracing_subscriber::Layer<S> for Capture
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Subscribed<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = SeenSpan {
            name: attributes.metadata().name(),
            target: attributes.metadata().target().to_owned(),
            level: *attributes.metadata().level(),
            fields: fields.0,
        };
        context.span(id).unwrap().extensions_mut().insert(span);
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Subscribed<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = context.event_scope(event).into_iter().flat_map(Scope::from_root);
        let seen = Seen {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            is_root: event.is_root(),
            spans: spans.filter_map(|span| span.extensions().get::<SeenSpan>().cloned()).collect(),
            emitted_in: context.lookup_current().map(|span| span.metadata().target().to_owned()),
            fields: fields.0,
        };
        SEEN.with_borrow_mut(|all| all.push(seen));
        COUNT.with(|count| count.send_modify(|count| *count += 1));
    }
}

// Layers and calls.

pub(crate) fn layer(side: Side) -> LoggingLayer {
    match side {
        Side::Server => LoggingLayer::server(),
        Side::Client => LoggingLayer::client(),
    }
}

/// A layer with the methods of the descriptor set.
pub(crate) fn described(side: Side) -> LoggingLayer {
    layer(side).methods(&methods())
}

pub(crate) fn name_of(side: Side) -> &'static str {
    match side {
        Side::Server => "server",
        Side::Client => "client",
    }
}

/// Makes one call through a layer to a service that returns this answer, and reads the response to its end.
pub(crate) async fn call<F>(layer: &LoggingLayer, request: Request<Script>, answer: F)
where
    F: Fn() -> Answer + Clone + Send + 'static,
{
    run(layer.layer(answers(answer)), request).await;
}
