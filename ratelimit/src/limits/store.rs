use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tonic_call::{BoundedStore, EntryId, KeyHash, LockedEntry, StoreUsage};

use super::single::{Held, Single};

/// The state of the keys of one limit. It is kept when the limits are replaced and this one stays.
///
/// For a quota the value of a key is a time: when its burst is full again. For calls in flight it is their number,
/// and a key without any is not stored.
#[derive(Debug)]
pub(crate) struct Store {
    id: u64,
    entries: Entries,
    warned: AtomicBool,
}

#[derive(Debug)]
enum Entries {
    Keyed(BoundedStore<u64>),
    /// All calls share one entry.
    Single(Single),
}

/// The state of one key, locked until it is dropped.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    Keyed(LockedEntry<'a, u64>),
    Single(Held<'a>),
}

impl Store {
    /// A store for that many keys; with 0 all calls share one entry.
    pub(crate) fn new(max_keys: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            entries: match max_keys {
                0 => Entries::Single(Single::default()),
                _ => Entries::Keyed(BoundedStore::new(max_keys)),
            },
            warned: AtomicBool::new(false),
        }
    }

    /// The order in which a call locks entries of several stores. So no two calls wait for each other.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The one entry that all calls share; `None` if there are keys.
    pub(crate) fn single(&self) -> Option<&Single> {
        match &self.entries {
            Entries::Keyed(_) => None,
            Entries::Single(single) => Some(single),
        }
    }

    /// Locks the entry of a key.
    pub(crate) fn lock(&self, key: KeyHash) -> Entry<'_> {
        match &self.entries {
            Entries::Keyed(entries) => Entry::Keyed(entries.lock(key)),
            Entries::Single(single) => Entry::Single(single.hold()),
        }
    }

    /// Like [`lock`](Self::lock). Entries that have expired make room for a new key.
    pub(crate) fn lock_or_evict(
        &self,
        key: KeyHash,
        is_expired: impl Fn(&u64) -> bool,
    ) -> Entry<'_> {
        match &self.entries {
            Entries::Keyed(entries) => Entry::Keyed(entries.lock_or_evict(key, is_expired)),
            Entries::Single(single) => Entry::Single(single.hold()),
        }
    }

    /// Removes some entries that have expired.
    pub(crate) fn sweep(&self, is_expired: impl Fn(&u64) -> bool) {
        if let Entries::Keyed(entries) = &self.entries {
            entries.sweep(is_expired);
        }
    }

    /// The usage of the keys; `None` without keys.
    pub(crate) fn usage(&self, is_expired: impl Fn(&u64) -> bool) -> Option<StoreUsage> {
        match &self.entries {
            Entries::Keyed(entries) => Some(entries.usage(is_expired)),
            Entries::Single(_) => None,
        }
    }

    /// Subtracts one call in flight.
    pub(crate) fn release(&self, entry: EntryId) {
        match &self.entries {
            Entries::Keyed(entries) => {
                entries.update(entry, |calls| calls.checked_sub(1).filter(|left| *left > 0));
            }
            Entries::Single(single) => single.update(|calls| calls.checked_sub(1)),
        }
    }

    /// Whether this is the first warning about a full store.
    pub(crate) fn is_first_warning(&self) -> bool {
        !self.warned.load(Ordering::Relaxed) && !self.warned.swap(true, Ordering::Relaxed)
    }
}

impl Entry<'_> {
    /// The state, if there is one.
    pub(crate) fn get(&self) -> Option<u64> {
        match self {
            Self::Keyed(entry) => entry.get(),
            Self::Single(held) => held.get(),
        }
    }

    /// Sets the state. Returns where it is stored.
    pub(crate) fn set(&mut self, state: u64) -> EntryId {
        match self {
            Self::Keyed(entry) => entry.set(state),
            Self::Single(held) => {
                held.set(state);
                SINGLE
            }
        }
    }

    /// Whether there was no room for the key, and it shares this entry with others.
    pub(crate) fn has_overflowed(&self) -> bool {
        matches!(self, Self::Keyed(entry) if entry.is_overflow())
    }

    /// Whether the store should be [swept](Store::sweep) after this.
    pub(crate) fn wants_sweep(&self) -> bool {
        matches!(self, Self::Keyed(entry) if entry.wants_sweep())
    }
}

/// Where a state without keys is stored. All calls share it, like an overflow entry.
pub(crate) const SINGLE: EntryId = EntryId::Overflow;

#[cfg(test)]
mod tests {
    use tonic_call::KeySeeds;

    use super::*;

    #[test]
    fn a_full_store_is_warned_about_once() {
        let store = Store::new(1);
        assert!(store.is_first_warning() && !store.is_first_warning());
    }

    #[test]
    fn calls_in_flight_are_counted_down_to_none() {
        for max_keys in [0, 1] {
            let store = Store::new(max_keys);
            let key = KeySeeds::default().hash("ann");
            let entry = store.lock(key).set(2);
            store.release(entry);
            assert_eq!(store.lock(key).get(), Some(1));
            store.release(entry);
            // Once too often changes nothing.
            store.release(entry);
            assert_eq!(store.lock(key).get(), None);
        }
    }
}
