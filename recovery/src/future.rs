use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use http::Response;
use pin_project::{pin_project, pinned_drop};
use tonic::Status;
use tonic_call::AnswerFuture;

use crate::body::ResponseBody;
use crate::context::Context;
use crate::panic::Place;
use crate::request_body::Verdict;

/// The response future of a [`Recover`](crate::Recover) service.
#[pin_project(PinnedDrop)]
pub struct ResponseFuture<F> {
    #[pin]
    inner: AnswerFuture<F>,
    context: Context,
    /// On a client, the status after a panic in the request body.
    verdict: Option<Verdict>,
}

impl<F> ResponseFuture<F> {
    pub(crate) fn inner(inner: F, context: Context, verdict: Option<Verdict>) -> Self {
        Self { inner: AnswerFuture::inner(inner), context, verdict }
    }

    /// Returns a response at once; the call itself is already dropped.
    pub(crate) fn answer(status: Status, context: Context) -> Self {
        Self { inner: AnswerFuture::answer_in(context.protocol(), status), context, verdict: None }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut polled = Poll::Pending;
        let ran = this.context.run(|| {
            polled = this.inner.as_mut().poll(cx);
            if polled.is_ready() {
                this.inner.as_mut().clear();
            }
        });
        let mut status = None;
        if let Err(caught) = ran {
            if polled.is_ready() {
                this.context.report(caught, Place::Drop);
            } else {
                status = Some(this.context.recovered(caught, Place::Future));
            }
        }
        if let Some(status) = status.or_else(|| this.verdict.as_ref()?.get().cloned()) {
            this.context.drop(|| {
                this.inner.clear();
                drop(polled);
            });
            return Poll::Ready(Ok(this.context.protocol().respond(status)));
        }
        if let Poll::Ready(Ok(response)) = &polled {
            this.context.responded(response.headers());
        }
        polled.map_ok(|response| {
            let (context, verdict) = (std::mem::take(this.context), this.verdict.take());
            response.map(|body| ResponseBody::new(body, context, verdict))
        })
    }
}

#[pinned_drop]
impl<F> PinnedDrop for ResponseFuture<F> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if this.inner.is_inner() {
            this.context.drop(|| this.inner.clear());
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
