use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{BoxError, GrpcService, Side};
use tower_service::Service;

use crate::attempt::Call;
use crate::response::{ResponseBody, ResponseFuture};
use crate::settings::Settings;

/// A channel whose calls are retried: see [`RetryLayer`](crate::RetryLayer).
///
/// It is always ready: each attempt waits inside its call until the channel is ready.
#[derive(Clone)]
pub struct RetryChannel<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> RetryChannel<S> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B> Service<Request<B>> for RetryChannel<S>
where
    S: GrpcService + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::ResponseBody, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        self.settings.side_check.check(Side::Client, &head.extensions, "RetryLayer");
        let body = tonic::body::Body::new(body);
        let call = Call::new(head, body, Arc::clone(&self.settings));
        // This clone is polled until it is ready, and then called.
        ResponseFuture::new(call.run(self.inner.clone()))
    }
}

impl<S: fmt::Debug> fmt::Debug for RetryChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryChannel").field("inner", &self.inner).finish_non_exhaustive()
    }
}
