//! The keys of an issuer as they are now, and when they are fetched again.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::algorithm::Algorithm;
use super::events::OnKeys;
use super::key::set::{KEYS_AT_MOST, KeySet, NoKey};
use super::key::{Fingerprint, Key, KeyError};
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
    asked: Mutex<Option<LastAsked>>,
    /// How many fetches have failed since a good one, and when the next is due: a task that takes the place
    /// of another goes on with them.
    failures: AtomicU32,
    due: Mutex<Option<Instant>>,
    /// What was refused of the last set.
    refused: Mutex<Vec<(usize, KeyError)>>,
    /// Wakes the task that fetches.
    pub(crate) wake: Arc<Notify>,
    waiting: Arc<Semaphore>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    /// The `kid`s of keys that were there before, the last ones first.
    gone: Vec<Box<str>>,
    at: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    count: u64,
    good: bool,
}

/// That an unknown `kid` has caused a fetch: when, and which.
#[derive(Clone, Copy, Debug)]
struct LastAsked {
    at: Instant,
    fetch: u64,
}

/// What becomes of a token whose `kid` is unknown.
pub(crate) enum Asked {
    /// It is known now, or can't be asked for.
    Known(Result<Key, Missing>),
    /// The issuer is asked.
    Waits(Waits),
}

/// A call that waits for a fetch.
pub(crate) struct Waits {
    store: Arc<Store>,
    fetch: u64,
    ended: watch::Receiver<Ended>,
    _place: OwnedSemaphorePermit,
}

/// Why there is no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The keys are known, and none is it.
    No(NoKey),
    /// There are no keys, or only old ones, and the issuer does not answer or was asked just now.
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
            failures: AtomicU32::new(0),
            due: Mutex::new(None),
            refused: Mutex::default(),
            wake: Arc::new(Notify::new()),
            waiting: Arc::new(Semaphore::new(WAITING_AT_MOST)),
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
        let held = held.as_ref().filter(|held| held.at.elapsed() <= self.pace.stale)?;
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
        age <= self.pace.stale && held.keys.holds(print)
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

    /// Asks the issuer for a `kid` that is unknown: one fetch for all who ask, and not another until the
    /// cool-down is over.
    pub(crate) fn ask(self: &Arc<Self>, id: Option<&str>, algorithm: Algorithm) -> Asked {
        // Somebody else may have been first.
        match self.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) => {}
            found => return Asked::Known(found),
        }
        let ended = self.ended.subscribe();
        let Some(fetch) = self.ask_for_fetch() else {
            return Asked::Known(self.in_cool_down(id, algorithm));
        };
        match Arc::clone(&self.waiting).try_acquire_owned() {
            Ok(_place) => Asked::Waits(Waits { store: Arc::clone(self), fetch, ended, _place }),
            Err(_) => Asked::Known(Err(Missing::Unavailable("too many calls wait for them"))),
        }
    }

    /// What is said of a `kid` that can't be asked for now: that it is unknown only if it was known once.
    /// Any other may be a new key's, whose tokens are not bad because others have asked for nonsense.
    fn in_cool_down(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, Missing> {
        match self.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) => {}
            found => return found,
        }
        if !self.ended.borrow().good {
            return Err(Missing::Unavailable("old ones"));
        }
        let held = self.held.load();
        let gone = held.as_ref().map_or(&[][..], |held| &held.gone);
        Err(match gone.iter().any(|gone| Some(&**gone) == id) {
            true => Missing::No(NoKey::Unknown),
            false => Missing::Unavailable("fetched just now, without that one"),
        })
    }

    /// Which fetch to wait for: one that others have asked for, or a new one; none in the cool-down.
    fn ask_for_fetch(self: &Arc<Self>) -> Option<u64> {
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
        *asked = Some(LastAsked { at: now, fetch });
        self.wake.notify_one();
        Some(fetch)
    }

    /// A fetch begins; how many have failed, if it does, too.
    pub(crate) fn begin(&self) -> u32 {
        // Whoever asks does so before or after it, not meanwhile.
        let _asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.begun.fetch_add(1, Ordering::AcqRel);
        // Who has asked before it is answered by it: that asks for no other.
        pin!(self.wake.notified()).enable();
        self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1)
    }

    /// Sets when the next fetch is due.
    pub(crate) fn next_in(&self, pause: Duration) {
        let next = Instant::now() + pause;
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    /// When the next fetch is due; `None` if there was none.
    pub(crate) fn due(&self) -> Option<Instant> {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever has fetched before does so no more: what it has begun has failed.
    pub(crate) fn take_over(&self) {
        let ended = self.ended.borrow().count;
        if ended < self.begun.load(Ordering::Acquire) {
            self.end(false);
        }
    }

    /// It has ended with keys.
    pub(crate) fn good(&self, keys: KeySet) {
        let before = self.held.load();
        let gone = before.as_ref().map(|before| before.gone_from(&keys)).unwrap_or_default();
        let held = Held { keys: Arc::new(keys), gone, at: Instant::now() };
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

impl Held {
    /// The `kid`s that are known from before, and are no longer there.
    fn gone_from(&self, keys: &KeySet) -> Vec<Box<str>> {
        let there = |id: &str| keys.keys().iter().any(|key| key.id() == Some(id));
        let mine = self.keys.keys().iter().filter_map(Key::id);
        let known = mine.chain(self.gone.iter().map(|gone| &**gone));
        known.filter(|id| !there(id)).take(KEYS_AT_MOST).map(Box::from).collect()
    }
}

impl Waits {
    /// The key, once the issuer was asked.
    pub(crate) async fn find(
        mut self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Key, Missing> {
        let store = &self.store;
        // One that was under way already, and then ours.
        let patience = store.pace.timeout.saturating_mul(2).saturating_add(Duration::from_secs(1));
        let asked = self.ended.wait_for(|ended| ended.count >= self.fetch);
        let good =
            matches!(tokio::time::timeout(patience, asked).await, Ok(Ok(ended)) if ended.good);
        match store.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) if !good => Err(Missing::Unavailable("old ones")),
            found => found,
        }
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
