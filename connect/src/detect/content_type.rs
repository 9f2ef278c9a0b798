//! The content types of Connect.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::codec::Codec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) codec: Codec,
    pub(crate) is_stream: bool,
}

/// The kind that the content type names; `None` if there is none, or it is not one of Connect's.
pub(crate) fn read(headers: &HeaderMap) -> Option<Kind> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    // Most have no parameters.
    match value.as_bytes() {
        b"application/json" => return Some(Kind { codec: Codec::Json, is_stream: false }),
        b"application/proto" => return Some(Kind { codec: Codec::Proto, is_stream: false }),
        _ => {}
    }
    let mut parts = value.to_str().ok()?.split(';').map(str::trim);
    let mut kind = Cow::Borrowed(parts.next()?);
    if kind.bytes().any(|byte| byte.is_ascii_uppercase()) {
        kind.to_mut().make_ascii_lowercase();
    }
    // Text is always UTF-8 here, and clients like to name it.
    if !parts.all(|part| part.is_empty() || is_utf8(part)) {
        return None;
    }
    let name = kind.strip_prefix("application/")?;
    let (name, is_stream) = match name.strip_prefix("connect+") {
        Some(name) => (name, true),
        None => (name, false),
    };
    Some(Kind { codec: Codec::named(name)?, is_stream })
}

fn is_utf8(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.eq_ignore_ascii_case("charset")
            && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// What a method accepts, for `Accept-Post`.
pub(crate) fn accepted(is_unary: bool) -> &'static str {
    if is_unary {
        "application/json, application/proto, application/grpc, application/grpc+proto"
    } else {
        "application/connect+json, application/connect+proto, application/grpc, \
         application/grpc+proto"
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn kind(value: &'static str) -> Option<Kind> {
        read(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
    }

    #[test]
    fn content_types_are_read_in_any_case_and_with_utf_8() {
        for (value, codec, is_stream) in [
            ("application/json", Codec::Json, false),
            ("Application/JSON; charset=UTF-8", Codec::Json, false),
            ("application/json;charset=\"utf-8\"", Codec::Json, false),
            ("application/proto", Codec::Proto, false),
            ("application/connect+json", Codec::Json, true),
            ("application/connect+proto", Codec::Proto, true),
        ] {
            assert_eq!(kind(value), Some(Kind { codec, is_stream }), "{value}");
        }
    }

    #[test]
    fn other_content_types_are_not_connects() {
        for value in [
            "",
            "application/json; charset=latin1",
            "application/json, application/proto",
            "application/connect+xml",
            "application/connect",
            "application/protobuf",
            "text/json",
            "connect+json",
        ] {
            assert_eq!(kind(value), None, "{value}");
        }
        let twice = ["application/json", "application/json"];
        let twice = twice.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in twice {
            headers.append(name, value);
        }
        assert_eq!(read(&headers), None);
    }
}
