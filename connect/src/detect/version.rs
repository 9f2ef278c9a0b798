//! The version of the protocol, which also marks a request as Connect's.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method as Verb, request};

use crate::head::CONNECT_PROTOCOL_VERSION;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// Whether only a Connect client sends such a request.
pub(crate) fn is_marked(head: &request::Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let by_query = || {
        let query = head.uri.query().unwrap_or_default();
        head.method == Verb::GET && query.split('&').any(|pair| pair == "connect=v1")
    };
    head.headers.contains_key(CONNECT_PROTOCOL_VERSION)
        || kind.starts_with(b"application/connect+")
        || by_query()
}

pub(crate) fn check_header(settings: &Settings, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut versions = headers.get_all(CONNECT_PROTOCOL_VERSION).iter();
    match (versions.next(), versions.next()) {
        (Some(version), None) if version == "1" => Ok(()),
        (None, _) if !settings.require_version => Ok(()),
        (None, _) => Err(refusal("connect-protocol-version is missing, it must be 1")),
        (Some(_), _) => Err(refusal("unsupported connect-protocol-version, it must be 1")),
    }
}

/// A query with another version is malformed, and not read so far.
pub(crate) fn check_query(settings: &Settings, is_v1: bool) -> Result<(), Refusal> {
    match is_v1 || !settings.require_version {
        true => Ok(()),
        false => Err(refusal("connect is missing in the query, it must be v1")),
    }
}

fn refusal(message: &str) -> Refusal {
    Refusal::invalid("PROTOCOL_VERSION", message)
}
