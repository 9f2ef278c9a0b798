//! Whether tokens can be verified, as it changes.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::sleep_until;

use super::refresh::Refresher;

/// Follows whether the keys of all issuers are there and none are too old: in both directions. Made by
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

    /// What was last seen: when this was made, or when [`changed`](Self::changed) last returned.
    pub fn is_ready(&self) -> bool {
        self.seen
    }

    /// PendingLookup until it is no longer as last seen, and returns how it is now. What changes and changes back
    /// while nobody waits is not seen. Without an issuer whose keys are fetched it never returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn changed(&mut self) -> bool {
        loop {
            // Before they are looked at: no event in between is lost.
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

/// Whether all have keys that are not too old. Starts those that nobody refreshes.
pub(crate) fn all_ready<'a>(refreshers: impl IntoIterator<Item = &'a Arc<Refresher>>) -> bool {
    refreshers.into_iter().fold(true, |ready, refresher| {
        refresher.start();
        ready && refresher.store.keys().is_some()
    })
}

/// What can change whether there are keys: the end of a fetch, and time.
fn events(refresher: &Arc<Refresher>) -> [Event<'_>; 2] {
    let mut ended = refresher.store.ended();
    let stale_at = refresher.store.stale_at();
    let fetched = async move {
        // The sender is in the refresher: it is not gone while we wait.
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
