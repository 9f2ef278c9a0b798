//! Asks an issuer for a key that is not known: who waits for the answer, and what is said to those who don't.

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

/// What becomes of a token whose `kid` is unknown.
pub(crate) enum Lookup {
    /// It is known now, or can't be asked for.
    Done(Result<Key, Missing>),
    /// The issuer is asked.
    Pending(PendingLookup),
}

/// A call that waits for a fetch.
pub(crate) struct PendingLookup {
    refresher: Arc<Refresher>,
    fetch: u64,
    ended: watch::Receiver<Ended>,
    _call: WaitingCall,
}

impl Refresher {
    /// Asks the issuer for a `kid` that is unknown: one fetch for all who ask. In the cool-down after it nobody
    /// waits, and one more is scheduled for the end.
    pub(crate) fn ask(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
        from: Option<ClientNetwork>,
    ) -> Lookup {
        // Somebody else may have been first.
        match self.store.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) => {}
            found => return Lookup::Done(found),
        }
        let ended = self.store.ended();
        let call = match self.ask_for_fetch() {
            Coming::Now(fetch) => self.waiting.take(from).map(|call| (fetch, call)),
            Coming::Later(_) => None,
        };
        match call {
            Some((fetch, _call)) => {
                Lookup::Pending(PendingLookup { refresher: Arc::clone(self), fetch, ended, _call })
            }
            None => Lookup::Done(self.without_waiting(id, algorithm)),
        }
    }

    /// The key of a token that can't wait for a fetch: what the last set says, unless the issuer is away. A
    /// stranger who invents `kid`s must not look like an outage.
    fn without_waiting(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, Missing> {
        match self.store.find(id, algorithm) {
            Err(Missing::No(NoKey::Unknown)) if !self.issuer_answers() => {
                Err(Missing::Unavailable("old ones"))
            }
            found => found,
        }
    }

    /// Whether the last fetch was good, or one since it was last asked for.
    fn issuer_answers(&self) -> bool {
        let asked = self.store.schedule().last_asked();
        let held = self.store.held.load();
        let since =
            held.as_ref().is_some_and(|held| asked.is_some_and(|asked| asked <= held.fetch));
        since || self.store.ended.borrow().good
    }

    /// Asks for a fetch: at once, or in the cool-down at its end.
    fn ask_for_fetch(self: &Arc<Self>) -> Coming {
        self.start();
        let ended = self.store.ended.borrow().count;
        let mut schedule = self.store.schedule();
        let before = schedule.due();
        let coming = schedule.ask(Instant::now(), self.store.pace.cool_down, ended);
        if schedule.due() != before {
            self.wake.notify_one();
        }
        coming
    }

    /// Asks for a fetch, at once; then waits until it has ended: whether it was good.
    pub(crate) fn refresh(self: &Arc<Self>) -> impl Future<Output = bool> + Send + use<> {
        let mut ended = self.store.ended();
        let (fetch, wait) = match self.ask_for_fetch() {
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

    /// How long a fetch may take that was asked for: one that was under way already, and then itself.
    fn patience(&self) -> Duration {
        self.store.pace.timeout.saturating_mul(2).saturating_add(Duration::from_secs(1))
    }
}

impl PendingLookup {
    /// The key, once the issuer was asked.
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
