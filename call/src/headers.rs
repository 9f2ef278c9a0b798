//! Reading headers.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};

/// Up to so many headers are compared one by one: hashing a name takes longer.
const FEW: usize = 16;

/// The first value of a header.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if headers.len() <= FEW {
        headers.iter().find_map(|(other, value)| (other == name).then_some(value))
    } else {
        headers.get(name)
    }
}

/// What `grpc-status` says; a value that gRPC does not define is `Unknown`.
///
/// The one place where it is read. `Status::from_header_map` panics on details that are not base64.
pub(crate) fn code(headers: &HeaderMap) -> Option<Code> {
    find(headers, &Status::GRPC_STATUS).map(|status| Code::from_bytes(status.as_bytes()))
}

/// What `grpc-message` says, its percent-encoding undone; what was badly encoded stays as it came
/// (gRPC over HTTP/2, "Responses").
pub(crate) fn message(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let message = find(headers, &Status::GRPC_MESSAGE)?;
    Some(percent_encoding::percent_decode(message.as_bytes()).decode_utf8_lossy())
}

/// Whether the content type of a request or response is gRPC's, `application/grpc…` (gRPC over HTTP/2,
/// "Content-Type"); `None` if there is none.
pub fn is_grpc(headers: &HeaderMap) -> Option<bool> {
    let kind = find(headers, &http::header::CONTENT_TYPE)?;
    Some(kind.as_bytes().starts_with(b"application/grpc"))
}
