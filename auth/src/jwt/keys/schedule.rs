//! When the keys of an issuer are fetched next: by the clock, and because somebody asks for it.

use std::time::Duration;

use tokio::time::Instant;

/// The fetches that have begun, and the next one that is due.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// How many fetches have begun.
    begun: u64,
    /// When the next one is due by the clock; `None` before the first.
    regular: Option<Instant>,
    /// When one is due that was asked for.
    asked_for: Option<Instant>,
    /// The last one that was asked for. The cool-down runs from there.
    last: Option<LastAsked>,
}

#[derive(Clone, Copy, Debug)]
struct LastAsked {
    at: Instant,
    fetch: u64,
}

/// When a fetch comes that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coming {
    /// This fetch has begun, or begins at once.
    Now(u64),
    /// This one begins at the end of the cool-down at the latest.
    Later(u64),
}

impl Schedule {
    /// Asks for a fetch, when so many have ended. All who ask before it has ended share it; in the cool-down
    /// after it one more is scheduled for its end, however many ask.
    pub(crate) fn ask(&mut self, now: Instant, cool_down: Duration, ended: u64) -> Coming {
        let next = self.begun + 1;
        if let Some(last) = self.last {
            if ended < last.fetch {
                return Coming::Now(last.fetch);
            }
            let end = last.at + cool_down;
            if now < end {
                self.asked_for = Some(end);
                return Coming::Later(next);
            }
        }
        self.last = Some(LastAsked { at: now, fetch: next });
        self.asked_for = Some(now);
        Coming::Now(next)
    }

    /// A fetch begins. It is the answer to everybody who has asked before: none is scheduled any more.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun += 1;
        if self.asked_for.take().is_some_and(|due| due <= now) {
            self.last = Some(LastAsked { at: now, fetch: self.begun });
        }
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Sets when the next fetch is due by the clock.
    pub(crate) fn next_at(&mut self, due: Instant) {
        self.regular = Some(due);
    }

    /// When the next fetch is due; `None` before the first, which is due at once.
    pub(crate) fn due(&self) -> Option<Instant> {
        let regular = self.regular?;
        Some(self.asked_for.map_or(regular, |asked| asked.min(regular)))
    }

    /// How long the cool-down still lasts; `None` outside of one.
    pub(crate) fn cooling_down(&self, now: Instant, cool_down: Duration) -> Option<Duration> {
        let left = (self.last?.at + cool_down).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// The last fetch that was asked for.
    pub(crate) fn last_asked(&self) -> Option<u64> {
        self.last.map(|last| last.fetch)
    }
}
