//! Helpers for reading headers.

use std::borrow::Cow;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};
use tonic::{Code, Status};

/// Up to this number of names, comparing each of them is faster than hashing one. A caller can send hundreds.
const FEW: usize = 24;

/// Up to this position, stepping to the value is also faster than hashing the name.
const NEAR: usize = 8;

/// The first value of a header. Like [`HeaderMap::get`], but faster for the few headers that most requests have.
// With a constant name, each comparison is then a few instructions. The compiler does not see by itself that this pays.
#[inline(always)]
pub fn find<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    if headers.keys_len() > FEW {
        return headers.get(name);
    }
    let position = headers.keys().position(|other| other == name)?;
    if position < NEAR && !has_repeated(headers) {
        return headers.values().nth(position);
    }
    headers.get(name)
}

/// The first value of each of these headers, like [`find`], in one pass over the headers.
#[inline(always)]
pub fn find_each<'h, const N: usize>(
    headers: &'h HeaderMap,
    names: [&HeaderName; N],
) -> [Option<&'h HeaderValue>; N] {
    if headers.len() > FEW {
        return names.map(|name| headers.get(name));
    }
    let mut found = [None; N];
    for (name, value) in headers {
        for (found, wanted) in found.iter_mut().zip(names) {
            if found.is_none() && name == wanted {
                *found = Some(value);
            }
        }
    }
    found
}

/// The value of a header that must not be repeated; the error means that it is.
#[inline]
pub(crate) fn find_single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Repeated> {
    let value = find(headers, name);
    if value.is_some() && has_repeated(headers) && headers.get_all(name).iter().nth(1).is_some() {
        return Err(Repeated);
    }
    Ok(value)
}

/// A header is present more than once.
pub(crate) struct Repeated;

/// Whether any header is present more than once.
fn has_repeated(headers: &HeaderMap) -> bool {
    headers.len() != headers.keys_len()
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

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: HeaderName = HeaderName::from_static("x-wanted");

    /// As many headers as given, with the wanted one at a position, and another one that is repeated.
    fn headers(names: usize, wanted_at: Option<usize>, repeated_at: Option<usize>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for position in 0..names {
            let name = match wanted_at == Some(position) {
                true => WANTED,
                false => HeaderName::try_from(format!("x-{position}")).expect("a name"),
            };
            let value = HeaderValue::from(position);
            if repeated_at == Some(position) {
                headers.append(name.clone(), value.clone());
            }
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn a_header_is_found_wherever_it_is_among_few_and_many() {
        for names in [0, 1, 2, NEAR, FEW - 1, FEW, FEW + 1, 300] {
            for repeated_at in [None, Some(0), Some(names / 2)] {
                let none = headers(names, None, repeated_at);
                assert_eq!(find(&none, &WANTED), None);
                assert!(matches!(find_single(&none, &WANTED), Ok(None)));
                for at in 0..names {
                    let some = headers(names, Some(at), repeated_at);
                    let value = HeaderValue::from(at);
                    assert_eq!(find(&some, &WANTED), Some(&value), "{at} of {names}");
                    let others = [HeaderName::from_static("x-0"), HeaderName::from_static("x-7")];
                    let each = find_each(&some, [&others[0], &WANTED, &others[1]]);
                    let expected = [some.get(&others[0]), Some(&value), some.get(&others[1])];
                    assert_eq!(each, expected, "{at} of {names}, {repeated_at:?}");
                    let single = find_single(&some, &WANTED).map_err(|Repeated| ());
                    let expected = if repeated_at == Some(at) { Err(()) } else { Ok(Some(&value)) };
                    assert_eq!(single, expected, "{at} of {names}, {repeated_at:?}");
                }
            }
        }
    }
}
