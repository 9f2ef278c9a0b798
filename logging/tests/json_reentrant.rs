//! Values may log, panic or fail while they are written. The subscriber is a global one: events within events reach it.

#![cfg(feature = "json")]
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use serde_json::Value;
use tonic_logging_layer::json;
use tracing::field::Empty;
use tracing::{info, info_span};

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Collects what its thread writes.
struct OfThread;

impl io::Write for OfThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `program` writes in this thread. Each must be an object.
fn lines(program: impl FnOnce()) -> Vec<Value> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| json::subscriber().with_writer(|| OfThread).init());
    program();
    let written = String::from_utf8(WRITTEN.take()).unwrap();
    written.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

/// Logs an event, in which there may be another, and then has a text.
struct Logs(u32);

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("before, ")?;
        match self.0 {
            0 => info!("innermost"),
            depth => info!(inner = ?Logs(depth - 1), "depth {depth}"),
        }
        f.write_str("after")
    }
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half of a val")?;
        panic!("in the middle of a value");
    }
}

struct Fails;

impl fmt::Debug for Fails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half of a \"val")?;
        Err(fmt::Error)
    }
}

#[test]
fn a_value_of_an_event_may_log() {
    let lines = lines(|| info!(a = 1, value = ?Logs(2), b = 2, "outer"));
    assert_eq!(messages(&lines), ["innermost", "depth 1", "depth 2", "outer"]);
    assert_eq!(lines[3]["value"], "before, after");
    assert_eq!((&lines[3]["a"], &lines[3]["b"]), (&1.into(), &2.into()));
}

#[test]
fn a_value_of_a_new_span_may_log() {
    let lines = lines(|| {
        let _outer = info_span!("outer", a = 1).entered();
        let _span = info_span!("span", value = ?Logs(1), b = 2).entered();
        info!("last");
    });
    assert_eq!(messages(&lines), ["innermost", "depth 1", "last"]);
    assert_eq!(lines[0]["spans"], serde_json::json!([{"a": 1, "name": "outer"}]));
    assert_eq!(lines[2]["span"]["value"], "before, after");
    assert_eq!(lines[2]["span"]["b"], 2);
}

/// The span is locked meanwhile: tracing-subscriber's formatter waits for itself there.
#[test]
fn a_value_that_a_span_records_may_log_in_that_span() {
    let lines = lines(|| {
        let span = info_span!("span", a = 1, value = Empty);
        let _entered = span.enter();
        span.record("value", tracing::field::debug(Logs(1)));
        info!("last");
    });
    assert_eq!(messages(&lines), ["innermost", "depth 1", "last"]);
    assert_eq!(lines[0]["span"], serde_json::json!({"name": "span"}));
    assert_eq!(
        lines[2]["span"],
        serde_json::json!({"a": 1, "value": "before, after", "name": "span"})
    );
}

#[test]
fn after_a_value_that_panics_the_next_line_is_whole() {
    let lines = lines(|| {
        let panicked = catch_unwind(|| info!(a = 1, value = ?Panics, "never"));
        assert!(panicked.is_err());
        info!("next");
        let span = info_span!("span", value = Empty);
        let record = AssertUnwindSafe(|| _ = span.record("value", tracing::field::debug(Panics)));
        assert!(catch_unwind(record).is_err());
        let _other = info_span!("other", a = 1).entered();
        info!("last");
    });
    assert_eq!(messages(&lines), ["next", "last"]);
    assert_eq!(lines[1]["span"]["a"], 1);
}

/// tracing-subscriber's formatter panics there.
#[test]
fn of_a_value_that_fails_the_beginning_is_written() {
    let lines = lines(|| {
        let _span = info_span!("span", value = ?Fails, b = 2).entered();
        info!(value = ?Fails, b = 2, "text");
    });
    for object in [&lines[0], &lines[0]["span"]] {
        assert_eq!(object["value"], "half of a \"val");
        assert_eq!(object["b"], 2);
    }
}
