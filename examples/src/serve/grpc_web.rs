//! The protocol of gRPC-Web calls, for the layers inside tonic-web, which see gRPC.

use tonic::codegen::http::Request;
use tonic_call::Protocol;

/// Records that a call came over gRPC-Web.
pub(super) fn record_protocol<B>(mut request: Request<B>) -> Request<B> {
    if let Some(protocol @ (Protocol::GrpcWeb | Protocol::GrpcWebText)) =
        Protocol::of(request.headers())
    {
        request.extensions_mut().insert(protocol);
    }
    request
}
