use std::time::{Duration, SystemTime};

use serde_json::Number;

/// The end of the year 9999. What lies behind it is as far as that: sums with it can't overflow.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// A point in time as a token writes it: seconds since 1970, with a fraction if need be (RFC 7519
/// §2). Never before 1970 and never after the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date(Duration);

impl Date {
    pub(crate) fn from_number(number: &Number) -> Self {
        let since = match number.as_u64() {
            Some(seconds) => Duration::from_secs(seconds.min(LAST.as_secs())),
            // Whatever is left is negative, a fraction, or huge; a number of JSON is never NaN. With
            // arbitrary precision it may be too huge for a float.
            None => match number.as_f64() {
                Some(seconds) if seconds > 0.0 => {
                    Duration::from_secs_f64(seconds.min(LAST.as_secs_f64()))
                }
                None if !number.to_string().starts_with('-') => LAST,
                _ => Duration::ZERO,
            },
        };
        Self(since)
    }

    pub(crate) fn from_time(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST))
    }

    pub(crate) fn plus(self, more: Duration) -> Self {
        Self(self.0.saturating_add(more).min(LAST))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since 1970.
    pub(crate) fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    pub(crate) fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(self.0).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        Date::from_number(&serde_json::from_str(text).expect("a number"))
    }

    #[test]
    fn rule_12_a_date_may_have_a_fraction() {
        assert_eq!(date("1700000000.25"), Date(Duration::from_millis(1_700_000_000_250)));
        assert!(date("1700000000") < date("1700000000.25"));
        assert_eq!(date("1.7e9"), date("1700000000"));
    }

    #[test]
    fn no_date_overflows() {
        for huge in ["1e308", "18446744073709551615", "18446744073709551616", "253402300800"] {
            assert_eq!(date(huge), Date(LAST), "{huge}");
            assert_eq!(date(huge).plus(Duration::MAX), Date(LAST), "{huge}");
            assert!(date(huge).time() > SystemTime::now());
        }
        for early in ["-1", "-1e308", "-9223372036854775808", "0", "-0.5", "5e-324"] {
            assert_eq!(date(early), Date(Duration::ZERO), "{early}");
        }
        assert_eq!(date("1").since(date("2")), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_stands_before_1970_is_at_1970() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(Date::from_time(early), Date(Duration::ZERO));
    }
}
