//! The connection to Redis, and the breaker: nobody waits for a Redis that is away.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::Connection;
use super::error::StoreError;
use super::nodes::Nodes;
use super::script::{Answer, Ask, Script};
use super::server::PROBE_INTERVAL;
use super::slot::{PARTS, part};

/// After this many decisions in a row that were late or failed, nobody waits any more.
const FAILURES: u32 = 5;

pub(super) struct Link {
    script: Script,
    state: watch::Sender<State>,
    /// Decisions in a row that were late or failed, in each part of a cluster's slots.
    failures: [AtomicU32; PARTS],
    /// Wakes the task that makes connections.
    wake: Arc<Notify>,
    has_keeper: AtomicBool,
    next: AtomicU64,
}

enum State {
    /// The first connection is not made yet.
    Starting,
    Up(Numbered),
    /// The connection has broken, and the next one is not made yet.
    Lost,
    /// The breaker is open.
    Away(StoreError, Instant),
}

impl State {
    fn ready(&self) -> Result<(), StoreError> {
        match self {
            Self::Up(_) => Ok(()),
            Self::Starting => Err(StoreError::Starting),
            Self::Lost => Err(StoreError::Unreachable("the connection has broken".to_owned())),
            Self::Away(error, _) => Err(error.clone()),
        }
    }
}

#[derive(Clone)]
struct Numbered {
    redis: Connection,
    /// Errors of an earlier connection say nothing about this one.
    number: u64,
}

/// How connections are made and probed.
pub(super) struct Keeping {
    pub(super) nodes: Nodes,
    pub(super) budget: Duration,
    /// What the names of keys begin with.
    pub(super) prefix: String,
    /// What decides meanwhile, for the log.
    pub(super) fallback: &'static str,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            script: Script::new(),
            state: watch::Sender::new(State::Starting),
            failures: Default::default(),
            wake: Arc::default(),
            has_keeper: AtomicBool::new(false),
            next: AtomicU64::new(0),
        }
    }

    /// Begins to make connections, if nobody has yet. Needs a runtime.
    pub(super) fn start(self: &Arc<Self>, keeping: impl FnOnce() -> Keeping) {
        if self.has_keeper.load(Ordering::Relaxed) || self.has_keeper.swap(true, Ordering::AcqRel) {
            return;
        }
        tokio::spawn(keep(Arc::downgrade(self), Arc::clone(&self.wake), keeping()));
    }

    /// Why calls are not decided by Redis now.
    pub(super) fn ready(&self) -> Result<(), StoreError> {
        self.state.borrow().ready()
    }

    /// Waits until that is not as it was. A connection that is lost is no change until the next one fails.
    pub(super) async fn ready_changed(&self, was_ready: bool) -> Result<(), StoreError> {
        let is_changed = |state: &State| match state {
            State::Up(_) => !was_ready,
            State::Lost => false,
            State::Starting | State::Away(..) => was_ready,
        };
        // The sender is in this link.
        self.state.subscribe().wait_for(is_changed).await.map_or(Ok(()), |state| state.ready())
    }

    /// The number of the connection; `None` if there is none.
    pub(super) fn number(&self) -> Option<u64> {
        match &*self.state.borrow() {
            State::Up(connection) => Some(connection.number),
            _ => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(*self.state.borrow(), State::Away(..))
    }

    /// Decides a call within the budget; `None` if Redis does not. `fallback` decides then.
    pub(super) async fn decide(
        &self,
        asks: &[Ask],
        budget: Duration,
        fallback: &'static str,
    ) -> Option<Answer> {
        let mut number = None;
        let part = asks.first().map_or(0, |ask| part(&ask.key));
        let decided = timeout(budget, async {
            let mut connection = self.connection().await?;
            number = Some(connection.number);
            Some(self.script.decide(&mut connection.redis, asks).await)
        });
        match decided.await {
            Ok(Some(Ok(answer))) => {
                if let Some(failures) = self.failures.get(part) {
                    failures.store(0, Ordering::Relaxed);
                }
                Some(answer)
            }
            Ok(Some(Err(error))) => {
                let is_broken = error.is_unrecoverable_error();
                self.failed(number, part, &StoreError::of(&error), is_broken, fallback);
                None
            }
            // There is no connection: nobody waits for one.
            Ok(None) => None,
            Err(_) => {
                self.failed(number, part, &StoreError::Late(budget), false, fallback);
                None
            }
        }
    }

    /// The connection. Only before the first one calls wait for it.
    async fn connection(&self) -> Option<Numbered> {
        if let State::Up(connection) = &*self.state.borrow() {
            return Some(connection.clone());
        }
        let mut states = self.state.subscribe();
        match &*states.wait_for(|state| !matches!(state, State::Starting)).await.ok()? {
            State::Up(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    fn failed(
        &self,
        number: Option<u64>,
        part: usize,
        error: &StoreError,
        is_broken: bool,
        fallback: &'static str,
    ) {
        let is_current = match &*self.state.borrow() {
            State::Up(connection) => number == Some(connection.number),
            State::Starting => true,
            State::Lost | State::Away(..) => false,
        };
        if !is_current {
            return;
        }
        let failures = self.failures.get(part).map_or(0, |all| all.fetch_add(1, Ordering::Relaxed));
        if failures + 1 >= FAILURES {
            self.away(error, fallback);
            self.wake.notify_one();
        } else if is_broken {
            let lost = self.state.send_if_modified(|state| match state {
                State::Up(connection) if number == Some(connection.number) => {
                    *state = State::Lost;
                    true
                }
                _ => false,
            });
            if lost {
                self.wake.notify_one();
            }
        }
    }

    /// Opens the breaker.
    fn away(&self, error: &StoreError, fallback: &'static str) {
        let went = self.state.send_if_modified(|state| match state {
            State::Away(before, _) => {
                *before = error.clone();
                false
            }
            _ => {
                *state = State::Away(error.clone(), Instant::now());
                true
            }
        });
        if went {
            tracing::warn!(
                target: "tonic_ratelimit_layer",
                { error = %error, fallback },
                "Redis is away: shared quotas are decided without it"
            );
        }
    }

    fn up(&self, redis: Connection) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.failures.iter().for_each(|failures| failures.store(0, Ordering::Relaxed));
        let before = self.state.send_replace(State::Up(Numbered { redis, number }));
        if let State::Away(_, since) = before {
            let away_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                target: "tonic_ratelimit_layer",
                away_ms,
                "Redis is back: shared quotas are decided by it"
            );
        }
    }

    /// Opens a connection, and probes it by a decision: one that only answers could still be full or read-only. Each
    /// primary of a cluster has to decide.
    async fn probe(&self, keeping: &Keeping) -> Result<Connection, StoreError> {
        let mut redis = keeping.nodes.connect().await?;
        let keys =
            redis.probe_keys(&keeping.prefix).await.map_err(|error| StoreError::of(&error))?;
        for key in keys {
            // It takes a nanosecond's worth, which expires at once.
            let ask = Ask { key, take: 1, capacity: 1_000_000_000, shadow: false };
            // Loads the script, so that the next one takes as long as a call's.
            for budget in [PROBE_INTERVAL, keeping.budget] {
                let decided = self.script.decide(&mut redis, std::slice::from_ref(&ask));
                match timeout(budget, decided).await {
                    Ok(decided) => decided.map_err(|error| StoreError::of(&error))?,
                    Err(_) => return Err(StoreError::Late(budget)),
                };
            }
        }
        Ok(redis)
    }
}

/// Makes connections, until the link is dropped.
async fn keep(link: Weak<Link>, wake: Arc<Notify>, keeping: Keeping) {
    loop {
        let next = Instant::now() + PROBE_INTERVAL;
        let Some(kept) = link.upgrade() else { return };
        match timeout(PROBE_INTERVAL, kept.probe(&keeping)).await {
            Ok(Ok(redis)) => {
                kept.up(redis);
                drop(kept);
                wake.notified().await;
                // After a broken connection there is a new one at once.
                if link.upgrade().is_some_and(|link| link.is_open()) {
                    sleep(PROBE_INTERVAL).await;
                }
            }
            failed => {
                let error = match failed {
                    Ok(Err(error)) => error,
                    _ => StoreError::Late(PROBE_INTERVAL),
                };
                kept.away(&error, keeping.fallback);
                drop(kept);
                sleep_until(next).await;
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}
