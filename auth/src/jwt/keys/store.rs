//! The keys of an issuer as they are now, and when they are fetched again.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::key::set::{KeySet, NoKey};
use super::key::{Fingerprint, Key, KeyError};
use super::places::Places;
use super::refresh;
use super::schedule::Schedule;
use super::source::Source;
use crate::jwt::config::events::{KeysStatus, OnKeys};
use crate::jwt::token::algorithm::Algorithm;

/// When keys are fetched.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// How long after a good fetch comes the next.
    pub(crate) every: Duration,
    /// How long one may take.
    pub(crate) timeout: Duration,
    /// How long after one that was asked for no other is begun for being asked for.
    pub(crate) cool_down: Duration,
    /// How long keys serve after the last good fetch.
    pub(crate) stale: Duration,
}

/// Keys that are fetched in the background. No lock is held while they are.
pub(crate) struct Store {
    pub(crate) issuer: Arc<str>,
    pub(crate) allowed: Vec<Algorithm>,
    pub(crate) pace: Pace,
    pub(crate) source: Box<dyn Source>,
    pub(crate) on_keys: OnKeys,
    pub(crate) held: ArcSwapOption<Held>,
    /// How many have ended, and how the last did.
    pub(crate) ended: watch::Sender<Ended>,
    /// When the next fetch is due, and how many have failed since a good one: a task that takes the place of
    /// another goes on with them.
    schedule: Mutex<Schedule>,
    failures: AtomicU32,
    /// What was refused of the last set.
    refused: Mutex<Vec<(usize, KeyError)>>,
    /// How many tokens were refused because no key has their `kid`.
    unknown_kids: AtomicU64,
    /// Tells the task that fetches to look at the schedule again.
    pub(crate) wake: Arc<Notify>,
    pub(crate) places: Arc<Places>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(crate) struct Held {
    keys: Arc<KeySet>,
    /// Which fetch they are of, and when it ended.
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
    /// The keys are known, and none is it.
    No(NoKey),
    /// There are no keys, or only old ones and the issuer does not answer.
    Unavailable(&'static str),
}

impl Store {
    pub(crate) fn new(
        issuer: Arc<str>,
        allowed: Vec<Algorithm>,
        pace: Pace,
        source: Box<dyn Source>,
        on_keys: OnKeys,
    ) -> Self {
        Self {
            issuer,
            allowed,
            pace,
            source,
            on_keys,
            held: ArcSwapOption::empty(),
            ended: watch::Sender::default(),
            schedule: Mutex::default(),
            failures: AtomicU32::new(0),
            refused: Mutex::default(),
            unknown_kids: AtomicU64::new(0),
            wake: Arc::new(Notify::new()),
            places: Arc::default(),
            task: Mutex::new(None),
        }
    }

    /// Sees to it that keys are fetched, if there is a runtime to do so. Cheap if they are.
    pub(crate) fn start(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // Over: its runtime has ended, and this one is another; or it has panicked.
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(runtime.spawn(refresh::run(Arc::downgrade(self), Arc::clone(&self.wake))));
        }
    }

    /// The keys, unless they are too old.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        let held = held.as_ref().filter(|held| held.at.elapsed() < self.pace.stale)?;
        Some(Arc::clone(&held.keys))
    }

    pub(crate) fn holds(self: &Arc<Self>, print: &Fingerprint) -> bool {
        let held = self.held.load();
        let Some(held) = held.as_ref() else { return false };
        let age = held.at.elapsed();
        // They should have been fetched again: perhaps nobody is left to do so, and whoever only sends
        // tokens that are remembered asks for no key.
        if age > self.pace.every.saturating_mul(2) {
            self.start();
        }
        age < self.pace.stale && held.keys.holds(print)
    }

    /// How long ago the keys were fetched.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.held.load().as_ref().map(|held| held.at.elapsed())
    }

    /// The key of a token, as far as it is known.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, Missing> {
        let keys = self.keys().ok_or(Missing::Unavailable("none"))?;
        keys.find(id, algorithm).cloned().map_err(Missing::No)
    }

    pub(crate) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fetch begins; how many have failed, if it does, too.
    pub(crate) fn begin(&self) -> u32 {
        self.schedule().begin(Instant::now());
        self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1)
    }

    /// Sets when the next fetch is due by the clock.
    pub(crate) fn next_in(&self, pause: Duration) {
        self.schedule().next_at(Instant::now() + pause);
    }

    /// When the next fetch is due; `None` if there was none.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.schedule().due()
    }

    /// Whoever has fetched before does so no more: what it has begun has failed.
    pub(crate) fn take_over(&self) {
        let begun = self.schedule().begun();
        let ended = self.ended.borrow().count;
        if ended < begun {
            self.end(false);
        }
    }

    /// It has ended with keys.
    pub(crate) fn good(&self, keys: KeySet) {
        let fetch = self.schedule().begun();
        let held = Held { keys: Arc::new(keys), fetch, at: Instant::now() };
        self.held.store(Some(Arc::new(held)));
        self.failures.store(0, Ordering::Release);
        self.end(true);
    }

    /// It has ended with a set that has no key in it which can be used: those before are withdrawn.
    pub(crate) fn empty(&self) {
        self.held.store(None);
        self.end(false);
    }

    /// It has ended without.
    pub(crate) fn failed(&self) {
        self.end(false);
    }

    /// Whether what was refused of a set is something else than what was refused of the last.
    pub(crate) fn refuses_anew(&self, refused: &[(usize, KeyError)]) -> bool {
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

    /// A token was refused because no key has its `kid`.
    pub(crate) fn count_unknown_kid(&self) {
        self.unknown_kids.fetch_add(1, Ordering::Relaxed);
    }

    /// When keys that are not too old yet will be, if they are not fetched again.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        let at = self.held.load().as_ref()?.at.checked_add(self.pace.stale)?;
        (Instant::now() < at).then_some(at)
    }

    /// Tells when a fetch has ended.
    pub(crate) fn ended(&self) -> watch::Receiver<Ended> {
        self.ended.subscribe()
    }

    /// The keys as they are now.
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

    /// How many fetches have failed since a good one.
    fn failed_fetches(&self) -> u32 {
        let failures = self.failures.load(Ordering::Acquire);
        let begun = self.schedule().begun();
        // One that is under way has not failed yet.
        let under_way = self.ended.borrow().count < begun;
        failures.saturating_sub(u32::from(under_way))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Lets the task see that nobody needs the keys any more.
        self.wake.notify_one();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("issuer", &self.issuer)
            .field("source", &self.source.name())
            .field("age", &self.age())
            .finish_non_exhaustive()
    }
}
