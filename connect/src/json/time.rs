//! `google.protobuf.Timestamp` and `Duration` as text.

use std::io::Write as _;

/// The seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About 10,000 years.
const MAX_DURATION: i64 = 315_576_000_000;

/// Seconds and nanoseconds, both of the same sign.
pub(super) type Time = (i64, i32);

/// A timestamp as RFC 3339 defines it, with `T` and `Z` in upper case.
pub(super) fn parse_timestamp(text: &str) -> Option<Time> {
    let bytes = text.as_bytes();
    let number = |at: usize, len: usize| {
        let digits = bytes.get(at..at + len)?;
        digits.iter().try_fold(0, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, separator)| bytes.get(at) != Some(&separator)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let rest = text.get(19..)?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let len = rest.bytes().take_while(u8::is_ascii_digit).count();
            (fraction(&rest[..len])?, &rest[len..])
        }
        None => (0, rest),
    };
    let offset = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), ..] if zone.len() == 6 && zone.as_bytes()[3] == b':' => {
            let at = text.len() - 5;
            let (hours, minutes) = (number(at, 2)?, number(at + 3, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'+' { 60 } else { -60 }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    TIMESTAMPS.contains(&seconds).then_some((seconds, nanos))
}

/// Appends a timestamp in quotes. `false` if it is out of range.
pub(super) fn write_timestamp((seconds, nanos): Time, out: &mut Vec<u8>) -> bool {
    if !TIMESTAMPS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return false;
    }
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let mut text = *b"\"0000-00-00T00:00:00";
    let parts = [(1..5, year), (6..8, month), (9..11, day)];
    for (place, number) in
        parts.into_iter().chain([(12..14, hour), (15..17, minute), (18..20, second)])
    {
        set_digits(number, &mut text[place]);
    }
    out.extend_from_slice(&text);
    write_fraction(nanos, out);
    out.extend_from_slice(b"Z\"");
    true
}

/// A duration in seconds: `1.5s`.
pub(super) fn parse_duration(text: &str) -> Option<Time> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(number) => (-1, number),
        None => (1, text),
    };
    let number = number.strip_suffix('s')?;
    let (seconds, nanos) = match number.split_once('.') {
        Some((seconds, digits)) => (seconds, fraction(digits)?),
        None => (number, 0),
    };
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = seconds.parse().ok().filter(|&seconds: &i64| seconds <= MAX_DURATION)?;
    Some((sign * seconds, sign as i32 * nanos))
}

/// Appends a duration in quotes. `false` if it is out of range or its parts differ in sign.
pub(super) fn write_duration((seconds, nanos): Time, out: &mut Vec<u8>) -> bool {
    let (whole, part) = (seconds.unsigned_abs(), nanos.unsigned_abs());
    let in_range = whole <= MAX_DURATION as u64 && part < 1_000_000_000;
    if !in_range || (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0) {
        return false;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    // A `Vec` takes all that is written.
    let _ = write!(out, "\"{sign}{whole}");
    write_fraction(part as i32, out);
    out.extend_from_slice(b"s\"");
    true
}

/// Nanoseconds from one to nine digits.
fn fraction(digits: &str) -> Option<i32> {
    if !matches!(digits.len(), 1..=9) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i32 = digits.parse().ok()?;
    Some(value * 10_i32.pow(9 - digits.len() as u32))
}

/// Appends nothing, or three, six or nine digits.
fn write_fraction(nanos: i32, out: &mut Vec<u8>) {
    let (number, digits) = match nanos {
        0 => return,
        _ if nanos % 1_000_000 == 0 => (nanos / 1_000_000, 3),
        _ if nanos % 1_000 == 0 => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    let mut text = *b".000000000";
    let text = &mut text[..1 + digits];
    set_digits(number.into(), &mut text[1..]);
    out.extend_from_slice(text);
}

/// Sets these to the last digits of a number that is not negative.
fn set_digits(mut number: i64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years begin in March here, so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day, the other way round.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
