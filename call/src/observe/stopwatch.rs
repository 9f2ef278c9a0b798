use std::cell::Cell;
use std::time::{Duration, SystemTime};

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
    /// these extensions arrived. For use in an observer's `begin`: the observers of one pass read the clock once, and
    /// start at the same time.
    pub fn since_arrival(extensions: &Extensions) -> Self {
        Self::of_late(extensions).unwrap_or_else(|| Self(moment()))
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

    /// The time since the start. For use in [`Call::end`](crate::Call::end): the observers of one pass read the clock
    /// once, and their calls end at the same time.
    pub fn elapsed_at_end(self) -> Duration {
        moment().saturating_duration_since(self.0)
    }
}

/// The time of day, which is now. While a call begins or ends, the observers of one pass read the clock once: so the end
/// of its span is the time of its log line.
pub fn time_of_day() -> SystemTime {
    MOMENT.with(|moment| moment.day.read(SystemTime::now))
}

fn moment() -> Instant {
    MOMENT.with(|moment| moment.instant.read(Instant::now))
}

/// The time at which all observers of one pass begin or end a call, by two clocks.
struct Moment {
    instant: Reading<Instant>,
    day: Reading<SystemTime>,
}

/// One clock.
struct Reading<T>(Cell<Read<T>>);

#[derive(Clone, Copy)]
enum Read<T> {
    /// No pass is reporting anything.
    Always,
    /// No observer has asked for the time yet.
    Next,
    Done(T),
}

thread_local! {
    static MOMENT: Moment = const { Moment { instant: Reading::always(), day: Reading::always() } };
}

/// The observers of one pass read a clock at most once while this is alive. It ends even if an observer panics.
pub(crate) struct OneMoment {
    /// Not of a pair inside a pair.
    is_outermost: bool,
}

impl OneMoment {
    pub(crate) fn begin() -> Self {
        MOMENT.with(|moment| {
            let is_outermost = matches!(moment.instant.0.get(), Read::Always);
            if is_outermost {
                moment.set(Read::Next, Read::Next);
            }
            Self { is_outermost }
        })
    }
}

impl Drop for OneMoment {
    fn drop(&mut self) {
        if self.is_outermost {
            MOMENT.with(|moment| moment.set(Read::Always, Read::Always));
        }
    }
}

impl Moment {
    fn set(&self, instant: Read<Instant>, day: Read<SystemTime>) {
        self.instant.0.set(instant);
        self.day.0.set(day);
    }
}

impl<T: Copy> Reading<T> {
    const fn always() -> Self {
        Self(Cell::new(Read::Always))
    }

    fn read(&self, now: impl FnOnce() -> T) -> T {
        match self.0.get() {
            Read::Always => now(),
            Read::Done(time) => time,
            Read::Next => {
                let now = now();
                self.0.set(Read::Done(now));
                now
            }
        }
    }
}
