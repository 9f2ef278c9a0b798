//! What is kept of the keys of one limit: a number for each, of a bounded number of keys.
//!
//! For a quota the number is a time: when the key's burst is whole again. A time that has passed is as good
//! as none. For calls in flight it is their count, and a key without any is not kept.
//!
//! A call that has several limits locks one bucket of each, in the order of [`Store::id`], and no other
//! while it holds one: so none waits for another in a circle.

mod keyed;
mod shard;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use self::keyed::Own;
use self::keyed::{Keyed, Room};
use crate::caller::Hashed;

/// The buckets of one limit. It lives on when the limits are replaced and this one stays.
pub(crate) struct Store {
    id: u64,
    kind: Kind,
    shape: Shape,
    /// Whether an operator was told that there are too many keys.
    told: AtomicBool,
}

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Times,
    Counts,
}

enum Shape {
    /// All calls have one key.
    One(Mutex<Option<u64>>),
    Many(Keyed),
}

/// The bucket of one key, locked.
pub(crate) enum Bucket<'a> {
    /// That of all calls, or that of all keys that found no room.
    Shared {
        number: MutexGuard<'a, Option<u64>>,
        place: Place,
    },
    Own(Own<'a>),
}

/// How much room there is, and how much of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) keys: usize,
    pub(crate) keys_at_most: Option<usize>,
    pub(crate) overflow_in_use: bool,
}

/// Where a number was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    One,
    Own(Hashed),
    Overflow,
}

impl Store {
    /// Buckets of at most so many keys; `None` if all calls share one.
    pub(crate) fn new(kind: Kind, keys_at_most: Option<usize>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            kind,
            shape: match keys_at_most {
                None => Shape::One(Mutex::default()),
                Some(at_most) => Shape::Many(Keyed::new(kind, at_most)),
            },
            told: AtomicBool::new(false),
        }
    }

    /// In which order buckets of several stores are locked.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Locks the bucket of a key: its own, or the shared one if there is no room for it.
    pub(crate) fn lock(&self, key: Hashed, now: u64) -> Bucket<'_> {
        match &self.shape {
            Shape::One(number) => Bucket::Shared { number: locked(number), place: Place::One },
            Shape::Many(keyed) => match keyed.lock(key, now) {
                Room::Own(own) => Bucket::Own(own),
                Room::None(number) => Bucket::Shared { number, place: Place::Overflow },
            },
        }
    }

    /// Counts one call less in flight.
    pub(crate) fn release(&self, place: Place) {
        debug_assert_eq!(self.kind, Kind::Counts, "a time is never given back");
        match (&self.shape, place) {
            (Shape::One(number), _) => one_less(&mut locked(number)),
            (Shape::Many(keyed), Place::Own(key)) => keyed.release(key),
            (Shape::Many(keyed), _) => one_less(&mut keyed.overflow()),
        }
    }

    /// Forgets some of the keys whose time has passed. Holds one lock, for a microsecond or so.
    pub(crate) fn tidy(&self, now: u64) {
        if let Shape::Many(keyed) = &self.shape {
            keyed.tidy(now);
        }
    }

    /// Whether it is the first time that a key found no room.
    pub(crate) fn is_to_be_told(&self) -> bool {
        !self.told.load(Ordering::Relaxed) && !self.told.swap(true, Ordering::Relaxed)
    }

    /// How much room is taken. Holds one lock for a moment.
    pub(crate) fn used(&self, now: u64) -> Used {
        match &self.shape {
            Shape::One(_) => Used { keys: 0, keys_at_most: None, overflow_in_use: false },
            Shape::Many(keyed) => {
                let number = *keyed.overflow();
                let overflow_in_use = match self.kind {
                    Kind::Times => number.is_some_and(|whole_again| whole_again > now),
                    Kind::Counts => number.is_some_and(|calls| calls > 0),
                };
                let (keys, at_most) = keyed.room();
                Used { keys, keys_at_most: Some(at_most), overflow_in_use }
            }
        }
    }

    /// How many keys are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        match &self.shape {
            Shape::One(number) => locked(number).is_some().into(),
            Shape::Many(keyed) => keyed.len(),
        }
    }
}

impl Bucket<'_> {
    /// What is kept of the key.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Shared { number, .. } => **number,
            Self::Own(own) => own.number(),
        }
    }

    /// Keeps another number, and says where.
    pub(crate) fn put(&mut self, number: u64) -> Place {
        match self {
            Self::Shared { number: kept, place } => {
                **kept = Some(number);
                *place
            }
            Self::Own(own) => Place::Own(own.put(number)),
        }
    }

    /// Whether the key found no room for its own.
    pub(crate) fn is_overflow(&self) -> bool {
        matches!(self, Self::Shared { place: Place::Overflow, .. })
    }

    /// Whether the store is to be [tidied](Store::tidy) when all buckets are given back.
    pub(crate) fn wants_tidying(&self) -> bool {
        matches!(self, Self::Own(own) if own.wants_tidying())
    }
}

/// Says nothing of the keys: there may be a million.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("id", &self.id).finish_non_exhaustive()
    }
}

fn one_less(number: &mut Option<u64>) {
    *number = number.and_then(|number| number.checked_sub(1)).filter(|left| *left > 0);
}

/// Nothing that is not ours runs under these locks: what they guard is whole, whatever panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
