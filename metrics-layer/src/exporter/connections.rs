//! The connections of a `/metrics` server: a limited number, each with a timeout.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// The number of open connections. A further one replaces the one that has been idle longest.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// A new connection must send its first request within this time.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection is kept after the start of an answer. Prometheus reuses its connection every 15 to
/// 60 seconds. It also limits a client that does not read its answer.
const NEXT_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// All connections.
#[derive(Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    open: Vec<(Arc<Connection>, AbortHandle)>,
    /// Notified when a connection becomes idle.
    idle: Arc<Notify>,
}

/// The state of one connection.
pub(super) struct Connection {
    state: Mutex<State>,
    idle: Arc<Notify>,
}

struct State {
    /// `None` while a request is being answered.
    idle_since: Option<Instant>,
    deadline: Instant,
}

impl Connections {
    /// Waits until another connection may be opened; closes an idle one if there are too many.
    pub(super) async fn ready(&mut self) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.open.retain(|(_, task)| !task.is_finished());
            if self.open.len() < MAX_CONNECTIONS {
                return;
            }
            let open = self.open.iter().enumerate();
            let idle = open.filter_map(|(index, (one, _))| Some((one.idle_since()?, index)));
            if let Some((_, index)) = idle.min() {
                self.open.remove(index).1.abort();
                return;
            }
            tokio::select! {
                () = self.idle.notified() => {}
                _ = self.tasks.join_next() => {}
            }
        }
    }

    /// Serves a connection until its deadline.
    pub(super) fn spawn<F>(&mut self, serve: impl FnOnce(Arc<Connection>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let now = Instant::now();
        let state = State { idle_since: Some(now), deadline: now + FIRST_REQUEST_TIMEOUT };
        let connection =
            Arc::new(Connection { state: Mutex::new(state), idle: Arc::clone(&self.idle) });
        let served = serve(Arc::clone(&connection));
        let timed = Arc::clone(&connection);
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = served => {}
                () = timed.expired() => {}
            }
        });
        self.open.push((connection, task));
    }
}

impl Connection {
    /// Marks the connection as busy until the returned guard is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        let mut state = self.state();
        state.idle_since = None;
        state.deadline = Instant::now() + NEXT_REQUEST_TIMEOUT;
        Busy(self)
    }

    fn idle_since(&self) -> Option<Instant> {
        self.state().idle_since
    }

    async fn expired(&self) {
        loop {
            let deadline = self.state().deadline;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub(super) struct Busy<'c>(&'c Connection);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.0.state();
        state.idle_since = Some(now);
        state.deadline = now + NEXT_REQUEST_TIMEOUT;
        drop(state);
        self.0.idle.notify_one();
    }
}
