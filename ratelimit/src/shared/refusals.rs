//! What Redis has refused, so that it is not asked again too early.

use tonic_call::{BoundedStore, KeyHash};

/// The keys of a quota that have no call left, as Redis last said.
#[derive(Debug)]
pub(crate) struct Refusals(BoundedStore<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The burst is not full again before this time.
    full: u64,
    /// The connection on which Redis said so. Behind another one there may be a Redis that has lost its keys.
    connection: u64,
}

impl Refusals {
    /// For that many keys. Of more, the others are not remembered.
    pub(crate) fn new(max_keys: usize) -> Self {
        Self(BoundedStore::new(max_keys))
    }

    /// The time before which the burst of this key is not full again, as Redis said on this connection.
    pub(crate) fn full(&self, key: KeyHash, connection: u64) -> Option<u64> {
        let entry = self.0.lock(key);
        if entry.is_overflow() {
            return None;
        }
        entry.get().filter(|seen| seen.connection == connection).map(|seen| seen.full)
    }

    pub(crate) fn remember(&self, key: KeyHash, full: u64, connection: u64, now: u64) {
        let is_expired = |seen: &Seen| seen.full <= now;
        let mut entry = self.0.lock_or_evict(key, is_expired);
        // Keys without room share the overflow entry, and must not be refused for each other.
        if !entry.is_overflow() {
            entry.set(Seen { full, connection });
        }
        let wants_sweep = entry.wants_sweep();
        drop(entry);
        if wants_sweep {
            self.0.sweep(is_expired);
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_call::KeySeeds;

    use super::*;

    #[test]
    fn a_key_is_remembered_on_one_connection_and_without_room_not_at_all() {
        let (refusals, seeds) = (Refusals::new(1), KeySeeds::default());
        let (ann, bob) = (seeds.hash("ann"), seeds.hash("bob"));
        refusals.remember(ann, 50, 1, 0);
        assert_eq!((refusals.full(ann, 1), refusals.full(ann, 2)), (Some(50), None));
        refusals.remember(bob, 70, 1, 49);
        assert_eq!((refusals.full(bob, 1), refusals.full(seeds.hash("eve"), 1)), (None, None));
        // What has expired makes room.
        refusals.remember(bob, 70, 1, 50);
        assert_eq!((refusals.full(ann, 1), refusals.full(bob, 1)), (None, Some(70)));
    }
}
