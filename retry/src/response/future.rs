use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use super::body::ResponseBody;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// The response future of a [`RetryChannel`](crate::RetryChannel). Dropping it cancels the attempt that is being made.
pub struct ResponseFuture<B, E>(Pin<Box<dyn Future<Output = Answer<B, E>> + Send>>);

impl<B, E> ResponseFuture<B, E> {
    pub(crate) fn new(call: impl Future<Output = Answer<B, E>> + Send + 'static) -> Self {
        Self(Box::pin(call))
    }
}

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Answer<B, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<B, E>> {
        self.0.as_mut().poll(cx)
    }
}

impl<B, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
