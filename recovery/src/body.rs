use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};
use tonic_call::AnswerBody;

use crate::context::Context;
use crate::panic::Place;
use crate::request_body::Verdict;

/// The response body of a [`Recover`](crate::Recover).
#[pin_project(PinnedDrop)]
pub struct ResponseBody<B> {
    #[pin]
    inner: AnswerBody<B>,
    context: Context,
    verdict: Option<Verdict>,
}

impl<B> ResponseBody<B> {
    pub(crate) fn inner(body: B, context: Context, verdict: Option<Verdict>) -> Self {
        Self { inner: AnswerBody::inner(body), context, verdict }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let polled = this.context.run(Place::Body, || this.inner.as_mut().poll_frame(cx));
        let verdict = this.verdict.as_ref().and_then(|verdict| verdict.get()).cloned();
        let status = match (polled, verdict) {
            (Ok(frame), None) => return frame,
            // What came before the request body panicked is still told.
            (Ok(Poll::Ready(Some(Ok(frame)))), Some(_)) => {
                return Poll::Ready(Some(Ok(frame)));
            }
            (Err(status), _) | (Ok(_), Some(status)) => status,
        };
        *this.verdict = None;
        this.context.drop(|| this.inner.as_mut().end_with(&status));
        this.inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[pinned_drop]
impl<B> PinnedDrop for ResponseBody<B> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        this.context.drop(|| this.inner.clear());
    }
}

/// A body that is at its end: that of a trailers-only answer.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { inner: AnswerBody::empty(), context: Context::default(), verdict: None }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
