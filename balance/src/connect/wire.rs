//! The byte stream of one connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task;

use super::BoxIo;
use super::frames::{FrameEvent, Frames};
use super::lifecycle::Lifecycle;

/// Passes bytes on, and updates the [`Lifecycle`] of the connection.
#[derive(Debug)]
pub(super) struct Wire {
    io: BoxIo,
    lifecycle: Lifecycle,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    /// HTTP/2 frames.
    Frames(Frames),
    /// TLS records, read and written by tonic. The task that connects polls the handshake, and a task of its own
    /// polls HTTP/2: what that task reads was sent after the handshake.
    Encrypted { connecting: Option<task::Id> },
}

impl Wire {
    /// Bytes that are HTTP/2 frames.
    pub(super) fn plain(io: BoxIo, lifecycle: Lifecycle) -> Self {
        Self { io, lifecycle, reading: Reading::Frames(Frames::default()) }
    }

    /// Bytes that are encrypted by the running task, which does the TLS handshake.
    pub(super) fn encrypted(io: BoxIo, lifecycle: Lifecycle) -> Self {
        Self { io, lifecycle, reading: Reading::Encrypted { connecting: task::try_id() } }
    }

    fn has_read(&mut self, bytes: &[u8]) {
        let lifecycle = &self.lifecycle;
        match &mut self.reading {
            Reading::Frames(frames) => frames.read(bytes, |found| match found {
                FrameEvent::Settings => lifecycle.opened(),
                FrameEvent::Goaway(text) => lifecycle.end(&text),
            }),
            Reading::Encrypted { connecting } if *connecting != task::try_id() => {
                lifecycle.opened();
            }
            Reading::Encrypted { .. } => {}
        }
    }

    fn wrote<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &written {
            self.lifecycle.end(&format!("the connection was lost: {error}"));
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => match &buf.filled()[before..] {
                [] if room > 0 => self.lifecycle.end("the server has closed the connection"),
                bytes => self.has_read(bytes),
            },
            Poll::Ready(Err(error)) => {
                self.lifecycle.end(&format!("the connection was lost: {error}"));
            }
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.lifecycle.end("the connection has closed");
    }
}
