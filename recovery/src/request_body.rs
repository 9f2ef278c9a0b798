use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};
use tonic::Status;
use tonic_call::BoxError;

use crate::capture::or_default_on_panic;
use crate::context::Context;
use crate::panic::Place;

/// The status to end the response with, set when the request body panics.
pub(crate) type Verdict = Arc<OnceLock<Status>>;

/// The request body on a client. The connection polls it, so a panic would end every call on the connection.
#[pin_project(PinnedDrop)]
pub(crate) struct RequestBody<B> {
    /// `None` after a panic: it is never polled again.
    #[pin]
    inner: Option<B>,
    context: Context,
    verdict: Verdict,
}

impl<B> RequestBody<B> {
    pub(crate) fn new(inner: B, context: Context, verdict: Verdict) -> Self {
        Self { inner: Some(inner), context, verdict }
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
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match this.context.run(|| inner.poll_frame(cx)) {
            Ok(frame) => frame.map_err(Into::into),
            Err(caught) => {
                let status = this.context.recovered(caught, Place::RequestBody);
                // Set before the stream is reset, so that the response future finds it when the reset wakes it.
                let _ = this.verdict.set(status.clone());
                this.context.drop(|| this.inner.set(None));
                Poll::Ready(Some(Err(status.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // If this panics, so will the next poll, if there is one; that panic is reported.
        or_default_on_panic(|| self.inner.as_ref().is_none_or(Body::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        or_default_on_panic(|| {
            self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
        })
    }
}

#[pinned_drop]
impl<B> PinnedDrop for RequestBody<B> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.inner.is_some() {
            this.context.drop(|| this.inner.set(None));
        }
    }
}
