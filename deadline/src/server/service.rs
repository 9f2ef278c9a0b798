use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{AnswerFuture, BoxError, CallInfo, Cut, Deadline, GrpcService, Side};
use tower_service::Service;

use super::limits::Limits;
use crate::enforce::{ResponseBody, ResponseFuture, Watchdog};
use crate::refusal;

/// A service whose calls end at their deadlines: see [`DeadlineLayer`](crate::DeadlineLayer).
#[derive(Clone)]
pub struct DeadlineService<S> {
    inner: S,
    limits: Arc<Limits>,
}

impl<S> DeadlineService<S> {
    pub(super) fn new(inner: S, limits: Arc<Limits>) -> Self {
        Self { inner, limits }
    }
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: GrpcService,
    S::Future: Send + 'static,
    S::ResponseBody: Unpin,
    S::Error: 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody, S::Error>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::ResponseBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let limits = match self.limits.of(&mut head) {
            Ok(limits) => limits,
            Err(refused) => {
                let status = refusal::record(Side::Server, &mut head.extensions, refused);
                return ResponseFuture::answer(AnswerFuture::answer_to(&head.headers, status));
            }
        };
        if limits.is_unlimited() {
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            return ResponseFuture::unlimited(self.inner.call_grpc(request));
        }
        let deadline = limits.call.map(|limit| limit.deadline);
        if let Some(deadline) = deadline {
            head.extensions.insert(deadline);
        }
        // Layers inside learn from it that it was not the caller who left.
        CallInfo::get_or_insert(Side::Server, &mut head.extensions);
        let request = Request::from_parts(head, body);
        let (cut, response) = Deadline::enter(deadline, || Cut::call(&mut self.inner, request));
        let watchdog = Watchdog::on_server(cut, limits.call, limits.head, limits.stall);
        ResponseFuture::limited(response, watchdog)
    }
}

impl<S: fmt::Debug> fmt::Debug for DeadlineService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
