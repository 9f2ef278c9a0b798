//! Prints responses to standard output, and everything else to standard error.

use std::io::{ErrorKind, Write};

use prost::{Message, Name};
use tonic::metadata::{Ascii, MetadataValue};
use tonic_tracing_layer::current_trace_id;

use super::error::CallError;
use crate::json;
use crate::page::NEXT_PAGE_TOKEN;

/// Prints a message as one line, and flushes it.
pub(super) fn print<T: Message + Name>(message: &T) -> Result<(), CallError> {
    let line = json::write(message).map_err(CallError::Output)?;
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => CallError::OutputClosed,
        _ => CallError::Output(format!("cannot write to standard output: {error}")),
    })
}

/// Prints the token of the next page, if there is one.
pub(super) fn print_next_page_token(token: Option<&MetadataValue<Ascii>>) {
    let token = token.and_then(|token| token.to_str().ok());
    print_to_stderr(token.map(|token| format!("{NEXT_PAGE_TOKEN}: {token}")));
}

/// Prints the trace id of the current call, if it has a span.
pub(super) fn print_trace_id() {
    print_to_stderr(current_trace_id().map(|id| format!("trace-id: {id}")));
}

/// Prints lines that are not a response.
pub(super) fn print_to_stderr(lines: impl IntoIterator<Item = String>) {
    let mut err = std::io::stderr().lock();
    for line in lines {
        _ = writeln!(err, "{line}");
    }
}

/// Returns when the reader of standard output is gone: `watch-order | head -1` must not wait for a second event.
pub(super) async fn closed() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        if wait_for_closed_output() {
            _ = sender.send(());
        }
    });
    if receiver.await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
fn wait_for_closed_output() -> bool {
    use rustix::event::{PollFd, PollFlags, poll};

    let out = std::io::stdout();
    // No events are requested: errors and hang-ups are always reported.
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    loop {
        match poll(&mut watched, None) {
            Ok(_) => return watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(not(unix))]
fn wait_for_closed_output() -> bool {
    false
}
