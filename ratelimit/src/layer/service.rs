use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
#[cfg(feature = "redis")]
use http::request;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{BoxError, GrpcService};
use tower_service::Service;

#[cfg(feature = "redis")]
use super::future::Deciding;
use super::future::{ResponseBody, ResponseFuture};
use super::settings::Settings;
#[cfg(feature = "redis")]
use crate::decide::Shared;

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

#[cfg(feature = "redis")]
impl<S: GrpcService + Clone> RateLimit<S> {
    /// Lets Redis decide a call.
    // Not inlined: its future is large, and most calls have none.
    #[inline(never)]
    fn ask(
        &mut self,
        shared: Shared,
        head: request::Parts,
        body: tonic::body::Body,
    ) -> ResponseFuture<S> {
        // Keeps the service that is ready for this call; the next call polls another one.
        let next = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, next);
        let decision = Box::pin(async move {
            let decided = shared.decide(&head).await;
            (head, decided)
        });
        ResponseFuture::deciding(Deciding { service, body, decision })
    }
}

impl<S, B> Service<Request<B>> for RateLimit<S>
where
    S: GrpcService + Clone,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        #[cfg(feature = "redis")]
        if let Some(shared) = self.settings.shared(&head) {
            return self.ask(shared, head, tonic::body::Body::new(body));
        }
        let decided = self.settings.decide(&head);
        let body = tonic::body::Body::new(body);
        let request = Request::from_parts(head, body);
        ResponseFuture::decided(decided, request, &mut self.inner)
    }
}

impl<S: fmt::Debug> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}
