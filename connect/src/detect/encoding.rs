//! The compression that a request names.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderName};
use tonic::Status;

use crate::head::{CONNECT_ACCEPT_ENCODING, CONNECT_CONTENT_ENCODING};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// Whether the request's body or envelopes are compressed with gzip.
pub(crate) fn of_request(
    settings: &Settings,
    headers: &HeaderMap,
    is_stream: bool,
) -> Result<bool, Refusal> {
    let name = if is_stream { CONNECT_CONTENT_ENCODING } else { CONTENT_ENCODING };
    if is_stream && is_set(headers, &CONTENT_ENCODING) {
        let message = "content-encoding is not supported here: a stream names the compression of \
                       its messages in connect-content-encoding";
        return Err(Refusal::new("COMPRESSION", Status::unimplemented(message)));
    }
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(false) };
    match value.to_str() {
        Ok(value) if values.next().is_none() => named(settings, value),
        _ => Err(unknown(settings)),
    }
}

fn is_set(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().any(|value| !value.is_empty() && value != "identity")
}

/// Whether this is the name of gzip.
pub(crate) fn named(settings: &Settings, name: &str) -> Result<bool, Refusal> {
    match name {
        "" | "identity" => Ok(false),
        "gzip" if settings.compression => Ok(true),
        _ => Err(unknown(settings)),
    }
}

fn unknown(settings: &Settings) -> Refusal {
    let supported = if settings.compression { "gzip and identity" } else { "identity" };
    let message = format!("unknown compression: the supported encodings are {supported}");
    Refusal::new("COMPRESSION", Status::unimplemented(message))
}

/// Whether an answer may be compressed with gzip.
pub(crate) fn accepts_gzip(settings: &Settings, headers: &HeaderMap, is_stream: bool) -> bool {
    let name = if is_stream { CONNECT_ACCEPT_ENCODING } else { ACCEPT_ENCODING };
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    settings.compression && values.flat_map(|value| value.split(',')).any(is_gzip)
}

/// Connect has no weights, but a browser may send them (RFC 9110, 12.4.2).
fn is_gzip(item: &str) -> bool {
    let mut parts = item.split(';').map(str::trim);
    let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
    let is_refused = |part: &str| {
        let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
        weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
    };
    is_gzip && !parts.any(is_refused)
}

#[cfg(test)]
mod tests {
    use super::is_gzip;

    #[test]
    fn gzip_is_accepted_unless_its_weight_is_zero() {
        for item in ["gzip", " GZIP ", "gzip;q=1", "gzip; q=0.1", "gzip;q=1.0"] {
            assert!(is_gzip(item), "{item}");
        }
        for item in ["", "br", "x-gzip", "gzip;q=0", "gzip; q=0.0", "gzip;Q=0.000"] {
            assert!(!is_gzip(item), "{item}");
        }
    }
}
