//! Durations as JSON has them in protobuf: `"1.5s"`.

use std::time::Duration;

/// About 10,000 years (`google.protobuf.Duration`).
const MAX_SECONDS: u64 = 315_576_000_000;

/// Reads digits, optionally a dot and up to nine digits more, and `s`. `None` for anything else, including a negative
/// duration.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let all_digits = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if !all_digits(seconds) || !all_digits(fraction) || !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let seconds = seconds.parse().ok().filter(|seconds| *seconds <= MAX_SECONDS)?;
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    let duration = Duration::new(seconds, nanos);
    (duration <= Duration::from_secs(MAX_SECONDS)).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_their_fractions_are_read() {
        for (text, nanos) in [
            ("0s", 0),
            ("1s", 1_000_000_000),
            ("0.1s", 100_000_000),
            ("1.5s", 1_500_000_000),
            ("2.000000001s", 2_000_000_001),
            ("007s", 7_000_000_000),
        ] {
            assert_eq!(parse(text).map(|read| read.as_nanos()), Some(nanos), "{text}");
        }
        assert_eq!(parse("315576000000s"), Some(Duration::from_secs(MAX_SECONDS)));
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "s",
            "1",
            "1.5",
            "-1s",
            "+1s",
            ".5s",
            "1.s",
            "1.5.5s",
            "1 s",
            " 1s",
            "1S",
            "1ms",
            "1,5s",
            "0.0000000001s",
            "1e3s",
            "315576000000.1s",
            "315576000001s",
            "99999999999999999999s",
            "١s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
