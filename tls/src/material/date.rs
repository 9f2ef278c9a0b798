//! How times are shown.

use std::time::SystemTime;

use x509_parser::time::ASN1Time;

/// A time in the form of RFC 3339, in UTC: `2026-11-27T16:20:16Z`.
pub(crate) fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map(|after| after.as_secs()).map_err(|before| before.duration().as_secs());
    let seconds = seconds.map_or_else(|s| i64::try_from(s).map(|s| -s), i64::try_from);
    let Some(time) = seconds.ok().and_then(|s| ASN1Time::from_timestamp(s).ok()) else {
        return "an unknown time".to_owned();
    };
    let time = time.to_datetime();
    let (date, clock) = (time.date(), time.time());
    format!("{date}T{:02}:{:02}:{:02}Z", clock.hour(), clock.minute(), clock.second())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_shown_as_in_rfc_3339() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date(at(0)), "1970-01-01T00:00:00Z");
        assert_eq!(date(at(1_795_796_416)), "2026-11-27T16:20:16Z");
        assert_eq!(date(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1969-12-31T23:59:59Z");
    }
}
