//! A part of a store's entries.

use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexMap;

use super::hash::{IdentityHasher, KeyHash};

/// A shard with a smaller capacity does not shrink.
const MIN_SHRINK_CAPACITY: usize = 64;

pub(super) struct Shard<V> {
    pub(super) entries: IndexMap<KeyHash, V, BuildHasherDefault<IdentityHasher>>,
    /// Where the next sweep starts.
    hand: usize,
    /// The number of times that an entry of this shard was locked.
    pub(super) locks: u32,
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { entries: IndexMap::default(), hand: 0, locks: 0 }
    }
}

impl<V> Shard<V> {
    /// Checks at most `max_checks` entries, starting where the last sweep stopped, and removes those that have
    /// expired. `len` counts the entries of all shards.
    pub(super) fn sweep(
        &mut self,
        max_checks: usize,
        len: &AtomicUsize,
        is_expired: impl Fn(&V) -> bool,
    ) {
        for _ in 0..max_checks.min(self.entries.len()) {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            match self.entries.get_index(self.hand) {
                Some((_, value)) if is_expired(value) => self.remove(self.hand, len),
                Some(_) => self.hand += 1,
                None => break,
            }
        }
    }

    /// Removes an entry. The last entry moves to its index.
    pub(super) fn remove(&mut self, index: usize, len: &AtomicUsize) {
        self.entries.swap_remove_index(index);
        len.fetch_sub(1, Ordering::Relaxed);
        let (left, capacity) = (self.entries.len(), self.entries.capacity());
        if capacity > MIN_SHRINK_CAPACITY && left < capacity / 4 {
            self.entries.shrink_to(left * 2);
        }
    }
}
