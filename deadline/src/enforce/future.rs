use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project::pin_project;
use tonic_call::{AnswerFuture, CutFuture, as_error, code_of_error};

use super::body::ResponseBody;
use super::watchdog::Watchdog;

/// The response future of a call through a deadline layer.
#[pin_project]
pub struct ResponseFuture<F, B, E>(#[pin] Kind<F, B, E>);

#[pin_project(project = Projection)]
enum Kind<F, B, E> {
    Unlimited(#[pin] F),
    /// The layer's own.
    Answer(#[pin] AnswerFuture<F>),
    /// The watchdog moves to the body.
    Limited(#[pin] CutFuture<B, E>, Option<Watchdog>),
}

impl<F, B, E> ResponseFuture<F, B, E> {
    pub(crate) fn unlimited(response: F) -> Self {
        Self(Kind::Unlimited(response))
    }

    pub(crate) fn answer(answer: AnswerFuture<F>) -> Self {
        Self(Kind::Answer(answer))
    }

    pub(crate) fn limited(response: CutFuture<B, E>, watchdog: Watchdog) -> Self {
        Self(Kind::Limited(response, Some(watchdog)))
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    E: 'static,
{
    type Output = Result<Response<ResponseBody<B, E>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            Projection::Unlimited(response) => {
                response.poll(cx).map_ok(|response| response.map(ResponseBody::of_service))
            }
            Projection::Answer(answer) => {
                answer.poll(cx).map_ok(|response| response.map(ResponseBody::unlimited))
            }
            Projection::Limited(mut response, watchdog) => {
                let Some(running) = watchdog else {
                    panic!("a `ResponseFuture` was polled after it had completed");
                };
                let mut result = running.poll(|| response.as_mut().poll(cx));
                // tonic polls its own timer after this, and a poll may take long.
                if result.is_pending() && running.is_due() {
                    result = running.poll(|| response.poll(cx));
                }
                let result = ready!(result);
                let code = match &result {
                    Ok(response) => super::code_in(response.headers()),
                    Err(error) => as_error(error).map(code_of_error),
                };
                let instead = code.and_then(|code| running.instead_of(code));
                let watchdog = watchdog.take();
                Poll::Ready(match instead {
                    Some(status) => Ok(status.into_http()),
                    None => result
                        .map(|response| response.map(|body| ResponseBody::limited(body, watchdog))),
                })
            }
        }
    }
}

impl<F, B, E> fmt::Debug for ResponseFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
