//! The byte stream of one connection.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task;
use tokio::time::{Sleep, sleep};

use super::BoxIo;
use super::frames::{FrameEvent, Frames};
use super::lifecycle::Lifecycle;

/// Passes bytes on, and updates the [`Lifecycle`] of the connection.
///
/// A failed write does not end it: what the server sent before is read first. h2 stops reading when a write fails, and
/// so would lose the last answers of a server that shuts down, and its GOAWAY, which reports the requests that it has not
/// processed. tonic's server closes its socket as soon as its last call is answered. If requests have arrived meanwhile,
/// the kernel then resets the connection, and the next write of the client fails.
#[derive(Debug)]
pub(super) struct Wire {
    io: BoxIo,
    lifecycle: Lifecycle,
    reading: Reading,
    unwritable: Option<Unwritable>,
}

/// A write has failed. Later ones seem to succeed, and their bytes are dropped.
#[derive(Debug)]
struct Unwritable {
    error: io::Error,
    /// When the connection ends if the other side does not end it.
    end: Pin<Box<Sleep>>,
}

/// A socket whose writes fail can be read to its end at once. A connector of the user's own may leave that end out.
const TIME_TO_READ: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Reading {
    /// HTTP/2 frames.
    Frames(Frames),
    /// TLS records, read and written by tonic. The task that connects polls the handshake, and a task of its own
    /// polls HTTP/2: what that task reads was sent after the handshake.
    Encrypted { connecting: Option<task::Id>, has_begun: bool },
}

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
const NO_TLS: &str = "the scheme is https, but tonic is built without TLS and would send plain text: \
                      turn on its feature tls-ring or tls-aws-lc";

impl Wire {
    /// Bytes that are HTTP/2 frames.
    pub(super) fn plain(io: BoxIo, lifecycle: Lifecycle) -> Self {
        Self { io, lifecycle, reading: Reading::Frames(Frames::default()), unwritable: None }
    }

    /// Bytes that are encrypted by the running task, which does the TLS handshake.
    pub(super) fn encrypted(io: BoxIo, lifecycle: Lifecycle) -> Self {
        let reading = Reading::Encrypted { connecting: task::try_id(), has_begun: false };
        Self { io, lifecycle, reading, unwritable: None }
    }

    fn has_read(&mut self, bytes: &[u8]) {
        let lifecycle = &self.lifecycle;
        match &mut self.reading {
            Reading::Frames(frames) => frames.read(bytes, |found| match found {
                FrameEvent::Settings => lifecycle.opened(),
                FrameEvent::Goaway(text) => lifecycle.end(&text),
                FrameEvent::OtherProtocol(text) => lifecycle.end(text),
            }),
            Reading::Encrypted { connecting, .. } if *connecting != task::try_id() => {
                lifecycle.opened();
            }
            Reading::Encrypted { .. } => {}
        }
    }

    /// Without its TLS features tonic treats `https` as `http`.
    fn must_be_encrypted(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Reading::Encrypted { has_begun, .. } = &mut self.reading else { return Ok(()) };
        match bytes.first() {
            Some(first) if !*has_begun && *first != HANDSHAKE => {
                self.lifecycle.end(NO_TLS);
                Err(io::Error::new(io::ErrorKind::Unsupported, NO_TLS))
            }
            first => {
                *has_begun |= first.is_some();
                Ok(())
            }
        }
    }

    /// The result of a write. A failure counts as a success of this `size`.
    fn wrote<T>(
        &mut self,
        cx: &Context<'_>,
        written: Poll<io::Result<T>>,
        size: T,
    ) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(error)) = written else { return written };
        self.lifecycle.end(&format!("the connection was lost: {error}"));
        self.unwritable = Some(Unwritable { error, end: Box::pin(sleep(TIME_TO_READ)) });
        // The end of the reading must be seen, and nothing else may wake the task.
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(size))
    }

    /// What a read results in that has nothing to read now.
    fn poll_unwritable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Unwritable { error, end }) = &mut self.unwritable else { return Poll::Pending };
        end.as_mut().poll(cx).map(|()| Err(io::Error::new(error.kind(), error.to_string())))
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
            Poll::Pending => return self.poll_unwritable(cx),
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
        if self.unwritable.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.must_be_encrypted(bytes)?;
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(cx, written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = bytes.iter().map(|part| part.len()).sum();
        if self.unwritable.is_some() {
            return Poll::Ready(Ok(size));
        }
        for part in bytes {
            self.must_be_encrypted(part)?;
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.wrote(cx, written, size)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unwritable.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(cx, flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unwritable.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.lifecycle.end("the connection has closed");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What the server has sent, and writes that fail.
    #[derive(Debug)]
    struct Reset {
        sent: &'static [u8],
        ends: bool,
    }

    impl AsyncRead for Reset {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.sent.is_empty() && !self.ends {
                return Poll::Pending;
            }
            buf.put_slice(std::mem::take(&mut self.sent));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Reset {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            panic!("after a failed write nothing is written")
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_flush(cx)
        }
    }

    fn reset(sent: &'static [u8], ends: bool) -> (Wire, Lifecycle) {
        let lifecycle = Lifecycle::new();
        (Wire::plain(Box::new(Reset { sent, ends }), lifecycle.clone()), lifecycle)
    }

    #[tokio::test]
    async fn a_failed_write_does_not_hide_what_the_server_sent_before() {
        let (mut wire, lifecycle) = reset(b"an answer", true);
        wire.write_all(b"a request").await.expect("the failure is seen at the end of the reading");
        assert_eq!(&*lifecycle.until_over().await, "the connection was lost: broken pipe");
        wire.write_all(b"another").await.expect("it is dropped");
        wire.shutdown().await.expect("there is nothing to shut down");
        let mut read = Vec::new();
        wire.read_to_end(&mut read).await.expect("it ends");
        assert_eq!(read, b"an answer");
    }

    #[tokio::test]
    async fn no_plain_text_is_sent_where_tls_is_expected() {
        for (first, is_sent) in [(&b"PRI * HTTP/2.0"[..], false), (&[HANDSHAKE, 3, 1, 0, 9], true)]
        {
            let (client, mut server) = tokio::io::duplex(64);
            let lifecycle = Lifecycle::new();
            let mut wire = Wire::encrypted(Box::new(client), lifecycle.clone());
            let written = wire.write_all(first).await;
            assert_eq!(wire.write_all(first).await.is_ok(), is_sent);
            drop(wire);
            let mut received = Vec::new();
            server.read_to_end(&mut received).await.expect("it ends");
            assert_eq!(received, if is_sent { [first, first].concat() } else { Vec::new() });
            assert_eq!(written.is_ok(), is_sent);
            assert_eq!(lifecycle.until_over().await.contains("tls-ring"), !is_sent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_ends_a_connection_that_does_not_end_itself() {
        let (mut wire, _) = reset(b"an answer", false);
        wire.write_all(b"a request").await.expect("the failure is seen at the end of the reading");
        let mut read = Vec::new();
        let error = wire.read_to_end(&mut read).await.expect_err("the time is over");
        assert_eq!((error.kind(), &*read), (io::ErrorKind::BrokenPipe, &b"an answer"[..]));
    }
}
