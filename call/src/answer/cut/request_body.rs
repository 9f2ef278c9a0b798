use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tonic::Status;

use crate::fit::BoxError;

/// Lets the request body of a call pass until the call is cut.
#[derive(Default)]
pub(super) struct Gate {
    closed: OnceLock<Status>,
    /// Wakes the task that reads the request body.
    waker: AtomicWaker,
}

impl Gate {
    pub(super) fn close(&self, status: Status) {
        let _ = self.closed.set(status);
        self.waker.wake();
    }
}

/// The request body of a call that can be cut. Ends with the call even if a task spawned by the handler still
/// reads it: HTTP would keep the stream open for that task.
#[pin_project]
pub(super) struct RequestBody<B> {
    /// `None` once the call was cut.
    #[pin]
    inner: Option<B>,
    gate: Arc<Gate>,
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, gate: Arc<Gate>) -> Self {
        Self { inner: Some(inner), gate }
    }
}

impl<B> Body for RequestBody<B>
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
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        // Before the check of the gate, so that closing it later wakes this task.
        this.gate.waker.register(cx.waker());
        match this.gate.closed.get() {
            Some(status) => {
                this.inner.set(None);
                Poll::Ready(Some(Err(status.clone().into())))
            }
            None => inner.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
