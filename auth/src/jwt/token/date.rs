use std::time::{Duration, SystemTime};

use serde_json::Number;

/// The last second of the year 9999. Later dates are refused, and sums saturate here, so that none can overflow.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// A date in a token: seconds since 1970, possibly with a fraction (RFC 7519 §2). Not before 1970 and not after the
/// year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date(Duration);

impl Date {
    /// `None` for a date before 1970 or after the year 9999: it is a mistake (for example milliseconds), or an
    /// attempt to create a token that never expires.
    pub(crate) fn from_number(number: &Number) -> Option<Self> {
        let since = match number.as_u64() {
            Some(seconds) => Duration::from_secs(seconds),
            // A fraction, negative or huge. With arbitrary precision it can be too huge for a float.
            None => Duration::try_from_secs_f64(number.as_f64()?).ok()?,
        };
        (since <= LAST).then_some(Self(since))
    }

    /// As [`from_number`](Self::from_number), for the start of a validity: dates before 1970 become 1970.
    pub(crate) fn start_from_number(number: &Number) -> Option<Self> {
        let is_early = number.as_f64().is_some_and(|at| (-LAST.as_secs_f64()..0.0).contains(&at));
        if is_early { Some(Self(Duration::ZERO)) } else { Self::from_number(number) }
    }

    pub(crate) fn from_time(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST))
    }

    pub(crate) fn plus(self, more: Duration) -> Self {
        Self(self.0.saturating_add(more).min(LAST))
    }

    pub(crate) fn minus(self, less: Duration) -> Self {
        Self(self.0.saturating_sub(less))
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

    fn read(text: &str) -> Option<Date> {
        Date::from_number(&serde_json::from_str(text).expect("a number"))
    }

    fn date(text: &str) -> Date {
        read(text).expect(text)
    }

    #[test]
    fn rule_12_a_date_may_have_a_fraction() {
        assert_eq!(date("1700000000.25"), Date(Duration::from_millis(1_700_000_000_250)));
        assert!(date("1700000000") < date("1700000000.25"));
        assert_eq!(date("1.7e9"), date("1700000000"));
        for zero in ["0", "-0", "-0.0", "5e-324"] {
            assert_eq!(date(zero), Date(Duration::ZERO), "{zero}");
        }
    }

    #[test]
    fn rule_11_a_date_lies_between_1970_and_9999() {
        assert_eq!(date("253402300799"), Date(LAST));
        for odd in [
            "253402300800",
            "253402300799.5",
            "1800000000000",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "-1e300",
            "-1",
            "-0.5",
            "-9223372036854775808",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn rule_12_what_is_good_from_before_1970_on_is_good() {
        let start = |text| Date::start_from_number(&serde_json::from_str(text).expect("a number"));
        assert_eq!(start("-5"), Some(Date(Duration::ZERO)));
        assert_eq!(start("1700000000.25"), Some(date("1700000000.25")));
        for odd in ["-1e300", "-253402300800", "253402300800", "1e300"] {
            assert_eq!(start(odd), None, "{odd}");
        }
    }

    #[test]
    fn no_sum_overflows() {
        assert_eq!(date("1").plus(Duration::MAX), Date(LAST));
        assert!(date("253402300799").time() > SystemTime::now());
        assert_eq!(date("1").since(date("2")), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_stands_before_1970_is_at_1970() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(Date::from_time(early), Date(Duration::ZERO));
    }
}
