//! What happens on one connection: whether it is idle, and since when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes that every client sends first: the preface, and the frame header of its settings (RFC 9113 §3.4).
const PREFACE: u64 = 24 + 9;

/// Of one connection. Its calls, its bytes and who decides on it share one.
pub(super) struct Activity {
    began: Instant,
    calls: Mutex<Calls>,
    /// Bytes, so far.
    read: AtomicU64,
    /// When something was written last: milliseconds after it began.
    written: AtomicU64,
    give_way: Notify,
}

struct Calls {
    /// Those that run.
    open: usize,
    /// Those of them that are not health's or reflection's, which anybody can make.
    working: usize,
    /// When it began, or the last call ended.
    idle_since: Instant,
    /// When it began, or the last one ended that was working.
    worked: Instant,
}

/// One call, until it is dropped.
pub(super) struct OpenCall {
    of: Arc<Activity>,
    working: bool,
}

impl Activity {
    pub(super) fn begin() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            began: now,
            calls: Mutex::new(Calls { open: 0, working: 0, idle_since: now, worked: now }),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            give_way: Notify::new(),
        })
    }

    /// A call begins. `working` is one that keeps its connection from giving way.
    pub(super) fn call(self: &Arc<Self>, working: bool) -> OpenCall {
        let mut calls = self.calls();
        calls.open += 1;
        calls.working += usize::from(working);
        drop(calls);
        OpenCall { of: Arc::clone(self), working }
    }

    /// Since when there has been no call; `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let calls = self.calls();
        (calls.open == 0).then_some(calls.idle_since)
    }

    /// Since when there has been no call but health's and reflection's; `None` while there is one.
    pub(super) fn could_give_way_since(&self) -> Option<Instant> {
        let calls = self.calls();
        (calls.working == 0).then_some(calls.worked)
    }

    /// Asks the connection to close for another one.
    pub(super) fn give_way(&self) {
        self.give_way.notify_one();
    }

    /// Ends when it is asked to, and can.
    pub(super) async fn gives_way(&self) {
        loop {
            self.give_way.notified().await;
            if self.could_give_way_since().is_some() {
                return;
            }
        }
    }

    pub(super) fn add_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self) {
        let after = self.began.elapsed().as_millis();
        self.written.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn has_said_hello(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= PREFACE
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// When its peer, or the system, has last taken bytes of ours.
    pub(super) fn written_at(&self) -> Instant {
        self.began + Duration::from_millis(self.written.load(Ordering::Relaxed))
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut calls = self.of.calls();
        calls.open -= 1;
        calls.idle_since = now;
        if self.working {
            calls.working -= 1;
            calls.worked = now;
        }
    }
}
