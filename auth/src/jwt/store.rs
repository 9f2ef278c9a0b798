//! The keys of an issuer as they are now, and when they are fetched again.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::algorithm::Algorithm;
use super::events::OnKeys;
use super::key::set::{KeySet, NoKey};
use super::key::{Fingerprint, Key};
use super::refresh;
use super::source::Source;

/// How many calls may wait for keys at once.
pub(crate) const WAITING_AT_MOST: usize = 1_024;

/// When keys are fetched.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// How long after a good fetch comes the next.
    pub(crate) every: Duration,
    /// How long one may take.
    pub(crate) timeout: Duration,
    /// How long after an unknown `kid` has caused one no other does.
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
    held: ArcSwapOption<Held>,
    /// How many fetches have begun.
    begun: AtomicU64,
    /// How many have ended, and how the last did.
    ended: watch::Sender<Ended>,
    asked: Mutex<Option<Asked>>,
    /// Wakes the task that fetches.
    pub(crate) wake: Arc<Notify>,
    waiting: Semaphore,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    at: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    count: u64,
    good: bool,
}

/// That an unknown `kid` has caused a fetch: when, and which.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    fetch: u64,
}

/// Why there is no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The keys are known, and none is it.
    No(NoKey),
    /// There are no keys, or only old ones, and the issuer does not answer.
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
            begun: AtomicU64::new(0),
            ended: watch::Sender::default(),
            asked: Mutex::new(None),
            wake: Arc::new(Notify::new()),
            waiting: Semaphore::new(WAITING_AT_MOST),
            task: Mutex::new(None),
        }
    }

    /// Sees to it that keys are fetched, if there is a runtime to do so. Cheap if they are.
    pub(crate) fn start(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // Over: its runtime has ended, and this one is another.
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(runtime.spawn(refresh::run(Arc::downgrade(self), Arc::clone(&self.wake))));
        }
    }

    /// The keys, unless they are too old.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        let held = held.as_ref().filter(|held| held.at.elapsed() <= self.pace.stale)?;
        Some(Arc::clone(&held.keys))
    }

    pub(crate) fn holds(&self, print: &Fingerprint) -> bool {
        let held = self.held.load();
        held.as_ref()
            .is_some_and(|held| held.at.elapsed() <= self.pace.stale && held.keys.holds(print))
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

    /// As [`find`](Self::find), once the issuer was asked for a `kid` that is unknown: one fetch for all
    /// who ask, and not another until the cool-down is over.
    pub(crate) async fn fetch_and_find(
        self: Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Key, Missing> {
        // Somebody else may have been first.
        match self.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) => {}
            found => return found,
        }
        let mut ended = self.ended.subscribe();
        let Some(fetch) = self.ask() else {
            let good = ended.borrow().good;
            return Err(if good {
                Missing::No(NoKey::Unknown)
            } else {
                Missing::Unavailable("old ones")
            });
        };
        let Ok(_waits) = self.waiting.try_acquire() else {
            return Err(Missing::Unavailable("too many calls wait for them"));
        };
        // One that was under way already, and then ours.
        let patience = self.pace.timeout.saturating_mul(2).saturating_add(Duration::from_secs(1));
        let waited =
            tokio::time::timeout(patience, ended.wait_for(|ended| ended.count >= fetch)).await;
        let good = matches!(waited, Ok(Ok(ended)) if ended.good);
        match self.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) if !good => Err(Missing::Unavailable("old ones")),
            found => found,
        }
    }

    /// Which fetch to wait for: one that others have asked for, or a new one; none in the cool-down.
    fn ask(self: &Arc<Self>) -> Option<u64> {
        self.start();
        let now = Instant::now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = *asked {
            if self.ended.borrow().count < asked.fetch {
                return Some(asked.fetch);
            }
            if now < asked.at + self.pace.cool_down {
                return None;
            }
        }
        let fetch = self.begun.load(Ordering::Acquire) + 1;
        *asked = Some(Asked { at: now, fetch });
        self.wake.notify_one();
        Some(fetch)
    }

    /// A fetch begins.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// It has ended with keys.
    pub(crate) fn good(&self, keys: KeySet) {
        let held = Held { keys: Arc::new(keys), at: Instant::now() };
        self.held.store(Some(Arc::new(held)));
        self.end(true);
    }

    /// It has ended without.
    pub(crate) fn failed(&self) {
        self.end(false);
    }

    fn end(&self, good: bool) {
        let count = self.begun.load(Ordering::Acquire);
        self.ended.send_replace(Ended { count, good });
    }

    /// Waits until there are keys.
    pub(crate) async fn ready(self: &Arc<Self>) {
        self.start();
        let mut ended = self.ended.subscribe();
        // The sender is in here: it is not gone while we wait.
        let _ = ended.wait_for(|_| self.keys().is_some()).await;
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
