//! Where the output of a call goes: responses to standard output, and everything else to standard error.

use std::fmt;
use std::io::{ErrorKind, Write};

use prost::{Message, Name};
use tokio::sync::mpsc::UnboundedSender;
use tonic::metadata::{Ascii, MetadataValue};
use tonic_tracing_layer::current_trace_id;

use super::error::CallError;
use crate::json;
use crate::page::NEXT_PAGE_TOKEN;

/// Where the output of a call goes.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// It is printed.
    Print,
    /// It is sent to another task of this program.
    Send(UnboundedSender<Line>),
}

/// A line of output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A response message as JSON.
    Message(String),
    /// The token of the next page.
    NextPageToken(String),
    /// The trace id of the call.
    TraceId(String),
}

impl Output {
    /// A message as one line.
    pub(super) fn message<T: Message + Name>(&self, message: &T) -> Result<(), CallError> {
        let line = json::write(message).map_err(CallError::Output)?;
        match self {
            Self::Print => print(&line),
            Self::Send(to) => to.send(Line::Message(line)).map_err(|_| CallError::OutputClosed),
        }
    }

    /// The token of the next page, if there is one.
    pub(super) fn next_page_token(&self, token: Option<&MetadataValue<Ascii>>) {
        if let Some(token) = token.and_then(|token| token.to_str().ok()) {
            self.other(Line::NextPageToken(token.to_owned()));
        }
    }

    /// The trace id of the current call, if it has a span.
    pub(super) fn trace_id(&self) {
        if let Some(id) = current_trace_id() {
            self.other(Line::TraceId(id.to_string()));
        }
    }

    /// A line that is not a response.
    fn other(&self, line: Line) {
        match self {
            Self::Print => print_to_stderr([line.to_string()]),
            // A reader that is gone needs it no more.
            Self::Send(to) => _ = to.send(line),
        }
    }
}

/// As it is printed.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(json) => f.write_str(json),
            Self::NextPageToken(token) => write!(f, "{NEXT_PAGE_TOKEN}: {token}"),
            Self::TraceId(id) => write!(f, "trace-id: {id}"),
        }
    }
}

/// Prints a line to standard output, and flushes it.
fn print(line: &str) -> Result<(), CallError> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => CallError::OutputClosed,
        _ => CallError::Output(format!("cannot write to standard output: {error}")),
    })
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
