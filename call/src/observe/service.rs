use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::request_body::RequestBody;
use super::watch::Watch;
use super::{Observer, ResponseBody, ResponseFuture, Side};
use crate::known::KnownMethods;
use crate::service::{BoxError, GrpcService};

/// A service or channel whose calls are watched: see [`ObserveLayer`](super::ObserveLayer).
#[derive(Clone, Debug)]
pub struct Observe<S, O> {
    inner: S,
    observer: O,
    side: Side,
    known: Arc<KnownMethods>,
}

impl<S, O> Observe<S, O> {
    pub(super) fn new(inner: S, observer: O, side: Side, known: Arc<KnownMethods>) -> Self {
        Self { inner, observer, side, known }
    }
}

impl<S, O, B> Service<Request<B>> for Observe<S, O>
where
    S: GrpcService,
    S::Error: Display + 'static,
    O: Observer,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody, O::Call>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, O::Call>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let rpc = self.known.resolve(self.side, &head);
        let Some(call) = self.observer.begin(self.side, &rpc, &mut head) else {
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            return ResponseFuture::unwatched(self.inner.call_grpc(request));
        };
        let watch = Watch::new(call, &head.headers, &self.known, rpc);
        let body = tonic::body::Body::new(RequestBody::new(body, watch.shared()));
        let request = Request::from_parts(head, body);
        let future = watch.scope(|| self.inner.call_grpc(request));
        ResponseFuture::watched(future, watch)
    }
}
