use std::any::type_name;
use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::request_body::RequestBody;
use super::watch::Watch;
use super::{Observer, ResponseBody, ResponseFuture, Side};
use crate::fit::{BoxError, GrpcService};
use crate::method::KnownMethods;
use crate::observe::SideCheck;

/// A service or channel whose calls are watched by an observer: see [`ObserveLayer`](super::ObserveLayer).
#[derive(Clone, Debug)]
pub struct Observe<S, O> {
    pub(super) inner: S,
    pub(super) observer: O,
    pub(super) side: Side,
    pub(super) known: Arc<KnownMethods>,
    pub(super) server_timeout: Option<Duration>,
    pub(super) side_check: Arc<SideCheck>,
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
        let Self { observer, side, known, server_timeout, side_check, .. } = &*self;
        side_check.check(*side, &head.extensions, type_name::<O>());
        let watch = Watch::begin(observer, *side, known, *server_timeout, &mut head);
        let Some((watch, reader)) = watch else {
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            return ResponseFuture::unwatched(self.inner.call_grpc(request));
        };
        let body = tonic::body::Body::new(RequestBody::new(body, reader, self.side, watch.state()));
        let future = watch.scope(|| self.inner.call_grpc(Request::from_parts(head, body)));
        ResponseFuture::watched(future, watch)
    }
}
