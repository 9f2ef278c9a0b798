//! When the keys of an issuer are fetched next: regularly, and on request.

use std::time::Duration;

use tokio::time::Instant;

/// The started fetches, and the next one.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// How many fetches have started.
    begun: u64,
    /// When the next regular fetch is due; `None` before the first one.
    regular: Option<Instant>,
    /// When a requested fetch is due.
    requested: Option<Instant>,
    /// The last requested fetch. The cool-down starts there.
    last: Option<LastRequest>,
}

#[derive(Clone, Copy, Debug)]
struct LastRequest {
    at: Instant,
    fetch: u64,
}

/// When a requested fetch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coming {
    /// This fetch has started, or starts now.
    Now(u64),
    /// This fetch starts at the end of the cool-down at the latest.
    Later(u64),
}

impl Schedule {
    /// Requests a fetch. `ended` is how many fetches have ended. All requests before the end of a fetch share it; in
    /// the cool-down after it, one more is scheduled for its end.
    pub(crate) fn request(&mut self, now: Instant, cool_down: Duration, ended: u64) -> Coming {
        let next = self.begun + 1;
        if let Some(last) = self.last {
            if ended < last.fetch {
                return Coming::Now(last.fetch);
            }
            let end = last.at + cool_down;
            if now < end {
                self.requested = Some(end);
                return Coming::Later(next);
            }
        }
        self.last = Some(LastRequest { at: now, fetch: next });
        self.requested = Some(now);
        Coming::Now(next)
    }

    /// A fetch starts. It serves all previous requests.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun += 1;
        if self.requested.take().is_some_and(|due| due <= now) {
            self.last = Some(LastRequest { at: now, fetch: self.begun });
        }
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Sets when the next regular fetch is due.
    pub(crate) fn next_at(&mut self, due: Instant) {
        self.regular = Some(due);
    }

    /// When the next fetch is due; `None` before the first one, which is due now.
    pub(crate) fn due(&self) -> Option<Instant> {
        let regular = self.regular?;
        Some(self.requested.map_or(regular, |requested| requested.min(regular)))
    }

    /// The rest of the cool-down, if there is one.
    pub(crate) fn cooling_down(&self, now: Instant, cool_down: Duration) -> Option<Duration> {
        let left = (self.last?.at + cool_down).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// The last requested fetch.
    pub(crate) fn last_requested(&self) -> Option<u64> {
        self.last.map(|last| last.fetch)
    }
}
