use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName};
use tonic::Status;

use super::{GRPC_ACCEPT_ENCODING, GRPC_ENCODING, remove};

/// What belongs to gRPC or to the connection, and is no metadata.
static REMOVED: [HeaderName; 13] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    GRPC_ACCEPT_ENCODING,
    GRPC_ENCODING,
    Status::GRPC_STATUS,
    Status::GRPC_MESSAGE,
    Status::GRPC_STATUS_DETAILS,
];

/// Leaves only metadata in the headers or trailers of a gRPC response.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    remove(headers, &REMOVED);
}

/// Adds trailing metadata to the headers of a unary response (Connect, "Unary-Response"). Names that get too long
/// for a header are left out.
pub(crate) fn prefix_trailers(headers: &mut HeaderMap, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if let Ok(name) = HeaderName::try_from(format!("trailer-{name}")) {
            headers.append(name, value.clone());
        }
    }
}
