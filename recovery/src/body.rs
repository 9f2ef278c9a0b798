use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};
use tonic_call::AnswerBody;

use crate::capture::or_default_on_panic;
use crate::context::Context;
use crate::panic::Place;
use crate::request_body::Verdict;

/// The response body of a [`Recover`](crate::Recover) service.
#[pin_project(PinnedDrop)]
pub struct ResponseBody<B> {
    #[pin]
    inner: AnswerBody<B>,
    context: Context,
    verdict: Option<Verdict>,
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(inner: AnswerBody<B>, context: Context, verdict: Option<Verdict>) -> Self {
        Self { inner, context, verdict }
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
        let mut frame = None;
        let ran = this.context.run(|| {
            if let Poll::Ready(ready) = this.inner.as_mut().poll_frame(cx) {
                let is_last = !matches!(&ready, Some(Ok(frame)) if frame.is_data());
                frame = Some(ready);
                if is_last {
                    this.inner.as_mut().clear();
                }
            }
        });
        let mut status = None;
        if let Err(caught) = ran {
            if frame.is_some() {
                this.context.report(caught, Place::Drop);
            } else {
                status = Some(this.context.recovered(caught, Place::Body));
            }
        }
        // A frame that arrived before the request body panicked is still delivered.
        if let Some(Some(Ok(_))) = frame {
            return Poll::Ready(frame.flatten());
        }
        match status.or_else(|| this.verdict.as_ref()?.get().cloned()) {
            Some(status) => {
                *this.verdict = None;
                let protocol = this.context.protocol();
                this.context.drop(|| this.inner.as_mut().end_with(protocol, &status));
                this.inner.poll_frame(cx)
            }
            None => frame.map_or(Poll::Pending, Poll::Ready),
        }
    }

    fn is_end_stream(&self) -> bool {
        // If this panics, so will the next poll, if there is one; that panic is reported.
        or_default_on_panic(|| self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        or_default_on_panic(|| self.inner.size_hint())
    }
}

#[pinned_drop]
impl<B> PinnedDrop for ResponseBody<B> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if this.inner.is_inner() {
            this.context.drop(|| this.inner.clear());
        }
    }
}

/// An empty body, for a trailers-only response.
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
