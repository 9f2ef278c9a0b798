use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{AnswerBody, AnswerFuture, BoxError, CallInfo, Cut, GrpcService, Side, SideCheck};
use tower_service::Service;

use super::attempt::Attempt;
use super::limits::Limits;
use super::outbound::{Outbound, Readiness};
use crate::enforce::{ResponseBody, ResponseFuture, Watchdog};

/// A channel whose calls end at their deadlines: see [`ClientDeadlineLayer`](crate::ClientDeadlineLayer).
///
/// It is always ready: a call waits for the channel inside its response future, and so no longer than its deadline
/// allows.
pub struct DeadlineChannel<S: GrpcService> {
    inner: S,
    readiness: Readiness<S::Error>,
    limits: Arc<Limits>,
    side_check: Arc<SideCheck>,
}

impl<S: GrpcService> DeadlineChannel<S> {
    pub(super) fn new(inner: S, limits: Arc<Limits>, side_check: Arc<SideCheck>) -> Self {
        Self { inner, readiness: Readiness::NotYet, limits, side_check }
    }
}

impl<S, B> Service<Request<B>> for DeadlineChannel<S>
where
    S: GrpcService + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::ResponseBody: Unpin,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<AnswerBody<S::ResponseBody>, S::Error>>;
    type Error = S::Error;
    type Future = ResponseFuture<Attempt<S>, AnswerBody<S::ResponseBody>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if let Readiness::NotYet = self.readiness {
            self.readiness = match self.inner.poll_grpc_ready(cx) {
                Poll::Ready(Ok(())) => Readiness::Ready,
                Poll::Ready(Err(error)) => Readiness::Failed(error),
                Poll::Pending => Readiness::NotYet,
            };
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let readiness = mem::replace(&mut self.readiness, Readiness::NotYet);
        let (mut head, body) = request.into_parts();
        self.side_check.check(Side::Client, &head.extensions, "DeadlineLayer");
        let limit = match self.limits.set(&mut head) {
            Ok(limit) => limit,
            Err(status) => {
                // What was ready stays so, for the next call.
                self.readiness = readiness;
                return ResponseFuture::answer(AnswerFuture::answer(status));
            }
        };
        let deadline = limit.map(|limit| limit.deadline);
        let mut outbound = Outbound { channel: &mut self.inner, readiness, deadline };
        let Some(limit) = limit else {
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            return ResponseFuture::unlimited(outbound.call(request));
        };
        let info = CallInfo::get_or_insert(Side::Client, &mut head.extensions);
        let (cut, response) = Cut::call(&mut outbound, Request::from_parts(head, body));
        ResponseFuture::limited(response, Watchdog::on_client(cut, limit, info))
    }
}

/// The clone has not been polled ready.
impl<S: GrpcService + Clone> Clone for DeadlineChannel<S> {
    fn clone(&self) -> Self {
        let (limits, side_check) = (Arc::clone(&self.limits), Arc::clone(&self.side_check));
        Self::new(self.inner.clone(), limits, side_check)
    }
}

impl<S: GrpcService + fmt::Debug> fmt::Debug for DeadlineChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineChannel").field("inner", &self.inner).finish_non_exhaustive()
    }
}
