//! The current keys of an issuer, and when they are fetched again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;

use super::events::KeysStatus;
use super::key::set::{KeySet, NoKey};
use super::key::{Fingerprint, Key, KeyError};
use super::schedule::Schedule;
use crate::jwt::token::algorithm::Algorithm;

/// When keys are fetched.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// The time between fetches.
    pub(crate) every: Duration,
    /// How long a fetch may take.
    pub(crate) timeout: Duration,
    /// The minimum time between requested fetches.
    pub(crate) cool_down: Duration,
    /// How long keys are used after the last successful fetch.
    pub(crate) stale: Duration,
}

/// The last fetched keys of an issuer, and the results of the fetches.
pub(crate) struct Store {
    pub(crate) issuer: Arc<str>,
    pub(crate) allowed: Vec<Algorithm>,
    pub(crate) pace: Pace,
    pub(crate) held: ArcSwapOption<Snapshot>,
    /// How many fetches have ended, and the result of the last one.
    pub(crate) ended: watch::Sender<Ended>,
    /// When the next fetch is due, and how many have failed in a row. Not in the task, because another one can
    /// replace it.
    schedule: Mutex<Schedule>,
    failures: AtomicU32,
    /// The refused keys of the last set, by index.
    refused: Mutex<Vec<(usize, KeyError)>>,
    /// How many tokens were refused for an unknown `kid`.
    unknown_kids: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    keys: Arc<KeySet>,
    /// The fetch that returned them, and when it ended.
    pub(crate) fetch: u64,
    at: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) count: u64,
    pub(crate) good: bool,
}

/// Why there is no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No key matches.
    No(NoKey),
    /// There are no keys, or the issuer is unreachable and the last keys do not match.
    Unavailable(&'static str),
}

impl Store {
    pub(crate) fn new(issuer: Arc<str>, allowed: Vec<Algorithm>, pace: Pace) -> Self {
        Self {
            issuer,
            allowed,
            pace,
            held: ArcSwapOption::empty(),
            ended: watch::Sender::default(),
            schedule: Mutex::default(),
            failures: AtomicU32::new(0),
            refused: Mutex::default(),
            unknown_kids: AtomicU64::new(0),
        }
    }

    /// The keys, unless they are too old.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        let held = held.as_ref().filter(|held| held.at.elapsed() < self.pace.stale)?;
        Some(Arc::clone(&held.keys))
    }

    /// Whether that key is one of the current keys; and whether the next fetch is long overdue.
    pub(crate) fn holds(&self, print: &Fingerprint) -> (bool, bool) {
        let held = self.held.load();
        let Some(held) = held.as_ref() else { return (false, false) };
        let age = held.at.elapsed();
        let is_overdue = age > self.pace.every.saturating_mul(2);
        (age < self.pace.stale && held.keys.holds(print), is_overdue)
    }

    /// The time since the keys were fetched.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.held.load().as_ref().map(|held| held.at.elapsed())
    }

    /// The key of that name and algorithm.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, Missing> {
        let keys = self.keys().ok_or(Missing::Unavailable("none"))?;
        keys.find(id, algorithm).cloned().map_err(Missing::No)
    }

    pub(crate) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fetch starts. Returns how many have failed in a row if it fails, too.
    pub(crate) fn begin(&self) -> u32 {
        self.schedule().begin(Instant::now());
        self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1)
    }

    /// Sets when the next regular fetch is due.
    pub(crate) fn next_in(&self, pause: Duration) {
        self.schedule().next_at(Instant::now() + pause);
    }

    /// When the next fetch is due; `None` before the first one.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.schedule().due()
    }

    /// A new task replaces the previous one, whose unfinished fetch has failed.
    pub(crate) fn take_over(&self) {
        let begun = self.schedule().begun();
        let ended = self.ended.borrow().count;
        if ended < begun {
            self.end(false);
        }
    }

    /// The fetch returned keys.
    pub(crate) fn replace(&self, keys: KeySet) {
        let fetch = self.schedule().begun();
        let held = Snapshot { keys: Arc::new(keys), fetch, at: Instant::now() };
        self.held.store(Some(Arc::new(held)));
        self.failures.store(0, Ordering::Release);
        self.end(true);
    }

    /// The fetch returned no usable key: the previous keys are removed.
    pub(crate) fn clear(&self) {
        self.held.store(None);
        self.end(false);
    }

    /// The fetch failed.
    pub(crate) fn failed(&self) {
        self.end(false);
    }

    /// Whether the refused keys differ from those of the last set.
    pub(crate) fn refused_changed(&self, refused: &[(usize, KeyError)]) -> bool {
        let mut last = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let anew = *last != refused;
        if anew {
            *last = refused.to_vec();
        }
        anew
    }

    fn end(&self, good: bool) {
        let count = self.schedule().begun();
        self.ended.send_replace(Ended { count, good });
    }

    /// Counts a token that was refused for an unknown `kid`.
    pub(crate) fn count_unknown_kid(&self) {
        self.unknown_kids.fetch_add(1, Ordering::Relaxed);
    }

    /// When the keys become too old, if they are not yet.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        let at = self.held.load().as_ref()?.at.checked_add(self.pace.stale)?;
        (Instant::now() < at).then_some(at)
    }

    /// Watches the ends of fetches.
    pub(crate) fn ended(&self) -> watch::Receiver<Ended> {
        self.ended.subscribe()
    }

    /// The current state.
    pub(crate) fn status(&self) -> KeysStatus {
        let keys = self.keys().map_or(0, |keys| keys.keys().len());
        let cool_down = self.schedule().cooling_down(Instant::now(), self.pace.cool_down);
        KeysStatus {
            issuer: Arc::clone(&self.issuer),
            keys,
            age: self.age(),
            cool_down,
            failed_fetches: self.failed_fetches(),
            unknown_kids: self.unknown_kids.load(Ordering::Relaxed),
        }
    }

    /// How many fetches have failed in a row.
    fn failed_fetches(&self) -> u32 {
        let failures = self.failures.load(Ordering::Acquire);
        let begun = self.schedule().begun();
        // A running fetch has not failed yet.
        let under_way = self.ended.borrow().count < begun;
        failures.saturating_sub(u32::from(under_way))
    }
}
