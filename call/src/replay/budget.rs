use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that many calls together may use to keep their requests. Clones share it.
///
/// The default is 16 MiB, as in grpc-java.
#[derive(Clone, Debug)]
pub struct ReplayBudget(Arc<Memory>);

#[derive(Debug)]
struct Memory {
    used: AtomicUsize,
    max: usize,
}

const DEFAULT_BYTES: usize = 16 * 1024 * 1024;

impl ReplayBudget {
    /// Up to this number of bytes.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Memory { used: AtomicUsize::new(0), max }))
    }

    /// The bytes that calls use now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes all of it or nothing.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.0.max);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(super) fn put_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Default for ReplayBudget {
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}
