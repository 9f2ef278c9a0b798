use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

/// Measures how long a call takes, by tokio's clock, which all layers use and tests can pause.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

/// When a request arrived whose call begins late: see [`Observer::begin`](crate::Observer::begin).
#[derive(Clone, Copy)]
struct Arrival(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Starts now, or, if the call [begins late](crate::Observer::begin), at the time when the request with
    /// these extensions arrived. For use in an observer's `begin`.
    pub fn since_arrival(extensions: &Extensions) -> Self {
        Self::of_late(extensions).unwrap_or_else(Self::start)
    }

    /// Like [`since_arrival`](Self::since_arrival), but `None` for a call that does not begin late.
    pub fn of_late(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Arrival>().map(|arrival| Self(arrival.0))
    }

    /// Records now as the time of arrival.
    pub(crate) fn mark_arrival(extensions: &mut Extensions) {
        extensions.insert(Arrival(Instant::now()));
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
