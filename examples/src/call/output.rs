//! What goes to standard output.

use std::io::{ErrorKind, Write};

use prost::{Message, Name};
use tonic::metadata::{Ascii, MetadataValue};
use tonic_tracing_layer::current_trace_id;

use super::Failure;
use crate::json;
use crate::page::NEXT_PAGE_TOKEN;

/// One message, one line, at once.
pub(super) fn print<T: Message + Name>(message: &T) -> Result<(), Failure> {
    let line = json::write(message).map_err(Failure::Output)?;
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Output(format!("cannot write to standard output: {error}")),
    })
}

/// Where the next page begins.
pub(super) fn next_page(token: Option<&MetadataValue<Ascii>>) {
    let token = token.and_then(|token| token.to_str().ok());
    not_an_answer(token.map(|token| format!("{NEXT_PAGE_TOKEN}: {token}")));
}

/// By what the call that runs now can be found where its spans went, if they go anywhere.
pub(super) fn trace_id() {
    not_an_answer(current_trace_id().map(|id| format!("trace-id: {id}")));
}

/// Lines that are no answer, and so not for standard output.
pub(super) fn not_an_answer(lines: impl IntoIterator<Item = String>) {
    let mut err = std::io::stderr().lock();
    for line in lines {
        _ = writeln!(err, "{line}");
    }
}

/// Ends when the other end of standard output is closed: `watch-order | head -1` is not to wait for an
/// event that nobody will read.
pub(super) async fn nobody_reads() {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        if wait_for_closed_output() {
            _ = tell.send(());
        }
    });
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
fn wait_for_closed_output() -> bool {
    use rustix::event::{PollFd, PollFlags, poll};

    let out = std::io::stdout();
    // Nothing is asked for: errors and hang-ups are told anyway.
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
