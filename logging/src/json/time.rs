//! The time of a line.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::buffer::LineBuffer;

/// `1970-01-01T00:00:00.000000Z`
type Text = [u8; 27];

const MICROS: std::ops::Range<usize> = 20..26;
const NANOS_PER_SECOND: u32 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

thread_local! {
    /// The text of the last second, and that second. It has no destructor, so it is there until the thread ends.
    static LAST: Cell<(i64, Text)> = const { Cell::new((0, *b"1970-01-01T00:00:00.000000Z")) };
}

/// The time as in RFC 3339, in UTC, with microseconds: `2026-11-22T15:04:05.123456Z`.
///
/// The text is that of tracing-subscriber's `SystemTime`. The date is rendered once per second and thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcMicros;

impl FormatTime for UtcMicros {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        match text_of(SystemTime::now()) {
            Ok(text) => writer.write_str(str::from_utf8(&text).unwrap_or_default()),
            Err(text) => writer.write_str(&text),
        }
    }
}

/// Appends a time in UTC, with microseconds, as in RFC 3339.
///
/// A year after 9999 has a plus sign, and one before 0 a minus sign, as in tracing-subscriber's `SystemTime`.
pub(crate) fn timestamp(line: &mut LineBuffer, time: SystemTime) {
    match text_of(time) {
        Ok(text) => line.push_ascii(&text),
        Err(text) => line.push_str(&text),
    }
}

/// The text that [`timestamp`] appends; the error is that of a year whose text has another length.
fn text_of(time: SystemTime) -> Result<Text, String> {
    let (second, nanos) = since_epoch(time);
    let (last, mut text) = LAST.get();
    if second != last {
        text = render(second).ok_or_else(|| uncommon_year(second, nanos))?;
        LAST.set((second, text));
    }
    set_digits(&mut text[MICROS], nanos / 1_000);
    Ok(text)
}

/// Whole seconds, rounded down, and the nanoseconds after them.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (seconds(after), after.subsec_nanos()),
        Err(error) => match error.duration() {
            before if before.subsec_nanos() == 0 => (-seconds(before), 0),
            before => (-seconds(before) - 1, NANOS_PER_SECOND - before.subsec_nanos()),
        },
    }
}

/// The text of a second, with zeros for the microseconds; `None` if the year does not have four digits.
fn render(second: i64) -> Option<Text> {
    let (year, month, day) = date(second.div_euclid(SECONDS_PER_DAY));
    let year = u32::try_from(year).ok().filter(|year| *year <= 9_999)?;
    let [hours, minutes, seconds] = time_of_day(second);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    set_digits(&mut text[..4], year);
    let parts = [(5, month), (8, day), (11, hours), (14, minutes), (17, seconds)];
    for (start, part) in parts {
        set_digits(&mut text[start..start + 2], part);
    }
    Some(text)
}

#[cold]
fn uncommon_year(second: i64, nanos: u32) -> String {
    let (year, month, day) = date(second.div_euclid(SECONDS_PER_DAY));
    let [hours, minutes, seconds] = time_of_day(second);
    let micros = nanos / 1_000;
    let sign = if year > 9_999 { "+" } else { "" };
    let date = format_args!("{sign}{year:05}-{month:02}-{day:02}");
    format!("{date}T{hours:02}:{minutes:02}:{seconds:02}.{micros:06}Z")
}

fn time_of_day(second: i64) -> [u32; 3] {
    let second = second.rem_euclid(SECONDS_PER_DAY) as u32;
    [second / 3_600, second / 60 % 60, second % 60]
}

/// The year, month and day of a day that is counted from 1970-01-01, in the Gregorian calendar.
///
/// The algorithm is Howard Hinnant's `civil_from_days`: a year starts in March, so that a leap day is its last day.
fn date(day: i64) -> (i64, u32, u32) {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    // From 0000-03-01 to 1970-01-01.
    let day = day + 719_468;
    let era = day.div_euclid(DAYS_PER_400_YEARS);
    let day = day.rem_euclid(DAYS_PER_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next_year, month as u32, day_of_month as u32)
}

fn set_digits(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, nanos: u32) -> String {
        let whole = Duration::from_secs(second.unsigned_abs());
        let time = if second < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
        let mut line = LineBuffer::default();
        timestamp(&mut line, time + Duration::from_nanos(nanos.into()));
        line.text_from(0).to_owned()
    }

    #[test]
    fn the_text_is_that_of_rfc_3339() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_400, 1_999), "2000-02-29T00:00:00.000001Z");
        assert_eq!(at(1_763_823_845, 123_456_789), "2025-11-22T15:04:05.123456Z");
        assert_eq!(at(4_107_542_399, 999_999_999), "2100-02-28T23:59:59.999999Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
        assert_eq!(at(253_402_300_799, 0), "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn years_of_other_lengths_have_a_sign() {
        assert_eq!(at(-1, 999_999_000), "1969-12-31T23:59:59.999999Z");
        assert_eq!(at(-62_167_219_200, 0), "0000-01-01T00:00:00.000000Z");
        assert_eq!(at(-62_167_219_201, 0), "-0001-12-31T23:59:59.000000Z");
        assert_eq!(at(253_402_300_800, 0), "+10000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_clock_that_goes_back_is_followed() {
        for second in [100, 101, 100, 253_402_300_800, 100] {
            assert_eq!(at(second, 0), at(second, 0));
            assert!(at(second, 5_000).ends_with(".000005Z"));
        }
        assert_eq!(at(100, 0), "1970-01-01T00:01:40.000000Z");
    }

    /// Days one after the other, from year -400 to 10400: each date follows the one before it.
    #[test]
    fn days_follow_each_other() {
        let mut last = date(-865_625);
        assert_eq!(last, (-400, 1, 1));
        for day in -865_624..=3_079_000 {
            let (year, month, day_of_month) = last;
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = match (month, day_of_month) {
                (12, 31) => (year + 1, 1, 1),
                (_, last) if last == days => (year, month + 1, 1),
                (_, day_of_month) => (year, month, day_of_month + 1),
            };
            assert_eq!(date(day), expected);
            last = expected;
        }
    }
}
