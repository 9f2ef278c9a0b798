//! What stands inside a layer.

use std::error::Error;
use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

/// An error of any type.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// What a layer can stand in front of: a tonic server's router, one service, a client `Channel`, a
/// route of an axum router, or another layer around one of these.
///
/// An alias: every `tower::Service` that takes `http::Request<tonic::body::Body>` and gives an
/// `http::Response` is one. A layer author calls it by [`poll_grpc_ready`](Self::poll_grpc_ready) and
/// [`call_grpc`](Self::call_grpc), whose names don't clash with `Service`'s.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a gRPC service or channel that a layer can stand in front of",
    label = "no `Service<http::Request<tonic::body::Body>>` with an HTTP response",
    note = "layers stand around tonic's routes, one tonic service, a `tonic::transport::Channel`, \
            or each other; inside them a request's body is `tonic::body::Body`"
)]
pub trait GrpcService {
    /// The body of its responses.
    type ResponseBody: Body<Data = Bytes> + Send + 'static;
    /// Its errors.
    type Error;
    /// Its response.
    type Future: Future<Output = Result<Response<Self::ResponseBody>, Self::Error>>;

    /// As [`Service::poll_ready`].
    fn poll_grpc_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// As [`Service::call`].
    fn call_grpc(&mut self, request: Request<tonic::body::Body>) -> Self::Future;
}

// So that the compiler speaks of this trait, and not of `Service`, where it is not implemented.
#[diagnostic::do_not_recommend]
impl<S, B> GrpcService for S
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    type ResponseBody = B;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_grpc_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::poll_ready(self, cx)
    }

    fn call_grpc(&mut self, request: Request<tonic::body::Body>) -> S::Future {
        Service::call(self, request)
    }
}
