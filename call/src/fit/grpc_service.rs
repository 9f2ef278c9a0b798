//! The service that a layer wraps.

use std::error::Error;
use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

/// A boxed error of any type.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// A service that a layer can wrap: a tonic server's router, a single tonic service, a client `Channel`, a
/// route of an axum router, or another layer around one of these.
///
/// Implemented by every `tower::Service` from `http::Request<tonic::body::Body>` to an `http::Response`. Layer
/// authors call it by [`poll_grpc_ready`](Self::poll_grpc_ready) and [`call_grpc`](Self::call_grpc), whose
/// names don't clash with `Service`'s.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a gRPC service or channel that a layer can stand in front of",
    label = "no `Service<http::Request<tonic::body::Body>>` with an HTTP response",
    note = "layers stand around tonic's routes, one tonic service, a `tonic::transport::Channel`, \
            or each other; inside them a request's body is `tonic::body::Body`"
)]
pub trait GrpcService {
    /// The body type of the responses.
    type ResponseBody: Body<Data = Bytes> + Send + 'static;
    /// The error type.
    type Error;
    /// The future of a response.
    type Future: Future<Output = Result<Response<Self::ResponseBody>, Self::Error>>;

    /// Like [`Service::poll_ready`].
    fn poll_grpc_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Like [`Service::call`].
    fn call_grpc(&mut self, request: Request<tonic::body::Body>) -> Self::Future;
}

// Makes compiler errors name this trait instead of `Service`.
#[diagnostic::do_not_recommend]
impl<S, B> GrpcService for S
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    type ResponseBody = B;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_grpc_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::poll_ready(self, cx)
    }

    // A request has hundreds of bytes, which are copied for each call that is not inlined.
    #[inline(always)]
    fn call_grpc(&mut self, request: Request<tonic::body::Body>) -> S::Future {
        Service::call(self, request)
    }
}
