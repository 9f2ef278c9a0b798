use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, QuantaClock, QuantaInstant, Reference as _};

use tonic_call::guarded;

use crate::limits::LATEST;

/// The clock by which quotas are refilled.
///
/// The default is the system's monotonic clock; tests pass their own. The layer reads it once per call.
#[derive(Clone)]
pub struct Clock(ClockSource);

#[derive(Clone)]
enum ClockSource {
    System { clock: QuantaClock, began: QuantaInstant },
    Custom(Arc<Custom>),
}

struct Custom {
    now: Box<dyn Fn() -> Duration + Send + Sync>,
    /// The latest time so far, in nanoseconds.
    latest: AtomicU64,
}

impl Clock {
    /// The system's monotonic clock.
    pub fn system() -> Self {
        let clock = QuantaClock::default();
        let began = clock.now();
        Self(ClockSource::System { clock, began })
    }

    /// A clock that a function reads: it returns the time since any fixed moment.
    ///
    /// The clock stands still while the function returns an earlier time, and if it panics. All times after 146 years
    /// are the same.
    ///
    /// ```
    /// use tonic_ratelimit_layer::Clock;
    ///
    /// // The clock of tokio, which tests can pause.
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let began = tokio::time::Instant::now();
    /// let clock = Clock::new(move || began.elapsed());
    /// # }
    /// ```
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let custom = Custom { now: Box::new(now), latest: AtomicU64::new(0) };
        Self(ClockSource::Custom(Arc::new(custom)))
    }

    /// The time now, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            ClockSource::System { clock, began } => {
                clock.now().duration_since(*began).as_u64().min(LATEST)
            }
            ClockSource::Custom(custom) => {
                let shown = guarded(|| (custom.now)()).unwrap_or_else(|_| {
                    tracing::error!(target: "tonic_ratelimit_layer", "the clock of a `RateLimitLayer` panicked");
                    Duration::ZERO
                });
                let shown = u64::try_from(shown.as_nanos()).unwrap_or(LATEST).min(LATEST);
                custom.latest.fetch_max(shown, Ordering::Relaxed).max(shown)
            }
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ClockSource::System { .. } => "Clock::system",
            ClockSource::Custom(_) => "Clock::new",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_systems_clock_begins_at_nothing_and_goes_on() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(first < 60_000_000_000, "{first}");
        assert!((0..1_000_000).any(|_| clock.now() > first));
    }

    #[test]
    fn a_custom_clock_never_goes_back() {
        tonic_call_test_kit::silence_panics();
        let shown = Mutex::new(vec![
            Some(Duration::MAX),
            None,
            Some(Duration::from_nanos(6)),
            Some(Duration::from_nanos(9)),
            Some(Duration::from_nanos(7)),
            Some(Duration::from_nanos(5)),
        ]);
        let clock = Clock::new(move || {
            let next = shown.lock().ok().and_then(|mut shown| shown.pop());
            next.flatten().expect("a time, on purpose")
        });
        let read = [(); 6].map(|()| clock.now());
        assert_eq!(read, [5, 7, 9, 9, 9, LATEST]);
    }
}
