use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use http::Response;
use pin_project::{pin_project, pinned_drop};
use tonic::Status;

use crate::body::ResponseBody;
use crate::context::Context;
use crate::panic::Place;
use crate::request_body::Verdict;

/// The response of a [`Recover`](crate::Recover).
#[pin_project(PinnedDrop)]
pub struct ResponseFuture<F> {
    /// `None` once it is done, or has panicked: it is then never polled again.
    #[pin]
    inner: Option<F>,
    /// What is told instead.
    answer: Option<Status>,
    context: Context,
    /// On a client, what the request body's panic says of the call.
    verdict: Option<Verdict>,
}

impl<F> ResponseFuture<F> {
    pub(crate) fn inner(inner: F, context: Context, verdict: Option<Verdict>) -> Self {
        Self { inner: Some(inner), answer: None, context, verdict }
    }

    /// Answers at once: `context` is that of a call of which nothing is left to recover.
    pub(crate) fn answer(status: Status, context: Context) -> Self {
        Self { inner: None, answer: Some(status), context, verdict: None }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.inner.is_none() {
            let Some(status) = this.answer.take() else {
                panic!("a `ResponseFuture` was polled after it had completed");
            };
            return Poll::Ready(Ok(this.context.protocol().respond(status)));
        }
        let mut result = None;
        let ran = this.context.run(|| {
            if let Some(Poll::Ready(ready)) =
                this.inner.as_mut().as_pin_mut().map(|inner| inner.poll(cx))
            {
                result = Some(ready);
                this.inner.set(None);
            }
        });
        let mut told = None;
        if let Err(caught) = ran {
            if result.is_some() {
                this.context.tell(caught, Place::Drop);
            } else {
                told = Some(this.context.recovered(caught, Place::Future));
            }
        }
        let told = told.or_else(|| this.verdict.as_ref()?.get().cloned());
        match (told, result) {
            (Some(status), result) => {
                this.context.drop(|| {
                    this.inner.set(None);
                    drop(result);
                });
                Poll::Ready(Ok(this.context.protocol().respond(status)))
            }
            (None, Some(result)) => Poll::Ready(result.map(|response| {
                let (context, verdict) = (std::mem::take(this.context), this.verdict.take());
                let (head, body) = response.into_parts();
                let body = ResponseBody::inner(&head.headers, body, context, verdict);
                Response::from_parts(head, body)
            })),
            (None, None) => Poll::Pending,
        }
    }
}

#[pinned_drop]
impl<F> PinnedDrop for ResponseFuture<F> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.inner.is_some() {
            this.context.drop(|| this.inner.set(None));
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
