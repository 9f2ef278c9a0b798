use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{AnswerFuture, BoxError, GrpcService};
use tower_service::Service;

use super::future::{ResponseBody, ResponseFuture};
use super::settings::Settings;

/// The service of a [`RateLimitLayer`](crate::RateLimitLayer).
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> RateLimit<S> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B> Service<Request<B>> for RateLimit<S>
where
    S: GrpcService,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        match self.settings.decide(&head) {
            Ok(passed) => {
                let request = Request::from_parts(head, tonic::body::Body::new(body));
                // If this panics, `passed` is dropped, and the call is no longer in flight.
                let response = self.inner.call_grpc(request);
                ResponseFuture::passed(AnswerFuture::inner(response), passed)
            }
            Err(status) => ResponseFuture::refused(AnswerFuture::answer_to(&head.headers, status)),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}
