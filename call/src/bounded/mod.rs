//! A store of bounded size, with one value per key.

mod entry;
mod hash;
mod shard;
mod store;

pub use self::entry::{EntryId, LockedEntry};
pub use self::hash::{KeyHash, KeySeeds};
pub use self::store::{BoundedStore, StoreUsage};

#[cfg(test)]
mod tests;
