//! Numbers of JSON, exactly.

/// Why a number is not an integer of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotInteger {
    Malformed,
    Fraction,
    Range,
}

/// Sign, digits before the point, digits after it, exponent.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: &'a str,
}

/// The parts of a number by the grammar of RFC 8259, or `None`.
fn parts(text: &str) -> Option<Parts<'_>> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.bytes().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, "0"),
    };
    let (whole, fraction) = match mantissa.bytes().position(|byte| byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, "0"),
    };
    let well_formed = digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && digits(fraction)
        && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    well_formed.then_some(Parts { negative, whole, fraction, exponent })
}

/// Whether this is a number of JSON.
pub(super) fn is_json(text: &str) -> bool {
    digits(text.as_bytes()).is_some() || parts(text).is_some()
}

/// The number that at most 18 digits are, if they are nothing else and do not begin with a needless zero.
fn digits(text: &[u8]) -> Option<i64> {
    let is_plain = matches!(text, [b'1'..=b'9', ..] | [b'0']) && text.len() <= 18;
    if !is_plain {
        return None;
    }
    text.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// The integer that this number is: `1`, `1.0` and `1e0` are one. It takes no floating-point number on its way, so
/// that no digit is lost, and it does not expand an exponent.
pub(super) fn integer(text: &str) -> Result<i128, NotInteger> {
    if let Some(value) = digits(text.as_bytes()) {
        return Ok(value.into());
    }
    let Parts { negative, whole, fraction, exponent } = parts(text).ok_or(NotInteger::Malformed)?;
    let fraction = fraction.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    // The significant digits, without zeros at either end.
    let (first, second) =
        if fraction.is_empty() { (whole.trim_end_matches('0'), "") } else { (whole, fraction) };
    let second_trimmed = if first.is_empty() { second.trim_start_matches('0') } else { second };
    let digits = first.len() + second_trimmed.len();
    if digits == 0 {
        return Ok(0);
    }
    // An exponent that does not fit is larger than any text is long.
    let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') {
        i64::MIN / 2
    } else {
        i64::MAX / 2
    });
    let zeros = exponent + (whole.len() - first.len()) as i64 - fraction.len() as i64;
    if zeros < 0 {
        return Err(NotInteger::Fraction);
    }
    if zeros > 20 || digits + zeros as usize > 20 {
        return Err(NotInteger::Range);
    }
    let value = first
        .bytes()
        .chain(second_trimmed.bytes())
        .fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
    let value = value * 10_i128.pow(zeros as u32);
    Ok(if negative { -value } else { value })
}
