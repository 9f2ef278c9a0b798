//! W3C Baggage: values that are passed on with a call from service to service.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::baggage::{Baggage, BaggageExt as _, BaggageMetadata};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use tonic_call::find_header;

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The largest size of all headers together. Members beyond it are dropped (W3C Baggage, "Limits").
const MAX_BAGGAGE_BYTES: usize = 8_192;

/// Characters that must be encoded: those that are not a `baggage-octet`, and `%` ("Header Content").
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// The baggage of a request; `None` if it is empty. Malformed members are ignored.
pub(crate) fn extract(headers: &HeaderMap) -> Option<Baggage> {
    find_header(headers, &BAGGAGE)?;
    let headers = headers.get_all(BAGGAGE).iter();
    let mut baggage = Baggage::new();
    let mut bytes = 0;
    for member in headers.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')) {
        bytes += member.len() + 1;
        if bytes > MAX_BAGGAGE_BYTES + 1 {
            break;
        }
        if let Some((key, value, properties)) = parse(member) {
            baggage.insert_with_metadata(
                key.to_owned(),
                value.into_owned(),
                BaggageMetadata::from(properties),
            );
        }
    }
    (!baggage.is_empty()).then_some(baggage)
}

/// Sets the header to the baggage of the context. Without baggage the headers are left unchanged.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    let mut list = String::new();
    for (key, (value, metadata)) in context.baggage() {
        let before = list.len();
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(key.as_str());
        list.push('=');
        list.extend(utf8_percent_encode(value.as_str(), ENCODED));
        let properties = properties(metadata.as_str());
        if !properties.is_empty() {
            list.push(';');
            list.push_str(&properties);
        }
        if list.len() > MAX_BAGGAGE_BYTES {
            list.truncate(before);
        }
    }
    if !list.is_empty()
        && let Ok(list) = HeaderValue::try_from(list)
    {
        headers.insert(BAGGAGE, list);
    }
}

/// Parses `key=value;property;property=value`, with optional spaces around each.
fn parse(member: &str) -> Option<(&str, Cow<'_, str>, String)> {
    let (pair, more) = member.split_once(';').unwrap_or((member, ""));
    let (key, value) = pair.split_once('=')?;
    let value = value.trim();
    // The library checks that the key is a token.
    let is_valid = value.chars().all(is_octet);
    is_valid.then(|| (key.trim(), percent_decode_str(value).decode_utf8_lossy(), properties(more)))
}

/// The well-formed properties.
fn properties(text: &str) -> String {
    let mut all = String::new();
    for property in text.split(';').map(str::trim).filter(|property| is_property(property)) {
        if !all.is_empty() {
            all.push(';');
        }
        all.push_str(property);
    }
    all
}

/// Whether it is a key, or a key with a value.
fn is_property(text: &str) -> bool {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let (key, value) = (key.trim_end(), value.trim_start());
    !key.is_empty() && key.chars().all(is_token) && value.chars().all(is_octet)
}

/// The characters of a key (RFC 9110 §5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The characters of a value.
fn is_octet(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | ',' | ';' | '\\')
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_str(value).expect("a header"));
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(BAGGAGE, value);
        }
        headers
    }

    fn taken(values: &[&str]) -> Vec<(String, String, String)> {
        let baggage = extract(&headers(values)).unwrap_or_default();
        let mut all: Vec<_> = baggage
            .iter()
            .map(|(key, (value, more))| (key.to_string(), value.to_string(), more.to_string()))
            .collect();
        all.sort();
        all
    }

    fn sent(context: &Context) -> String {
        let mut headers = HeaderMap::new();
        inject(context, &mut headers);
        headers
            .get(BAGGAGE)
            .map(|value| value.to_str().expect("text").to_owned())
            .unwrap_or_default()
    }

    fn member(key: &str, value: &str, properties: &str) -> (String, String, String) {
        (key.into(), value.into(), properties.into())
    }

    #[test]
    fn members_of_all_headers_are_taken() {
        assert_eq!(extract(&HeaderMap::new()).map(|baggage| baggage.len()), None);
        assert_eq!(
            taken(&["a=1 , b = x=y;p;q=2", "c=d%20%25"]),
            [member("a", "1", ""), member("b", "x=y", "p;q=2"), member("c", "d %", "")]
        );
        assert_eq!(taken(&["a=%FFx"]), [member("a", "\u{fffd}x", "")]);
        assert_eq!(taken(&["a="]), [member("a", "", "")]);
    }

    #[test]
    fn a_malformed_member_is_left_out_alone() {
        for bad in ["b", "=1", "b c=1", "b=\"1\"", "b=1 2", "b(=1", "", "b=\\"] {
            assert_eq!(
                taken(&[&format!("a=1,{bad},c=3")]),
                [member("a", "1", ""), member("c", "3", "")],
                "{bad}"
            );
        }
    }

    #[test]
    fn a_malformed_property_is_left_out_alone() {
        for bad in ["[", "p=\"x\"", "p q", "=1", "", "p=a b"] {
            assert_eq!(taken(&[&format!("a=1;x;{bad};y=2")]), [member("a", "1", "x;y=2")], "{bad}");
        }
    }

    #[test]
    fn no_more_than_the_limits_is_taken_or_sent() {
        let many: Vec<_> = (0..100).map(|number| format!("k{number}=v")).collect();
        assert_eq!(taken(&[&many.join(",")]).len(), 64);
        let long: Vec<_> =
            (0..5).map(|number| format!("k{number}={}", "x".repeat(2_000))).collect();
        assert_eq!(taken(&[&long.join(",")]).len(), 4);
        assert_eq!(taken(&[&long[..2].join(","), &long[2..].join(",")]).len(), 4);

        // Encoded, it is three times as long.
        let spaces = KeyValue::new("spaces", " ".repeat(4_000));
        let context = Context::new().with_baggage([spaces, KeyValue::new("a", "1")]);
        assert_eq!(sent(&context), "a=1");
    }

    #[test]
    fn what_is_sent_is_what_was_taken() {
        let value = "a,b;c=\"d\\e\" f%2G ü\u{1f980}";
        let context = Context::new().with_baggage([KeyValue::new("k", value)]);
        let header = sent(&context);
        assert_eq!(taken(&[&header]), [member("k", value, "")]);
        let context =
            Context::new().with_baggage(extract(&headers(&["k=v;p=1"])).expect("baggage"));
        assert_eq!(sent(&context), "k=v;p=1");
        assert_eq!(sent(&Context::new()), "");
    }
}
