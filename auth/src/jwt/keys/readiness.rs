//! Watches whether tokens can be verified.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::sleep_until;

use super::refresh::Refresher;

/// Watches whether the keys of all issuers are available and not too old. Created by
/// [`Jwt::readiness`](crate::Jwt::readiness).
///
/// ```no_run
/// use tonic_auth_layer::Jwt;
///
/// # fn set_health(_ready: bool) {}
/// # async fn follow(jwt: Jwt) {
/// let mut readiness = jwt.readiness();
/// set_health(readiness.is_ready());
/// loop {
///     set_health(readiness.changed().await);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Readiness {
    refreshers: Vec<Arc<Refresher>>,
    seen: bool,
}

type Event<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Readiness {
    pub(crate) fn new(refreshers: Vec<Arc<Refresher>>) -> Self {
        let seen = all_ready(&refreshers);
        Self { refreshers, seen }
    }

    /// The last seen state: of the creation, or of the last return of [`changed`](Self::changed).
    pub fn is_ready(&self) -> bool {
        self.seen
    }

    /// Waits until the state differs from the last seen one, and returns it. A change that is reverted before this is
    /// called is not seen. If no issuer's keys are fetched, it never returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with a timer.
    pub async fn changed(&mut self) -> bool {
        loop {
            // Subscribes before it checks, so that no event is missed.
            let mut events: Vec<_> = self.refreshers.iter().flat_map(events).collect();
            let ready = all_ready(&self.refreshers);
            if ready != self.seen {
                self.seen = ready;
                return ready;
            }
            poll_fn(|cx| {
                let happened = events.iter_mut().any(|event| event.as_mut().poll(cx).is_ready());
                if happened { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }
}

/// Whether all have keys that are not too old. Starts refreshers that do not run.
pub(crate) fn all_ready<'a>(refreshers: impl IntoIterator<Item = &'a Arc<Refresher>>) -> bool {
    refreshers.into_iter().fold(true, |ready, refresher| {
        refresher.start();
        ready && refresher.store.keys().is_some()
    })
}

/// The events that can change the state: the end of a fetch, and the expiry of keys.
fn events(refresher: &Arc<Refresher>) -> [Event<'_>; 2] {
    let mut ended = refresher.store.ended();
    let stale_at = refresher.store.stale_at();
    let fetched = async move {
        // The refresher owns the sender, so it can't be closed.
        let _ = ended.changed().await;
    };
    let stale = async move {
        match stale_at {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    };
    [Box::pin(fetched), Box::pin(stale)]
}
