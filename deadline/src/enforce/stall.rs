//! Whether a caller reads.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time since when the caller has not read what it was sent.
///
/// HTTP asks for the next frame when the last one is on its way, so a body that is not polled has a caller that does
/// not read.
pub(super) struct Stall {
    limit: Duration,
    waits_since: Mutex<Option<Instant>>,
}

impl Stall {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, waits_since: Mutex::default() }
    }

    /// A frame is given to HTTP.
    pub(super) fn sent(&self) {
        *self.waits_since() = Some(Instant::now());
    }

    /// HTTP asks for a frame.
    pub(super) fn read(&self) {
        *self.waits_since() = None;
    }

    /// When the caller has read nothing for too long, if it goes on so. `None` while it has read everything.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.waits_since().and_then(|since| since.checked_add(self.limit))
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    fn waits_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waits_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
