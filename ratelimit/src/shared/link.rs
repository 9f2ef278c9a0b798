//! The connection to Redis, and the breaker: nobody waits for a Redis that is away.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::error::StoreError;
use super::script::{Answer, Ask, Script};

/// After this many decisions in a row that were late or failed, nobody waits any more.
const FAILURES: u32 = 5;

/// The time between two probes while Redis is away, and the longest time that one takes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Link {
    script: Script,
    state: watch::Sender<State>,
    /// Decisions in a row that were late or failed.
    failures: AtomicU32,
    /// Wakes the task that makes connections.
    wake: Arc<Notify>,
    has_keeper: AtomicBool,
    next: AtomicU64,
}

#[derive(Clone, Debug)]
enum State {
    /// The first connection is not made yet.
    Starting,
    Up(Connection),
    /// The connection has broken, and the next one is not made yet.
    Lost,
    /// The breaker is open.
    Away(StoreError, Instant),
}

#[derive(Clone, Debug)]
struct Connection {
    redis: MultiplexedConnection,
    /// Errors of an earlier connection say nothing about this one.
    number: u64,
}

/// How connections are made and probed.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) client: Client,
    pub(super) budget: Duration,
    /// What a probe asks for.
    pub(super) probe: Ask,
    /// What decides meanwhile, for the log.
    pub(super) fallback: &'static str,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            script: Script::new(),
            state: watch::Sender::new(State::Starting),
            failures: AtomicU32::new(0),
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
        match &*self.state.borrow() {
            State::Up(_) => Ok(()),
            State::Starting => Err(StoreError::Starting),
            State::Lost => Err(StoreError::Unreachable("the connection has broken".to_owned())),
            State::Away(error, _) => Err(error.clone()),
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
        let decided = timeout(budget, async {
            let mut connection = self.connection().await?;
            number = Some(connection.number);
            Some(self.script.decide(&mut connection.redis, asks).await)
        });
        match decided.await {
            Ok(Some(Ok(answer))) => {
                self.failures.store(0, Ordering::Relaxed);
                Some(answer)
            }
            Ok(Some(Err(error))) => {
                let is_broken = error.is_unrecoverable_error();
                self.failed(number, &StoreError::of(&error), is_broken, fallback);
                None
            }
            // There is no connection: nobody waits for one.
            Ok(None) => None,
            Err(_) => {
                self.failed(number, &StoreError::Late(budget), false, fallback);
                None
            }
        }
    }

    /// The connection. Only before the first one calls wait for it.
    async fn connection(&self) -> Option<Connection> {
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
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
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

    fn up(&self, redis: MultiplexedConnection) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        let before = self.state.send_replace(State::Up(Connection { redis, number }));
        if let State::Away(_, since) = before {
            let away_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                target: "tonic_ratelimit_layer",
                away_ms,
                "Redis is back: shared quotas are decided by it"
            );
        }
    }

    /// Opens a connection, and probes it by a decision: one that only answers could still be full or read-only.
    async fn probe(&self, keeping: &Keeping) -> Result<MultiplexedConnection, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PROBE_INTERVAL))
            .set_response_timeout(Some(PROBE_INTERVAL));
        let opened = keeping.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut redis = opened.map_err(|error| StoreError::of(&error))?;
        // Loads the script, so that the next one takes as long as a call's.
        for budget in [PROBE_INTERVAL, keeping.budget] {
            let decided = self.script.decide(&mut redis, std::slice::from_ref(&keeping.probe));
            match timeout(budget, decided).await {
                Ok(decided) => decided.map_err(|error| StoreError::of(&error))?,
                Err(_) => return Err(StoreError::Late(budget)),
            };
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
