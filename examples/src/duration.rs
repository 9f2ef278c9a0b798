//! Durations on the command line: `5`, `5s`, `200ms`, `1m`.

use std::time::Duration;

/// Longer durations are refused: they are a mistake, and adding them to a point in time could overflow.
pub(crate) const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Parses a whole number followed by `ms`, `s`, `m` or `h`; without a unit, seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let duration = parse_any(text)?;
    if duration > MAX {
        return Err("must be at most 24h".to_owned());
    }
    Ok(duration)
}

/// The same, and at least 1 ms.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("must be at least 1ms".to_owned()),
        duration => Ok(duration),
    }
}

/// Parses the lifetime of a token: at least 1 s, and possibly longer than [`MAX`].
pub(crate) fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = parse_any(text)?;
    if lifetime < Duration::from_secs(1) {
        return Err("must be at least 1s".to_owned());
    }
    Ok(lifetime)
}

fn parse_any(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    number
        .parse()
        .ok()
        .filter(|_| milliseconds > 0)
        .and_then(|number: u64| number.checked_mul(milliseconds))
        .map(Duration::from_millis)
        .ok_or_else(|| "must be a whole number and a unit, such as 5s, 200ms or 1m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_and_without_a_unit_are_read() {
        for (text, milliseconds) in [
            ("5", 5_000),
            ("0", 0),
            ("5s", 5_000),
            ("200ms", 200),
            ("1m", 60_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_without_a_panic() {
        for text in [
            "",
            "s",
            "-1",
            "1.5s",
            "5 s",
            "1d",
            "25h",
            "99999999999999999999s",
            "18446744073709551615h",
            "५s",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_limit_is_longer_than_nothing() {
        assert_eq!(parse_positive("1ms"), Ok(Duration::from_millis(1)));
        for text in ["0", "0ms", "0h", "", "25h"] {
            assert!(parse_positive(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_lifetime_can_be_longer_than_a_day_but_not_nothing() {
        assert_eq!(parse_lifetime("168h"), Ok(Duration::from_secs(604_800)));
        for text in ["0", "999ms", "", "18446744073709551615h"] {
            assert!(parse_lifetime(text).is_err(), "{text:?}");
        }
    }
}
