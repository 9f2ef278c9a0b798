//! The connections of a `/metrics` server: so many, and each with a time by which it must say something.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How many connections there are at once. For a further one the one gives way that has been idle for longest.
pub(super) const CONNECTIONS: usize = 32;

/// How long a new connection may be silent: who comes to scrape says so at once.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

/// How long a connection is kept after an answer has begun. Prometheus sends its next request on it, every 15
/// to 60 seconds; and a caller that reads nothing holds its place no longer.
const NEXT_REQUEST_WITHIN: Duration = Duration::from_secs(60);

/// All connections.
#[derive(Default)]
pub(super) struct Places {
    tasks: JoinSet<()>,
    taken: Vec<(Arc<Place>, AbortHandle)>,
    /// One has become idle.
    idle: Arc<Notify>,
}

/// One connection.
pub(super) struct Place {
    state: Mutex<State>,
    idle: Arc<Notify>,
}

struct State {
    /// Since when no request is being answered; `None` while one is.
    idle_since: Option<Instant>,
    until: Instant,
}

impl Places {
    /// Waits until there is room for one more, and makes it if a connection is idle.
    pub(super) async fn room(&mut self) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.taken.retain(|(_, task)| !task.is_finished());
            if self.taken.len() < CONNECTIONS {
                return;
            }
            let idle = self.taken.iter().enumerate();
            let idle = idle.filter_map(|(index, (place, _))| Some((place.idle_since()?, index)));
            if let Some((_, index)) = idle.min() {
                self.taken.remove(index).1.abort();
                return;
            }
            tokio::select! {
                () = self.idle.notified() => {}
                _ = self.tasks.join_next() => {}
            }
        }
    }

    /// Serves a connection, until it has been silent for too long.
    pub(super) fn take<F>(&mut self, serve: impl FnOnce(Arc<Place>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let now = Instant::now();
        let state = State { idle_since: Some(now), until: now + FIRST_REQUEST_WITHIN };
        let place = Arc::new(Place { state: Mutex::new(state), idle: Arc::clone(&self.idle) });
        let served = serve(Arc::clone(&place));
        let its = Arc::clone(&place);
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = served => {}
                () = its.silent_for_too_long() => {}
            }
        });
        self.taken.push((place, task));
    }
}

impl Place {
    /// A request is here, and is answered for as long as what is returned lives.
    pub(super) fn busy(&self) -> Busy<'_> {
        let mut state = self.state();
        state.idle_since = None;
        state.until = Instant::now() + NEXT_REQUEST_WITHIN;
        Busy(self)
    }

    fn idle_since(&self) -> Option<Instant> {
        self.state().idle_since
    }

    async fn silent_for_too_long(&self) {
        loop {
            let until = self.state().until;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub(super) struct Busy<'p>(&'p Place);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.0.state();
        state.idle_since = Some(now);
        state.until = now + NEXT_REQUEST_WITHIN;
        drop(state);
        self.0.idle.notify_one();
    }
}
