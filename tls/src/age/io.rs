//! A connection that can be broken from outside, and says when it is gone.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tonic::transport::server::Connected;

/// A connection of a server that ages its connections. To requests it looks like the connection itself.
#[pin_project]
pub struct AgedConnection<IO> {
    #[pin]
    io: IO,
    /// Ends when the connection must break.
    broken: oneshot::Receiver<Infallible>,
    /// Dropped when the client has begun: then a server can tell it about its end.
    silent: Option<oneshot::Sender<Infallible>>,
    /// Bytes that the client must still send to begin.
    missing: usize,
    /// Dropped with the connection.
    _gone: oneshot::Sender<Infallible>,
}

/// The length of what a client of HTTP/2 sends first (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// The other ends of the channels.
pub(super) struct Control {
    /// Dropped to break the connection.
    pub(super) intact: oneshot::Sender<Infallible>,
    /// Ends when the client has begun, or the connection is gone.
    pub(super) begun: oneshot::Receiver<Infallible>,
    /// Ends when the connection is gone.
    pub(super) gone: oneshot::Receiver<Infallible>,
}

impl<IO> AgedConnection<IO> {
    pub(super) fn new(io: IO) -> (Self, Control) {
        let ((intact, broken), (silent, begun)) = (oneshot::channel(), oneshot::channel());
        let (_gone, gone) = oneshot::channel();
        let silent = Some(silent);
        (Self { io, broken, silent, missing: PREFACE, _gone }, Control { intact, begun, gone })
    }
}

impl<IO: Connected> Connected for AgedConnection<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> IO::ConnectInfo {
        self.io.connect_info()
    }
}

impl<IO: AsyncRead> AsyncRead for AgedConnection<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        // A server always reads, so this wakes it, also if the client reads nothing.
        if this.broken.is_terminated() || Pin::new(this.broken).poll(cx).is_ready() {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let read = this.io.poll_read(cx, buffer);
        if this.silent.is_some() {
            *this.missing = this.missing.saturating_sub(buffer.filled().len() - before);
            if *this.missing == 0 {
                *this.silent = None;
            }
        }
        read
    }
}

impl<IO: AsyncWrite> AsyncWrite for AgedConnection<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

impl<IO> fmt::Debug for AgedConnection<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgedConnection")
    }
}
