use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Response, response};
use http_body::Body;
use pin_project::pin_project;

use crate::answer::{Answering, Next};
use crate::body::{Progress, ResponseBody, UnaryResponse};

/// The response future of a [`Connect`](crate::Connect) service.
///
/// A unary Connect answer is ready at the end of the call, because its head has the status.
#[pin_project]
pub struct ResponseFuture<F, B> {
    #[pin]
    step: Step<F, B>,
    answering: Option<Answering>,
    /// While the rest is read.
    head: Option<response::Parts>,
    /// Over HTTP/1.1: how far the request is read.
    closing: Option<Progress>,
}

#[pin_project(project = StepProjection)]
enum Step<F, B> {
    Head(#[pin] F),
    Rest(#[pin] UnaryResponse<B>),
    /// The inner call is dropped.
    Over,
}

impl<F, B> ResponseFuture<F, B> {
    pub(crate) fn untouched(inner: F) -> Self {
        Self { step: Step::Head(inner), answering: None, head: None, closing: None }
    }

    pub(crate) fn translated(inner: F, answering: Answering) -> Self {
        Self { step: Step::Head(inner), answering: Some(answering), head: None, closing: None }
    }
}

impl<F, B> ResponseFuture<F, B> {
    /// Announces the end of the connection if the answer comes before the request was read.
    pub(crate) fn closing(self, progress: Progress) -> Self {
        Self { closing: Some(progress), ..self }
    }
}

/// What is left of a request would be read as the next request of the connection, so the server closes it.
fn announce_close<B>(closing: Option<&Progress>, mut response: Response<B>) -> Response<B> {
    if closing.is_some_and(|progress| !progress.is_at_end()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: 'static,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProjection::Head(inner) => {
                    let response = ready!(inner.poll(cx));
                    this.step.set(Step::Over);
                    let response = response?;
                    let answering = this.answering.take();
                    let Some(answering) = answering.filter(|it| it.is_needed(&response)) else {
                        let response = response.map(ResponseBody::untouched);
                        return Poll::Ready(Ok(announce_close(this.closing.as_ref(), response)));
                    };
                    match answering.begin(response) {
                        Next::Answer(response) => {
                            return Poll::Ready(Ok(announce_close(
                                this.closing.as_ref(),
                                response,
                            )));
                        }
                        Next::Collect(answering, head, rest) => {
                            *this.answering = Some(answering);
                            *this.head = Some(head);
                            this.step.set(Step::Rest(rest));
                        }
                    }
                }
                StepProjection::Rest(rest) => {
                    let collected = ready!(rest.poll(cx));
                    this.step.set(Step::Over);
                    if let (Some(head), Some(answering)) = (this.head.take(), this.answering.take())
                    {
                        let response = answering.finish(head, collected);
                        return Poll::Ready(Ok(announce_close(this.closing.as_ref(), response)));
                    }
                }
                StepProjection::Over => {
                    panic!("a `ResponseFuture` was polled after it had completed")
                }
            }
        }
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
