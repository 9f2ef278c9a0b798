use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};
use tonic::Status;
use tonic_call::BoxError;

use crate::capture::unless_it_panics;
use crate::context::Context;
use crate::panic::Place;

/// Tells the response that the request body has panicked.
pub(crate) type Verdict = Arc<OnceLock<Status>>;

/// The request body on a client. The connection polls it: a panic there would end every call that
/// is on it.
#[pin_project(PinnedDrop)]
pub(crate) struct RequestBody<B> {
    /// `None` once it has panicked: it is never polled again.
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
                // Set before the stream is reset: whoever is woken by that finds it.
                let _ = this.verdict.set(status.clone());
                this.context.drop(|| this.inner.set(None));
                Poll::Ready(Some(Err(status.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // A panic here is status by the poll that follows, if there is one.
        unless_it_panics(|| self.inner.as_ref().is_none_or(Body::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        unless_it_panics(|| {
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
