//! One call on a connection: it keeps the connection from being idle, tells the layers who is at the other
//! end, and obeys the caller's `grpc-timeout` until the head of its answer, as tonic's own server does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service};
use tonic_call::timeout_of;

use super::activity::{Activity, OpenCall};

/// Services whose calls anybody can make, and hold open.
const FOR_EVERYBODY: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// The services of all connections, as one connection sees them. `C` is what tonic calls connect info.
#[derive(Clone)]
pub(super) struct Calls<S, C> {
    pub(super) inner: S,
    pub(super) connect_info: C,
    pub(super) activity: Arc<Activity>,
}

impl<S, C, B> Service<Request<Incoming>> for Calls<S, C>
where
    S: Service<Request<Body>, Response = Response<B>>,
    C: Clone + Send + Sync + 'static,
{
    type Response = Response<CallBody<B>>;
    type Error = S::Error;
    type Future = CallFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        let working = !FOR_EVERYBODY.iter().any(|service| path.starts_with(service));
        let call = self.activity.call(working);
        // One that is malformed is none, as for tonic.
        let timeout = timeout_of(request.headers()).ok().flatten();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.connect_info.clone());
        let response = self.inner.call(request);
        CallFuture { response, timeout: timeout.map(sleep), call: Some(call) }
    }
}

/// Until the head of the answer is here.
#[pin_project]
pub(super) struct CallFuture<F> {
    #[pin]
    response: F,
    #[pin]
    timeout: Option<Sleep>,
    call: Option<OpenCall>,
}

impl<F, B, E> Future for CallFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CallBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match this.response.poll(cx) {
            Poll::Ready(response) => response?.map(Some),
            Poll::Pending => {
                let Some(timeout) = this.timeout.as_pin_mut() else { return Poll::Pending };
                ready!(timeout.poll(cx));
                let status = Status::deadline_exceeded("the deadline of the call has passed");
                status.into_http::<()>().map(|()| None)
            }
        };
        let call = this.call.take();
        Poll::Ready(Ok(response.map(|inner| CallBody { inner, _call: call })))
    }
}

/// The answer. It is dropped when the call is over.
#[pin_project]
pub(super) struct CallBody<B> {
    /// `None` has no content.
    #[pin]
    inner: Option<B>,
    _call: Option<OpenCall>,
}

impl<B: HttpBody<Data = Bytes>> HttpBody for CallBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().inner.as_pin_mut().map_or(Poll::Ready(None), |inner| inner.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
