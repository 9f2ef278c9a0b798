use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tonic_call::{BoundedStore, EntryId};

/// The state of the keys of one limit. It is kept when the limits are replaced and this one stays.
///
/// For a quota the value of a key is a time: when its burst is full again. For calls in flight it is their number,
/// and a key without any is not stored. A limit without keys has a store of no keys: all calls share its overflow
/// entry.
#[derive(Debug)]
pub(crate) struct Store {
    id: u64,
    pub(crate) has_keys: bool,
    pub(crate) entries: BoundedStore<u64>,
    warned: AtomicBool,
}

impl Store {
    pub(crate) fn new(max_keys: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            has_keys: max_keys > 0,
            entries: BoundedStore::new(max_keys),
            warned: AtomicBool::new(false),
        }
    }

    /// The order in which a call locks entries of several stores. So no two calls wait for each other.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Subtracts one call in flight.
    pub(crate) fn release(&self, entry: EntryId) {
        self.entries.update(entry, |calls| calls.checked_sub(1).filter(|left| *left > 0));
    }

    /// Whether this is the first warning about a full store.
    pub(crate) fn is_first_warning(&self) -> bool {
        !self.warned.load(Ordering::Relaxed) && !self.warned.swap(true, Ordering::Relaxed)
    }
}

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
            let entry = store.entries.lock(key).set(2);
            store.release(entry);
            assert_eq!(store.entries.lock(key).get(), Some(1));
            store.release(entry);
            // Once too often changes nothing.
            store.release(entry);
            assert_eq!(store.entries.lock(key).get(), None);
        }
    }
}
