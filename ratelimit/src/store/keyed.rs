//! Buckets of many keys, in shards that are locked, cleaned and grown each by itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::shard::Shard;
use super::{Kind, locked};
use crate::caller::Hashed;

/// About so many keys a shard has: moving them, when it grows, takes microseconds.
const PER_SHARD: usize = 512;

/// Beyond so many shards each has more: they cost memory, too.
const SHARDS_AT_MOST: usize = 4_096;

/// At so many calls of a shard, one looks for keys to forget in another.
const TIDY_EACH: u32 = 16;

/// How many keys it looks at.
const TIDY_LOOKS: usize = 64;

/// In how many shards a new key looks for some to forget, before it shares.
const NEW_TIDIES: usize = 4;

pub(super) struct Keyed {
    kind: Kind,
    shards: Box<[Mutex<Shard>]>,
    /// How many keys there are, with those for which room is reserved.
    len: AtomicUsize,
    at_most: usize,
    /// Shared by the keys for which there is no room.
    overflow: Mutex<Option<u64>>,
    /// In which shard keys to forget are looked for next.
    hand: AtomicUsize,
}

/// Whether there is room for a key.
pub(super) enum Room<'a> {
    Own(Own<'a>),
    None(MutexGuard<'a, Option<u64>>),
}

/// A key's own bucket, locked with its shard.
pub(crate) struct Own<'a> {
    keyed: &'a Keyed,
    shard: MutexGuard<'a, Shard>,
    key: Hashed,
    at: At,
}

enum At {
    Kept {
        index: usize,
        number: u64,
    },
    /// Not there yet; there is room reserved for it.
    Reserved,
}

impl Keyed {
    pub(super) fn new(kind: Kind, at_most: usize) -> Self {
        let shards = at_most.div_ceil(PER_SHARD).min(SHARDS_AT_MOST).next_power_of_two();
        Self {
            kind,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            at_most,
            overflow: Mutex::default(),
            hand: AtomicUsize::new(0),
        }
    }

    pub(super) fn lock(&self, key: Hashed, now: u64) -> Room<'_> {
        let mut tidied = 0;
        loop {
            let mut shard = self.shard(key);
            shard.calls = shard.calls.wrapping_add(1);
            if let Some((index, _, number)) = shard.entries.get_full(&key) {
                let at = At::Kept { index, number: *number };
                return Room::Own(Own { keyed: self, shard, key, at });
            }
            if self.reserve() {
                return Room::Own(Own { keyed: self, shard, key, at: At::Reserved });
            }
            drop(shard);
            if tidied == NEW_TIDIES {
                return Room::None(self.overflow());
            }
            self.tidy(now);
            tidied += 1;
        }
    }

    pub(super) fn overflow(&self) -> MutexGuard<'_, Option<u64>> {
        locked(&self.overflow)
    }

    /// How many keys there are, and how many there can be.
    pub(super) fn room(&self) -> (usize, usize) {
        (self.len.load(Ordering::Relaxed), self.at_most)
    }

    pub(super) fn release(&self, key: Hashed) {
        let mut shard = self.shard(key);
        let Some((index, _, number)) = shard.entries.get_full_mut(&key) else { return };
        *number = number.saturating_sub(1);
        if *number == 0 {
            shard.entries.swap_remove_index(index);
            shard.give_memory_back();
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Looks at some keys of one shard after the other. Waits for no lock.
    pub(super) fn tidy(&self, now: u64) {
        if self.kind == Kind::Counts {
            return;
        }
        let at = self.hand.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1);
        let mut shard = match self.shards[at].try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(shard)) => shard.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let forgotten = shard.sweep(TIDY_LOOKS, now);
        self.len.fetch_sub(forgotten, Ordering::Relaxed);
    }

    fn reserve(&self) -> bool {
        let one_more = |len: usize| (len < self.at_most).then_some(len + 1);
        self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn shard(&self, key: Hashed) -> MutexGuard<'_, Shard> {
        // The other half finds it in its shard. There is a power of two of them.
        locked(&self.shards[key as usize & (self.shards.len() - 1)])
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let kept = self.shards.iter().map(|shard| locked(shard).entries.len()).sum();
        assert_eq!(self.len.load(Ordering::Relaxed), kept, "the count of the keys");
        kept
    }
}

impl Own<'_> {
    pub(super) fn number(&self) -> Option<u64> {
        match self.at {
            At::Kept { number, .. } => Some(number),
            At::Reserved => None,
        }
    }

    pub(super) fn put(&mut self, number: u64) -> Hashed {
        let index = match self.at {
            At::Kept { index, .. } => {
                self.shard.entries[index] = number;
                index
            }
            At::Reserved => self.shard.entries.insert_full(self.key, number).0,
        };
        self.at = At::Kept { index, number };
        self.key
    }

    pub(super) fn wants_tidying(&self) -> bool {
        self.shard.calls.is_multiple_of(TIDY_EACH)
    }
}

/// Room that was not needed is given back: a call that is refused leaves no key.
impl Drop for Own<'_> {
    fn drop(&mut self) {
        if let At::Reserved = self.at {
            self.keyed.len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
