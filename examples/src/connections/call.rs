//! One call on a connection: counts as activity, and gives the layers the connect info.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project::pin_project;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service};
use tonic_call::{CallInfo, Side};

use super::activity::{ActiveCall, Activity};

/// The beginning of the paths of services whose callers are authenticated. Any client can keep other calls open: those
/// of health and reflection, and what is answered without a service.
const OWN: &str = "/orders.";

/// The server's service on one connection, with its connect info `C`.
#[derive(Clone)]
pub(super) struct CallService<S, C> {
    pub(super) inner: S,
    pub(super) connect_info: C,
    pub(super) activity: Arc<Activity>,
}

impl<S, C, B> Service<Request<Incoming>> for CallService<S, C>
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
        let call = self.activity.begin_call(path.starts_with(OWN));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.connect_info.clone());
        let info = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
        CallFuture { response: self.inner.call(request), call: Some(call), info }
    }
}

/// Resolves to the response head.
#[pin_project]
pub(super) struct CallFuture<F> {
    #[pin]
    response: F,
    call: Option<ActiveCall>,
    info: CallInfo,
}

impl<F, B, E> Future for CallFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CallBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        // A refusal over Connect has a body, which waits for as long as the caller does not read it. It must not keep
        // the connection open: any client can get refusals.
        let call = this.call.take().filter(|_| this.info.refusal().is_none());
        Poll::Ready(Ok(response.map(|inner| CallBody { inner, _call: call })))
    }
}

/// The response body. It is dropped when the call ends.
#[pin_project]
pub(super) struct CallBody<B> {
    #[pin]
    inner: B,
    _call: Option<ActiveCall>,
}

impl<B: HttpBody<Data = Bytes>> HttpBody for CallBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
