//! The log lines of the servers and of the client, kept in the order of their arrival.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::timeout;

/// Much longer than a line takes that comes at all.
const LIMIT: Duration = Duration::from_secs(10);

/// All lines. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<watch::Sender<Vec<Entry>>>);

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The program that wrote it.
    pub(super) source: String,
    pub(super) fields: Map<String, Value>,
}

impl Entry {
    /// A field that is a text; empty if there is none.
    pub(super) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is the line of a call that has ended.
    pub(super) fn is_of_call(&self) -> bool {
        !self.text("rpc.response.status_code").is_empty()
    }
}

impl Log {
    /// A writer of the client's lines.
    pub(crate) fn client(&self) -> Lines {
        Lines { log: self.clone(), source: "client" }
    }

    /// Adds a line of JSON. A line that is not JSON is a message.
    pub(super) fn add(&self, source: &str, line: &str) {
        let fields = serde_json::from_str(line)
            .unwrap_or_else(|_| Map::from_iter([("message".to_owned(), line.trim().into())]));
        self.0.send_modify(|lines| lines.push(Entry { source: source.to_owned(), fields }));
    }

    /// The messages of this program, one per line.
    pub(super) fn messages(&self, source: &str) -> String {
        let lines = self.0.borrow();
        let lines = lines.iter().filter(|entry| entry.source == source);
        lines.map(|entry| entry.text("message")).collect::<Vec<_>>().join("\n")
    }

    /// Waits until there are as many lines of calls of this trace by this program, and returns all lines of the trace.
    ///
    /// After the limit it returns those that there are, unless there are none.
    pub(super) async fn calls(
        &self,
        trace_id: &str,
        source: &str,
        number: usize,
    ) -> Result<Vec<Entry>, String> {
        let mut lines = self.0.subscribe();
        let has_all = |lines: &Vec<Entry>| {
            let of_calls = of_trace(lines, trace_id).filter(|entry| entry.is_of_call());
            of_calls.filter(|entry| entry.source == source).count() >= number
        };
        // The sender lives as long as `self`.
        _ = timeout(LIMIT, lines.wait_for(has_all)).await;
        let found: Vec<_> = of_trace(&lines.borrow(), trace_id).cloned().collect();
        if found.iter().any(|entry| entry.source == source) {
            Ok(found)
        } else {
            Err(format!("the {source} has no log line of the call after {LIMIT:?}"))
        }
    }
}

fn of_trace<'a>(lines: &'a [Entry], trace_id: &str) -> impl Iterator<Item = &'a Entry> {
    lines.iter().filter(move |entry| entry.text("trace_id") == trace_id)
}

/// Adds what is written, one line in each write.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    log: Log,
    source: &'static str,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.log.add(self.source, &String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
