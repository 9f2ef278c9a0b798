use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, response};
use http_body::Body;
use pin_project::pin_project;

use crate::answer::{Answering, Next};
use crate::body::{ResponseBody, UnaryResponse};

/// The response future of a [`Connect`](crate::Connect) service.
///
/// A unary Connect answer is ready at the end of the call, because its head has the status.
#[pin_project]
pub struct ResponseFuture<F, B> {
    #[pin]
    step: Step<F, B>,
    answering: Option<Box<Answering>>,
}

#[pin_project(project = StepProjection)]
enum Step<F, B> {
    Head(#[pin] F),
    Rest(Option<Box<response::Parts>>, #[pin] UnaryResponse<B>),
    /// The inner call is dropped.
    Over,
}

impl<F, B> ResponseFuture<F, B> {
    pub(crate) fn untouched(inner: F) -> Self {
        Self { step: Step::Head(inner), answering: None }
    }

    pub(crate) fn translated(inner: F, answering: Answering) -> Self {
        Self { step: Step::Head(inner), answering: Some(Box::new(answering)) }
    }
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
                        return Poll::Ready(Ok(response.map(ResponseBody::untouched)));
                    };
                    match answering.begin(response) {
                        Next::Answer(response) => return Poll::Ready(Ok(response)),
                        Next::Collect(answering, head, rest) => {
                            *this.answering = Some(answering);
                            this.step.set(Step::Rest(Some(Box::new(head)), rest));
                        }
                    }
                }
                StepProjection::Rest(head, rest) => {
                    let collected = ready!(rest.poll(cx));
                    let head = head.take();
                    this.step.set(Step::Over);
                    if let (Some(head), Some(answering)) = (head, this.answering.take()) {
                        return Poll::Ready(Ok(answering.finish(*head, collected)));
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
