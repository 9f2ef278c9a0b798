//! What the service observed of a call, which it sends back to the test runner.

use http::HeaderMap;
use prost::Name;
use prost_types::Any;
use tonic::Request;
use tonic_call::timeout_of;

use crate::proto::Header;
use crate::proto::conformance_payload::RequestInfo;

/// What is known before the first message.
pub(crate) fn of_head<T>(request: &Request<T>) -> RequestInfo {
    let headers = request.metadata().clone().into_headers();
    let timeout = timeout_of(&headers).ok().flatten();
    RequestInfo {
        request_headers: headers_of(&headers),
        timeout_ms: timeout.and_then(|timeout| timeout.as_millis().try_into().ok()),
        requests: Vec::new(),
        connect_get_info: None,
    }
}

/// What is known of a call with one request.
pub(crate) fn of_request<T: Name>(request: &Request<T>) -> RequestInfo {
    RequestInfo { requests: vec![any(request.get_ref())], ..of_head(request) }
}

/// The message with its type. Encoding into memory cannot fail.
pub(crate) fn any<T: Name>(message: &T) -> Any {
    Any { type_url: T::type_url(), value: message.encode_to_vec() }
}

/// Each name with all its values. Values of binary headers stay in base64.
fn headers_of(headers: &HeaderMap) -> Vec<Header> {
    let value_of =
        |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let header_of = |name: &http::HeaderName| Header {
        name: name.to_string(),
        value: headers.get_all(name).iter().map(value_of).collect(),
    };
    headers.keys().map(header_of).collect()
}
