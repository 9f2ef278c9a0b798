//! Helpers for reading headers.

use std::borrow::Cow;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};
use tonic::{Code, Status};

/// Up to this number, headers are compared one by one, which is faster than hashing a name.
const FEW: usize = 16;

/// The first value of a header.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if headers.len() <= FEW {
        headers.iter().find_map(|(other, value)| (other == name).then_some(value))
    } else {
        headers.get(name)
    }
}

/// The code in `grpc-status`; `Unknown` if gRPC does not define the value.
///
/// The only place that reads it. `Status::from_header_map` panics on details that are not base64.
pub(crate) fn code(headers: &HeaderMap) -> Option<Code> {
    find(headers, &Status::GRPC_STATUS).map(|status| Code::from_bytes(status.as_bytes()))
}

/// The text of `grpc-message`, percent-decoded; malformed escapes are left unchanged (gRPC over HTTP/2,
/// "Responses").
pub(crate) fn message(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let message = find(headers, &Status::GRPC_MESSAGE)?;
    Some(percent_encoding::percent_decode(message.as_bytes()).decode_utf8_lossy())
}

/// Whether a request is a CORS preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method` (WHATWG
/// Fetch, "CORS-preflight request"). It never has credentials. A CORS layer must answer it; a tonic service
/// would run the method.
pub fn is_preflight(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
