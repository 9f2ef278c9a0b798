//! A part of a store's keys.

use std::hash::{BuildHasherDefault, Hasher};

use indexmap::IndexMap;

use crate::caller::Hashed;

/// A small part has no need to give memory back.
const SMALL: usize = 64;

#[derive(Default)]
pub(super) struct Shard {
    pub(super) entries: IndexMap<Hashed, u64, BuildHasherDefault<AsItIs>>,
    /// Where looking for keys to forget goes on.
    hand: usize,
    pub(super) calls: u32,
}

/// Keys are hashes already, of which nobody knows the seed.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    /// Keys are numbers: nothing else is written.
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, key: u128) {
        // The other half chooses the shard.
        self.0 = (key >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shard {
    /// Looks at so many keys, from where it stopped the last time, and forgets those whose time has passed.
    /// Says how many that were.
    pub(super) fn sweep(&mut self, looks: usize, now: u64) -> usize {
        let mut forgotten = 0;
        for _ in 0..looks.min(self.entries.len()) {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            match self.entries.get_index(self.hand) {
                Some((_, time)) if *time <= now => {
                    // The last takes its place.
                    self.entries.swap_remove_index(self.hand);
                    forgotten += 1;
                }
                Some(_) => self.hand += 1,
                None => break,
            }
        }
        if forgotten > 0 {
            self.give_memory_back();
        }
        forgotten
    }

    pub(super) fn give_memory_back(&mut self) {
        let (len, capacity) = (self.entries.len(), self.entries.capacity());
        if capacity > SMALL && len < capacity / 4 {
            self.entries.shrink_to(len * 2);
        }
    }
}
