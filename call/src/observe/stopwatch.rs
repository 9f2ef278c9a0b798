use std::cell::Cell;
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

/// The time at which all observers of one pass begin or end a call.
#[derive(Clone, Copy)]
enum Moment {
    /// No pass is reporting anything.
    None,
    /// No observer has asked for the time yet.
    Unread,
    Read(Instant),
}

thread_local! {
    static MOMENT: Cell<Moment> = const { Cell::new(Moment::None) };
}

/// Calls the observers of one pass, which read the clock at most once.
pub(crate) fn at_one_moment<T>(observers: impl FnOnce() -> T) -> T {
    // A pair inside a pair.
    if !matches!(MOMENT.get(), Moment::None) {
        return observers();
    }
    let _reset = Reset;
    MOMENT.set(Moment::Unread);
    observers()
}

/// Ends the moment, even if an observer panics.
struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        MOMENT.set(Moment::None);
    }
}

fn moment() -> Instant {
    match MOMENT.get() {
        Moment::None => Instant::now(),
        Moment::Read(moment) => moment,
        Moment::Unread => {
            let now = Instant::now();
            MOMENT.set(Moment::Read(now));
            now
        }
    }
}
