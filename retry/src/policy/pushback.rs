use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// The header by which a server says when to try again (gRFC A6, "Pushback").
const HEADER: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What a server says of the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    /// Wait exactly this time.
    After(Duration),
    /// Make no other attempt.
    Stop,
}

impl Pushback {
    /// Reads the head of a trailers-only response. A number of milliseconds that is negative, or malformed, or not the
    /// only one, is a stop.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(HEADER).iter();
        let value = values.next()?.as_bytes();
        if values.next().is_some() {
            return Some(Self::Stop);
        }
        Some(parse(value).map_or(Self::Stop, |millis| Self::After(Duration::from_millis(millis))))
    }
}

/// A 32-bit signed integer that is not negative, without a sign and without zeros before it.
fn parse(value: &[u8]) -> Option<u64> {
    let canonical = matches!(value, [b'0'] | [b'1'..=b'9', ..]);
    let digits = value.iter().all(u8::is_ascii_digit);
    let number: i32 =
        std::str::from_utf8(value).ok().filter(|_| canonical && digits)?.parse().ok()?;
    u64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&'static [u8]]) -> Option<Pushback> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).expect("a header"));
        }
        Pushback::of(&headers)
    }

    #[test]
    fn milliseconds_are_a_wait() {
        assert_eq!(of(&[]), None);
        for (value, millis) in
            [(&b"0"[..], 0), (b"1", 1), (b"2500", 2_500), (b"2147483647", 2_147_483_647)]
        {
            assert_eq!(of(&[value]), Some(Pushback::After(Duration::from_millis(millis))));
        }
    }

    #[test]
    fn anything_else_is_a_stop() {
        for value in [
            &b"-1"[..],
            b"",
            b"-0",
            b"+1",
            b"007",
            b"00",
            b"1.5",
            b"1 ",
            b"1s",
            b"soon",
            b"2147483648",
            b"\xff",
        ] {
            assert_eq!(of(&[value]), Some(Pushback::Stop), "{value:?}");
        }
        assert_eq!(of(&[b"1", b"1"]), Some(Pushback::Stop));
    }
}
