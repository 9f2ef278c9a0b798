//! Entries of many keys, in shards that are locked, swept and resized separately.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::entry::{EntryId, LockedEntry};
use super::hash::KeyHash;
use super::shard::Shard;

/// The approximate number of keys per shard: moving them, when the shard grows, takes microseconds.
const KEYS_PER_SHARD: usize = 512;

/// The maximum number of shards, since each costs memory. A larger store has more keys per shard.
const MAX_SHARDS: usize = 4_096;

/// The number of entries that one sweep checks.
const CHECKS_PER_SWEEP: usize = 64;

/// The number of sweeps for a new key without room, before it uses the overflow entry.
const SWEEPS_FOR_ROOM: usize = 4;

/// One value for each of a bounded number of keys.
///
/// A client that invents keys can neither fill the memory nor evict the keys of other clients: when the store is
/// full, new keys share one overflow entry until entries expire. Keys are hashed by [`KeySeeds`](crate::KeySeeds).
///
/// The code that uses the store passes a predicate, which returns whether a value has expired and may be removed.
/// There is no background thread. From time to time a [locked entry](LockedEntry::wants_sweep) asks for a
/// [sweep](Self::sweep), which checks a few entries.
///
/// The entries are in shards, and each shard has a lock. A thread may lock entries of several stores if all threads
/// lock these stores in the same order. It must not lock two entries of one store at the same time.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tonic_call::{BoundedStore, KeySeeds};
///
/// // Remembers for one minute when an address has failed.
/// let (failures, seeds) = (BoundedStore::new(10_000), KeySeeds::default());
/// let now = Instant::now();
/// let is_expired = |failed: &Instant| *failed + Duration::from_secs(60) <= now;
///
/// let mut entry = failures.lock_or_evict(seeds.hash("192.0.2.1"), is_expired);
/// assert_eq!(entry.get(), None);
/// entry.set(now);
/// let wants_sweep = entry.wants_sweep();
/// drop(entry);
/// if wants_sweep {
///     failures.sweep(is_expired);
/// }
/// assert_eq!(failures.usage(is_expired).keys, 1);
/// ```
pub struct BoundedStore<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    /// The number of keys, including those for which room is reserved.
    len: AtomicUsize,
    max_keys: usize,
    overflow: Mutex<Option<V>>,
    /// The shard that the next sweep checks.
    hand: AtomicUsize,
}

/// The usage of a [`BoundedStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUsage {
    /// The number of keys that have an entry.
    pub keys: usize,
    /// The maximum number of keys that have an entry.
    pub max_keys: usize,
    /// Whether the overflow entry has a value that has not expired.
    pub overflow_in_use: bool,
}

impl<V: Copy> BoundedStore<V> {
    /// Creates a store for at most `max_keys` keys. With 0, all keys share the overflow entry.
    pub fn new(max_keys: usize) -> Self {
        let shards = max_keys.div_ceil(KEYS_PER_SHARD).min(MAX_SHARDS).next_power_of_two();
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            max_keys,
            overflow: Mutex::default(),
            hand: AtomicUsize::new(0),
        }
    }

    /// Locks the entry of a key: its own, or the overflow entry if it has none and the store is full.
    pub fn lock(&self, key: KeyHash) -> LockedEntry<'_, V> {
        self.lock_own(key).unwrap_or_else(|| LockedEntry::overflow(locked(&self.overflow)))
    }

    /// Like [`lock`](Self::lock), but if the key has no entry and the store is full, first sweeps a few shards to
    /// make room.
    pub fn lock_or_evict(
        &self,
        key: KeyHash,
        is_expired: impl Fn(&V) -> bool,
    ) -> LockedEntry<'_, V> {
        if self.max_keys > 0 {
            for _ in 0..SWEEPS_FOR_ROOM {
                if let Some(entry) = self.lock_own(key) {
                    return entry;
                }
                self.sweep(&is_expired);
            }
        }
        self.lock(key)
    }

    /// Changes the value of an entry, if it has one. If `change` returns `None`, the value is removed.
    ///
    /// `change` runs under the lock of its shard: it must not lock anything.
    pub fn update(&self, id: EntryId, change: impl FnOnce(V) -> Option<V>) {
        match id {
            EntryId::Own(key) => {
                let mut shard = self.shard(key);
                let Some((index, _, value)) = shard.entries.get_full_mut(&key) else { return };
                match change(*value) {
                    Some(changed) => *value = changed,
                    None => shard.remove(index, &self.len),
                }
            }
            EntryId::Overflow => {
                let mut value = locked(&self.overflow);
                *value = value.and_then(change);
            }
        }
    }

    /// Checks a few entries, and removes those that have expired. Never waits for a lock, and holds one for about
    /// a microsecond.
    pub fn sweep(&self, is_expired: impl Fn(&V) -> bool) {
        let at = self.hand.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1);
        let mut shard = match self.shards[at].try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(shard)) => shard.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        shard.sweep(CHECKS_PER_SWEEP, &self.len, is_expired);
    }

    /// The usage of the store. Takes constant time.
    pub fn usage(&self, is_expired: impl Fn(&V) -> bool) -> StoreUsage {
        StoreUsage {
            keys: self.len.load(Ordering::Relaxed),
            max_keys: self.max_keys,
            overflow_in_use: locked(&self.overflow).is_some_and(|value| !is_expired(&value)),
        }
    }

    fn lock_own(&self, key: KeyHash) -> Option<LockedEntry<'_, V>> {
        if self.max_keys == 0 {
            return None;
        }
        let mut shard = self.shard(key);
        shard.locks = shard.locks.wrapping_add(1);
        let index = shard.entries.get_index_of(&key);
        (index.is_some() || self.reserve()).then(|| LockedEntry::own(shard, key, index, &self.len))
    }

    fn reserve(&self) -> bool {
        let one_more = |len: usize| (len < self.max_keys).then_some(len + 1);
        self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn shard(&self, key: KeyHash) -> MutexGuard<'_, Shard<V>> {
        locked(&self.shards[key.shard(self.shards.len())])
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let stored = self.shards.iter().map(|shard| locked(shard).entries.len()).sum();
        assert_eq!(self.len.load(Ordering::Relaxed), stored, "the count of the keys");
        stored
    }
}

/// Does not list the keys: there may be a million.
impl<V> fmt::Debug for BoundedStore<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedStore")
            .field("len", &self.len)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

/// Ignores poisoning: a panic in a predicate leaves every entry intact.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
