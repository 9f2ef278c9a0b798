use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

/// How long a call takes, by the clock that all layers share: tokio's, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

/// When a request came whose call begins only now: see [`Observer::begin`](crate::Observer::begin).
#[derive(Clone, Copy)]
struct Arrival(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Starts now, or when the request came whose extensions these are, if its call
    /// [begins late](crate::Observer::begin). What an observer starts in `begin`.
    pub fn since_arrival(extensions: &Extensions) -> Self {
        Self::of_late(extensions).unwrap_or_else(Self::start)
    }

    /// As [`since_arrival`](Self::since_arrival), and `None` for a call that begins in time.
    pub fn of_late(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Arrival>().map(|arrival| Self(arrival.0))
    }

    /// Remembers now as the time of arrival.
    pub(crate) fn mark_arrival(extensions: &mut Extensions) {
        extensions.insert(Arrival(Instant::now()));
    }

    /// The time since its start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
