//! Translates the heads of requests and responses.

mod length;
mod request;
mod response;

use http::{HeaderMap, HeaderName};

pub(crate) use self::length::content_length;
pub(crate) use self::request::translate_request;
pub(crate) use self::response::{prefix_trailers, strip_head, strip_trailers};

pub(crate) const CONNECT_PROTOCOL_VERSION: HeaderName =
    HeaderName::from_static("connect-protocol-version");
pub(crate) const CONNECT_TIMEOUT_MS: HeaderName = HeaderName::from_static("connect-timeout-ms");
pub(crate) const CONNECT_CONTENT_ENCODING: HeaderName =
    HeaderName::from_static("connect-content-encoding");
pub(crate) const CONNECT_ACCEPT_ENCODING: HeaderName =
    HeaderName::from_static("connect-accept-encoding");

/// Removes these headers. A head has few of them: to look at each takes less time than a lookup for each that may be
/// there.
fn remove(headers: &mut HeaderMap, is_removed: fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_removed(name.as_str())).cloned() {
        headers.remove(name);
    }
}
