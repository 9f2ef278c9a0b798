use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{BoxError, GrpcService, Side, SideCheck};
use tower_service::Service;

use crate::body::ResponseBody;
use crate::capture::{Caught, catch};
use crate::context::{Context, Handler};
use crate::future::ResponseFuture;
use crate::panic::Place;
use crate::request_body::RequestBody;

/// A service or channel whose panics are recovered: see [`RecoveryLayer`](crate::RecoveryLayer).
pub struct Recover<S> {
    inner: S,
    side: Side,
    handler: Option<Handler>,
    side_check: Arc<SideCheck>,
    /// A panic in `poll_ready`, which the next call is answered with. The lock is needed only because a payload
    /// is not `Sync`; it is never contended.
    not_ready: Mutex<Option<Caught>>,
}

impl<S> Recover<S> {
    pub(crate) fn new(
        inner: S,
        side: Side,
        handler: Option<Handler>,
        side_check: Arc<SideCheck>,
    ) -> Self {
        Self { inner, side, handler, side_check, not_ready: Mutex::new(None) }
    }

    fn not_ready(&mut self) -> &mut Option<Caught> {
        self.not_ready.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports a panic in `poll_ready` that no call has followed.
    fn report_not_ready(&mut self) {
        if let Some(caught) = self.not_ready().take() {
            Context::unknown(self.handler.clone()).report(caught, Place::PollReady);
        }
    }
}

impl<S, B> Service<Request<B>> for Recover<S>
where
    S: GrpcService,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        match catch(|| self.inner.poll_grpc_ready(cx)) {
            Ok(ready) => ready,
            // An error here would reset the stream, so the call is answered with a status instead.
            Err(caught) => {
                self.report_not_ready();
                *self.not_ready() = Some(caught);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.side_check.check(self.side, request.extensions(), "RecoveryLayer");
        let context = Context::new(self.side, &request, self.handler.clone());
        if let Some(caught) = self.not_ready().take() {
            let status = context.recovered(caught, Place::PollReady);
            context.drop(|| drop(request));
            return ResponseFuture::answer(status, context);
        }
        let verdict = (self.side == Side::Client).then(|| Arc::new(OnceLock::new()));
        let request = request.map(|body| match &verdict {
            Some(verdict) => {
                let body = RequestBody::new(body, context.clone(), Arc::clone(verdict));
                tonic::body::Body::new(body)
            }
            None => tonic::body::Body::new(body),
        });
        match catch(|| self.inner.call_grpc(request)) {
            Ok(future) => ResponseFuture::inner(future, context, verdict),
            Err(caught) => ResponseFuture::answer(context.recovered(caught, Place::Call), context),
        }
    }
}

impl<S> Drop for Recover<S> {
    fn drop(&mut self) {
        self.report_not_ready();
    }
}

impl<S: Clone> Clone for Recover<S> {
    fn clone(&self) -> Self {
        let side_check = Arc::clone(&self.side_check);
        Self::new(self.inner.clone(), self.side, self.handler.clone(), side_check)
    }
}

impl<S: fmt::Debug> fmt::Debug for Recover<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recover").field("inner", &self.inner).finish_non_exhaustive()
    }
}
