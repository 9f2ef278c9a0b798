//! What panic recovery needs beside its layers: the location of each panic, and a guard around handlers' streams.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Duration;

use tonic::Status;
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::Stream;
use tonic_call::{sanitize, sanitize_lines};
use tonic_recovery_layer::{RecoverStream, capture_panics_quietly};

use crate::logs::writer;

/// How long a panic waits until its log line is written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// Installs the panic hook; must be called once, when the process starts. Events of recovered panics then have a
/// location. Any other panic is written to standard error as a line of bounded length, formatted by `line`.
pub fn capture(line: fn(&str) -> String) {
    panic::set_hook(Box::new(move |info| {
        // If standard error is closed, the panic cannot be reported.
        _ = writer::stderr().write_all(line(&report(info)).as_bytes());
        // A panic during unwinding aborts the process next.
        writer::flush(FLUSH_TIMEOUT);
    }));
    capture_panics_quietly();
}

/// As the standard library's message, but with the panic's text on the same line, and bounded.
fn report(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let location = info.location().map(|location| format!(" at {location}")).unwrap_or_default();
    let line =
        format!("thread '{name}' panicked{location}: {}\n", sanitize(text_of(info.payload())));
    // Captured only if `RUST_BACKTRACE` enables it.
    let stack = Backtrace::capture();
    match stack.status() {
        BacktraceStatus::Captured => line + &sanitize_lines(&stack) + "\n",
        _ => line,
    }
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&'static str>().copied();
    let text = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a payload that is not text")
}

/// Guards a handler's stream: if it panics, the messages before the panic still arrive, followed by a status.
pub fn stream<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> BoxStream<T> {
    Box::pin(RecoverStream::new(stream))
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What the hook writes about a panic with that text.
    fn report_of(text: &str) -> String {
        let seen = Arc::new(Mutex::new(String::new()));
        let hook = Arc::clone(&seen);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            *hook.lock().expect("no panic in here") = report(info);
        }));
        _ = catch_unwind(|| panic!("{text}"));
        panic::set_hook(before);
        let seen = seen.lock().expect("no panic in here");
        seen.clone()
    }

    #[test]
    fn a_panic_outside_calls_is_one_bounded_line_and_a_bounded_stack() {
        let report = report_of(&"\n\u{1b}[31m".repeat(20_000));
        let (line, stack) = report.split_once('\n').expect("a line");
        assert!(line.starts_with("thread '") && line.contains("panics.rs:"), "{line}");
        assert!(line.ends_with('…') && line.contains(r"\n\u{1b}[31m"), "{line}");
        assert!(line.len() < 2_048 && stack.len() < 16 * 1_024, "{} {}", line.len(), stack.len());
    }
}
