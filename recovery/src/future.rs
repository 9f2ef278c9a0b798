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

    pub(crate) fn answer(status: Status) -> Self {
        Self { inner: None, answer: Some(status), context: Context::default(), verdict: None }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            let Some(status) = this.answer.take() else {
                panic!("a `ResponseFuture` was polled after it had completed");
            };
            return Poll::Ready(Ok(status.into_http()));
        };
        let polled = this.context.run(Place::Future, || inner.poll(cx));
        let verdict = this.verdict.as_ref().and_then(|verdict| verdict.get()).cloned();
        let result = match (polled, verdict) {
            (Err(status), _) => Err(status),
            (Ok(polled), Some(status)) => {
                this.context.drop(|| drop(polled));
                Err(status)
            }
            (Ok(Poll::Pending), None) => return Poll::Pending,
            (Ok(Poll::Ready(result)), None) => Ok(result),
        };
        this.context.drop(|| this.inner.set(None));
        Poll::Ready(match result {
            Ok(result) => result.map(|response| {
                let (context, verdict) = (std::mem::take(this.context), this.verdict.take());
                response.map(|body| ResponseBody::inner(body, context, verdict))
            }),
            Err(status) => Ok(status.into_http()),
        })
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
