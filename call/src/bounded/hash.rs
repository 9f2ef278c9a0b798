//! Hashes of keys.

use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher, RandomState};

/// The 128-bit hash of a key in a [`BoundedStore`](crate::BoundedStore): see [`KeySeeds`].
///
/// The default is a fixed hash, for stores that have no keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyHash(u128);

/// Random seeds to hash keys with.
///
/// Callers do not know the seeds, so they cannot choose keys with the same hash.
///
/// ```
/// # use tonic_call::KeySeeds;
/// let seeds = KeySeeds::default();
/// assert_eq!(seeds.hash("ann"), seeds.hash("ann"));
/// assert_ne!(seeds.hash("ann"), seeds.hash("bob"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeySeeds(RandomState, RandomState);

/// Hashes the same bytes with two seeds.
struct PairHasher(DefaultHasher, DefaultHasher);

/// Hashes a [`KeyHash`] to itself.
#[derive(Default)]
pub(super) struct IdentityHasher(u64);

impl KeySeeds {
    /// Hashes a key.
    pub fn hash(&self, key: impl Hash) -> KeyHash {
        self.hash_with(|mut hasher| key.hash(&mut hasher))
    }

    /// Hashes everything that `write` passes to the hasher.
    pub fn hash_with(&self, write: impl FnOnce(&mut dyn Hasher)) -> KeyHash {
        let mut hasher = PairHasher(self.0.build_hasher(), self.1.build_hasher());
        write(&mut hasher);
        KeyHash(u128::from(hasher.0.finish()) << 64 | u128::from(hasher.1.finish()))
    }
}

impl KeyHash {
    /// The index of the shard for this key; `shards` is a power of two.
    pub(super) fn shard(self, shards: usize) -> usize {
        self.0 as usize & (shards - 1)
    }
}

impl Hasher for PairHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

impl Hasher for IdentityHasher {
    /// Never called: a [`KeyHash`] is hashed as one number.
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, key: u128) {
        // The lower half selects the shard.
        self.0 = (key >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
