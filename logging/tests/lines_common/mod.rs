//! Shared test code: the events and the layer's own lines of this thread, as text.
#![allow(dead_code, clippy::unwrap_used)]

use std::cell::RefCell;
use std::io;
use std::sync::Once;
use std::sync::{Arc, Mutex};

use tonic_call::Side;
use tonic_call_test_kit::methods;
use tonic_logging_layer::{Lines, LoggingLayer, json};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    // A test and all tasks of its runtime run on one thread, which no other test uses at the same time.
    static WRITES: RefCell<[Vec<String>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Where events are written by the formatter of `json`.
pub(crate) const EVENTS: OfThisThread = OfThisThread(0);

/// A writer for lines of the layer's own.
pub(crate) const LINES: OfThisThread = OfThisThread(1);

/// Keeps each write of this thread.
#[derive(Clone, Copy)]
pub(crate) struct OfThisThread(usize);

impl OfThisThread {
    /// Removes and returns what was written: one text for each write.
    pub(crate) fn take(self) -> Vec<String> {
        WRITES.with_borrow_mut(|writes| std::mem::take(&mut writes[self.0]))
    }
}

impl io::Write for OfThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        WRITES.with_borrow_mut(|writes| writes[self.0].push(text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for OfThisThread {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

/// Installs the formatter of `json` for all threads, since `tracing` caches interest for all of them. Removes what this
/// thread has written so far.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        json::subscriber().with_max_level(LevelFilter::TRACE).with_writer(EVENTS).init();
    });
    EVENTS.take();
    LINES.take();
}

/// A line without its timestamp, which has to be its first member.
#[track_caller]
pub(crate) fn without_timestamp(line: &str) -> &str {
    let rest = line.strip_prefix(r#"{"timestamp":""#).expect(line);
    let (timestamp, rest) = rest.split_once("\",").expect(line);
    assert_eq!((timestamp.len(), timestamp.find('T')), (27, Some(10)), "{timestamp}");
    assert!(rest.ends_with("}\n"), "{line}");
    assert_eq!(rest.matches('\n').count(), 1, "{line}");
    rest
}

/// Takes the events and the own lines, which have to be the same.
#[track_caller]
pub(crate) fn take_equal() -> Vec<String> {
    let (events, lines) = (EVENTS.take(), LINES.take());
    let texts = |all: &[String]| -> Vec<String> {
        all.iter().map(|line| without_timestamp(line).to_owned()).collect()
    };
    assert_eq!(texts(&lines), texts(&events));
    for line in &lines {
        let parsed: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(parsed.is_object());
    }
    lines
}

/// A layer that writes each line to both outputs.
pub(crate) fn both(side: Side) -> LoggingLayer {
    let layer = match side {
        Side::Server => LoggingLayer::server(),
        Side::Client => LoggingLayer::client(),
    };
    layer.methods(&methods()).lines(Lines::new(LINES).min_level(Level::TRACE)).events(true)
}

#[track_caller]
pub(crate) fn take_only() -> serde_json::Value {
    let lines = take_equal();
    let [line] = &lines[..] else { panic!("one line, not {lines:#?}") };
    serde_json::from_str(line).unwrap()
}

/// Keeps each write, of whatever thread.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<String>>>);

impl Shared {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("not poisoned"))
    }
}

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        self.0.lock().expect("not poisoned").push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Shared {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
