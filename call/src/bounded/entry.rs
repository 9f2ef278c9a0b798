//! One entry of a store, locked.

use std::fmt;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hash::KeyHash;
use super::shard::Shard;

/// After this many locks of a shard, a [`LockedEntry`] asks for a sweep.
const LOCKS_PER_SWEEP: u32 = 16;

/// The entry of a key in a [`BoundedStore`](crate::BoundedStore), locked until it is dropped.
///
/// It is the key's own entry, or the overflow entry if there is no room for the key. A new entry is stored only if a
/// value is set.
#[must_use = "the entry is unlocked when it is dropped"]
pub struct LockedEntry<'a, V>(Locked<'a, V>);

/// Where a value is stored: see [`BoundedStore::update`](crate::BoundedStore::update).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryId {
    /// The key's own entry.
    Own(KeyHash),
    /// The overflow entry, which all keys without room share.
    Overflow,
}

enum Locked<'a, V> {
    Own(Own<'a, V>),
    Overflow(MutexGuard<'a, Option<V>>),
}

struct Own<'a, V> {
    shard: MutexGuard<'a, Shard<V>>,
    key: KeyHash,
    /// `None` if the entry does not exist yet. Room for it is reserved in `len` then.
    index: Option<usize>,
    len: &'a AtomicUsize,
}

impl<'a, V: Copy> LockedEntry<'a, V> {
    /// The entry at `index` of a shard. Without an index, the caller has reserved room for it in `len`.
    pub(super) fn own(
        shard: MutexGuard<'a, Shard<V>>,
        key: KeyHash,
        index: Option<usize>,
        len: &'a AtomicUsize,
    ) -> Self {
        Self(Locked::Own(Own { shard, key, index, len }))
    }

    pub(super) fn overflow(value: MutexGuard<'a, Option<V>>) -> Self {
        Self(Locked::Overflow(value))
    }

    /// The value, if one was set.
    pub fn get(&self) -> Option<V> {
        match &self.0 {
            Locked::Own(own) => own.index.map(|index| own.shard.entries[index]),
            Locked::Overflow(value) => **value,
        }
    }

    /// Sets the value. Returns where it is stored.
    pub fn set(&mut self, value: V) -> EntryId {
        match &mut self.0 {
            Locked::Own(own) => {
                match own.index {
                    Some(index) => own.shard.entries[index] = value,
                    None => own.index = Some(own.shard.entries.insert_full(own.key, value).0),
                }
                EntryId::Own(own.key)
            }
            Locked::Overflow(present) => {
                **present = Some(value);
                EntryId::Overflow
            }
        }
    }

    /// Whether this is the overflow entry.
    pub fn is_overflow(&self) -> bool {
        matches!(self.0, Locked::Overflow(_))
    }

    /// Whether the caller should [sweep](crate::BoundedStore::sweep) the store once the entry is dropped. This is
    /// true for one lock in 16, so that the work is spread evenly.
    pub fn wants_sweep(&self) -> bool {
        matches!(&self.0, Locked::Own(own) if own.shard.locks.is_multiple_of(LOCKS_PER_SWEEP))
    }
}

/// Returns room that was reserved and not used.
impl<V> Drop for Own<'_, V> {
    fn drop(&mut self) {
        if self.index.is_none() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<V: Copy + fmt::Debug> fmt::Debug for LockedEntry<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedEntry")
            .field("value", &self.get())
            .field("overflow", &self.is_overflow())
            .finish()
    }
}
