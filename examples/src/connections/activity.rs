//! What happens on one connection: its calls, and when bytes were read and written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes that every HTTP/2 client sends first: the preface, and the header of a SETTINGS frame (RFC 9113 §3.4).
const PREFACE: u64 = 24 + 9;

/// The activity of one connection, shared by its calls, its I/O and the admission of new connections.
pub(super) struct Activity {
    began: Instant,
    calls: Mutex<CallCounts>,
    /// Bytes that were read.
    read: AtomicU64,
    /// Time of the last write, in milliseconds since the connection began.
    written: AtomicU64,
    close: Notify,
}

struct CallCounts {
    open: usize,
    /// Open calls that keep the connection open: not those of health and reflection, which any client can make.
    keeping_open: usize,
    /// When the connection began, or its last call ended.
    idle_since: Instant,
    /// When the connection began, or the last call that kept it open ended.
    closable_since: Instant,
}

/// One call, until it is dropped.
pub(super) struct ActiveCall {
    activity: Arc<Activity>,
    keeps_open: bool,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            began: now,
            calls: Mutex::new(CallCounts {
                open: 0,
                keeping_open: 0,
                idle_since: now,
                closable_since: now,
            }),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            close: Notify::new(),
        })
    }

    /// A call begins. If it `keeps_open`, the connection is not closed to make room.
    pub(super) fn begin_call(self: &Arc<Self>, keeps_open: bool) -> ActiveCall {
        let mut calls = self.calls();
        calls.open += 1;
        calls.keeping_open += usize::from(keeps_open);
        drop(calls);
        // The head of an HTTP/1.1 request can be shorter than the preface.
        self.read.fetch_max(PREFACE, Ordering::Relaxed);
        ActiveCall { activity: Arc::clone(self), keeps_open }
    }

    /// Since when there has been no call; `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let calls = self.calls();
        (calls.open == 0).then_some(calls.idle_since)
    }

    /// Since when there has been no call that keeps the connection open; `None` while there is one.
    pub(super) fn closable_since(&self) -> Option<Instant> {
        let calls = self.calls();
        (calls.keeping_open == 0).then_some(calls.closable_since)
    }

    /// Asks the connection to close, to make room for another one.
    pub(super) fn ask_to_close(&self) {
        self.close.notify_one();
    }

    /// Returns when the connection is asked to close and no call keeps it open.
    pub(super) async fn asked_to_close(&self) {
        loop {
            self.close.notified().await;
            if self.closable_since().is_some() {
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

    pub(super) fn has_sent_preface(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= PREFACE
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// When bytes were last written.
    pub(super) fn last_write(&self) -> Instant {
        self.began + Duration::from_millis(self.written.load(Ordering::Relaxed))
    }

    fn calls(&self) -> MutexGuard<'_, CallCounts> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut calls = self.activity.calls();
        calls.open -= 1;
        calls.idle_since = now;
        if self.keeps_open {
            calls.keeping_open -= 1;
            calls.closable_since = now;
        }
    }
}
