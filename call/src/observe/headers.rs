//! Reading headers.

use std::borrow::Cow;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};
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

/// Whether a request is a CORS preflight: `OPTIONS`, from an origin, about another verb (WHATWG Fetch,
/// "CORS-preflight request"). It never has credentials, and is for a CORS layer to answer; a tonic
/// service would run its method.
pub fn is_preflight(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
