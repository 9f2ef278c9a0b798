//! The body of a request as the server received it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic_call::BoxError;

use super::Progress;

/// A request body, of which over HTTP/1.1 the rest is read on when nobody wants it.
#[pin_project(project = IncomingProjection)]
pub(crate) enum Incoming<B> {
    Http1(Http1Body),
    Http2(#[pin] B),
}

/// A body over HTTP/1.1. If it is dropped before its end, a task reads on for a moment.
///
/// hyper closes a connection as soon as a request is answered whose body nobody reads. A client that still writes would
/// lose the answer: its system drops what was received when the connection is reset.
pub(crate) struct Http1Body {
    inner: tonic::body::Body,
    progress: Progress,
}

/// For how long, and how much, is read on: the same as Go's servers (`net/http`).
const LINGER_TIME: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 256 * 1_024;

impl<B> Incoming<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new(body: B, is_http1: bool, progress: &Progress) -> Self {
        if body.is_end_stream() {
            progress.set_at_end();
        }
        match is_http1 {
            true => Self::Http1(Http1Body {
                inner: tonic::body::Body::new(body),
                progress: progress.clone(),
            }),
            false => Self::Http2(body),
        }
    }

    /// The body for a service that takes the request as it is.
    pub(crate) fn untouched(self) -> tonic::body::Body {
        match self {
            Self::Http1(body) => tonic::body::Body::new(body),
            Self::Http2(body) => tonic::body::Body::new(body),
        }
    }
}

impl<B> Body for Incoming<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            IncomingProjection::Http1(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            IncomingProjection::Http2(body) => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        // After an error, nothing more can be read.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream() {
            self.progress.set_at_end();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        if !self.progress.is_at_end()
            && let Ok(runtime) = Handle::try_current()
        {
            let rest = std::mem::take(&mut self.inner);
            // In the task: `timeout` panics in a runtime without timers.
            runtime.spawn(async { timeout(LINGER_TIME, read_on(rest)).await });
        }
    }
}

/// Reads the rest of a request, up to its end or a limit.
async fn read_on(mut rest: tonic::body::Body) {
    let mut received = 0;
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await
        && received <= LINGER_BYTES
    {
        received += frame.data_ref().map_or(0, Bytes::len);
    }
}
