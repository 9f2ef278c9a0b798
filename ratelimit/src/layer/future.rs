use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project::pin_project;
use tonic_call::{AnswerBody, AnswerFuture, Held, HeldBody};

use super::permits::Permits;
use crate::decide::{Fields, Passed};

/// The response body of a [`RateLimit`](crate::RateLimit).
pub type ResponseBody<B> = HeldBody<AnswerBody<B>, Permits>;

/// The response of a [`RateLimit`](crate::RateLimit).
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    inner: Held<AnswerFuture<F>, Permits>,
    fields: Option<Box<Fields>>,
}

impl<F> ResponseFuture<F> {
    pub(crate) fn passed(response: AnswerFuture<F>, passed: Passed) -> Self {
        Self { inner: Held::new(response, passed.permits), fields: passed.fields }
    }

    pub(crate) fn refused(answer: AnswerFuture<F>) -> Self {
        Self { inner: Held::new(answer, None), fields: None }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut polled = this.inner.poll(cx);
        if let (Some(fields), Poll::Ready(Ok(response))) = (this.fields, &mut polled) {
            fields.write(response.headers_mut());
        }
        polled
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
