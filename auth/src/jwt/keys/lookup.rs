//! Looks up keys, and fetches those that are unknown.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::key::Key;
use super::key::set::NoKey;
use super::refresh::Refresher;
use super::schedule::Coming;
use super::store::{Ended, Missing};
use super::waiting::WaitingCall;
use crate::jwt::token::algorithm::Algorithm;
use tonic_call::ClientNetwork;

/// The result of a lookup.
pub(crate) enum Lookup {
    /// The key, or why there is none.
    Done(Result<Key, Missing>),
    /// The `kid` is unknown, and the keys are being fetched.
    Pending(PendingLookup),
}

/// A lookup that waits for a fetch.
pub(crate) struct PendingLookup {
    refresher: Arc<Refresher>,
    fetch: u64,
    ended: watch::Receiver<Ended>,
    _call: WaitingCall,
}

impl Refresher {
    /// Looks up a key. An unknown `kid` causes one fetch for all waiting calls. In the cool-down after it, calls do
    /// not wait, and one more fetch is scheduled for its end.
    pub(crate) fn look_up(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
        from: Option<ClientNetwork>,
    ) -> Lookup {
        match self.store.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) => {}
            found => return Lookup::Done(found),
        }
        let ended = self.store.ended();
        let call = match self.request_fetch() {
            Coming::Now(fetch) => self.waiting.add(from).map(|call| (fetch, call)),
            Coming::Later(_) => None,
        };
        match call {
            Some((fetch, _call)) => {
                Lookup::Pending(PendingLookup { refresher: Arc::clone(self), fetch, ended, _call })
            }
            None => Lookup::Done(self.without_waiting(id, algorithm)),
        }
    }

    /// The result for a token that can't wait for a fetch: by the last set, unless the issuer is unreachable.
    /// Invented `kid`s must not look like an outage.
    fn without_waiting(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, Missing> {
        match self.store.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) if !self.issuer_answers() => {
                Err(Missing::Unavailable("old ones"))
            }
            found => found,
        }
    }

    /// Whether the last fetch succeeded, or one since the last request.
    fn issuer_answers(&self) -> bool {
        let asked = self.store.schedule().last_requested();
        let held = self.store.held.load();
        let since =
            held.as_ref().is_some_and(|held| asked.is_some_and(|asked| asked <= held.fetch));
        since || self.store.ended.borrow().good
    }

    /// Requests a fetch: now, or at the end of the cool-down.
    fn request_fetch(self: &Arc<Self>) -> Coming {
        self.start();
        let ended = self.store.ended.borrow().count;
        let mut schedule = self.store.schedule();
        let before = schedule.due();
        let coming = schedule.request(Instant::now(), self.store.pace.cool_down, ended);
        if schedule.due() != before {
            self.wake.notify_one();
        }
        coming
    }

    /// Requests a fetch immediately, and then waits for its end. Returns whether it succeeded.
    pub(crate) fn refresh(self: &Arc<Self>) -> impl Future<Output = bool> + Send + use<> {
        let mut ended = self.store.ended();
        let (fetch, wait) = match self.request_fetch() {
            Coming::Now(fetch) => (fetch, Duration::ZERO),
            Coming::Later(fetch) => (fetch, self.store.pace.cool_down),
        };
        let latest = Instant::now() + wait.saturating_add(self.patience());
        let refresher = Arc::clone(self);
        async move {
            let asked = ended.wait_for(|ended| ended.count >= fetch);
            let good = matches!(timeout_at(latest, asked).await, Ok(Ok(ended)) if ended.good);
            drop(refresher);
            good
        }
    }

    /// How long a requested fetch can take: the one that is running, and then itself.
    fn patience(&self) -> Duration {
        self.store.pace.timeout.saturating_mul(2).saturating_add(Duration::from_secs(1))
    }
}

impl PendingLookup {
    /// The key, after the fetch.
    pub(crate) async fn find(
        mut self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Key, Missing> {
        let asked = self.ended.wait_for(|ended| ended.count >= self.fetch);
        let asked = timeout(self.refresher.patience(), asked).await;
        let good = matches!(asked, Ok(Ok(ended)) if ended.good);
        match self.refresher.store.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) if !good => Err(Missing::Unavailable("old ones")),
            found => found,
        }
    }
}
