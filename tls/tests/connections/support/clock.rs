use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// A clock that a test sets.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    /// A clock that stands at the new year of this year.
    pub(crate) fn at(year: u64) -> Self {
        Self(Arc::new(AtomicU64::new(new_year(year))))
    }

    pub(crate) fn add(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, year: u64) {
        self.0.store(new_year(year), Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// The first second of a year after 1970, in seconds since 1970.
pub(crate) fn new_year(year: u64) -> u64 {
    let leap_days = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    ((year - 1970) * 365 + leap_days(year) - leap_days(1970)) * 86_400
}
