//! `connect-timeout-ms`.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::head::CONNECT_TIMEOUT_MS;
use crate::refusal::Refusal;

/// The time that the caller waits. Zero has already expired, as in gRPC.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let mut values = headers.get_all(CONNECT_TIMEOUT_MS).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value).map(Some).ok_or_else(malformed),
        (Some(_), Some(_)) => Err(malformed()),
    }
}

fn malformed() -> Refusal {
    Refusal::invalid("TIMEOUT", "malformed connect-timeout-ms: not one to ten digits")
}

/// Connect, "Unary-Request": at most ten digits.
fn parse(value: &HeaderValue) -> Option<Duration> {
    let digits = value.as_bytes();
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    let millis = digits.iter().try_fold(0, |millis, digit| {
        digit.is_ascii_digit().then(|| millis * 10 + u64::from(digit - b'0'))
    });
    millis.map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_ten_digits_are_a_timeout() {
        for (value, millis) in
            [("0", Some(0)), ("0500", Some(500)), ("9999999999", Some(9_999_999_999))]
        {
            let read = parse(&HeaderValue::from_static(value));
            assert_eq!(read, millis.map(Duration::from_millis), "{value}");
        }
        for value in ["", "12345678901", "-1", "+1", "1.5", "1m", " 1", "abc"] {
            assert_eq!(parse(&HeaderValue::from_static(value)), None, "{value}");
        }
    }
}
